"""Conditional decoding: features of the input modulate those of a decoder (Upscale-A-Video, CVPR 2024)."""

from .refiner import ConditionalRefiner

__all__ = ["ConditionalRefiner"]
