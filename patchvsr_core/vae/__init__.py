"""Frames to latents and back: codecs, tiled encoding and decoding, and a decoder conditioned on the input.

``Codec`` is the common interface of Wan's VAE and of a lossless codec that needs no model.
"""

from .codec import Codec, SpaceToDepth, WanVAE
from .conditional_decoder import ConditionalDecoder
from .decode import InputCondition, Tiles, blend_tiles, decode_tiles
from .encode import encode_canvas, encode_global

__all__ = [
    "Codec",
    "ConditionalDecoder",
    "InputCondition",
    "SpaceToDepth",
    "Tiles",
    "WanVAE",
    "blend_tiles",
    "decode_tiles",
    "encode_canvas",
    "encode_global",
]
