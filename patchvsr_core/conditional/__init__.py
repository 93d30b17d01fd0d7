"""Conditional decoding: features of the input modulate those of a decoder (Upscale-A-Video, CVPR 2024)."""

from .decoder import ConditionalDecoder, ConditionalDecoderConfig, modulated
from .file import load_conditional_decoder, save_conditional_decoder
from .refiner import ConditionalRefiner

__all__ = [
    "ConditionalDecoder",
    "ConditionalDecoderConfig",
    "ConditionalRefiner",
    "load_conditional_decoder",
    "modulated",
    "save_conditional_decoder",
]
