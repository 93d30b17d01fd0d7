"""Frames to latents and back: codecs, encoding to the canvas, decoding in tiles, and decoders that see the input.

A codec is the one interface to whatever encodes: Wan's VAE, or a lossless one that takes no model.
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
