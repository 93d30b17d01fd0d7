"""What brings decoded frames back to the input: the refiner, back-projection, colour fixes, strength maps.

The base layer stands here too: what the result is mixed with, bicubic or of a real-time network.
"""

from .back_projection import back_project
from .color_fix import match_colors
from .refine import Refiner, load_refiner, refine_frames

__all__ = ["Refiner", "back_project", "load_refiner", "match_colors", "refine_frames"]
