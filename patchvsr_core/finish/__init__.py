"""Postprocessing that keeps decoded frames faithful to the input: refiner, back-projection, colour fix, strength map.

The base layer is here as well: the upsampled input, by bicubic or a real-time network, that the result is blended with.
"""

from .back_projection import back_project
from .color_fix import match_colors
from .refine import Refiner, load_refiner, refine_frames

__all__ = ["Refiner", "back_project", "load_refiner", "match_colors", "refine_frames"]
