"""How much disk a job will take."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import OutputError
from .chunk_files import Encoding
from .encoders import CRF, choose_encoder
from .info import VideoInfo
from .sequence import folder_of, is_sequence, pattern

LOSSY_BYTES = 0.15
"""Of a pixel at the default CRF; half of it for every 6 more. Grain takes more, flat pictures less."""
BYTES = {"prores_ks": 0.6, "ffv1": 1.3, ".png": 1.6, ".exr": 4.0}
LEAST = 0.25
"""Part of the estimate that must be free: films differ much."""


def disk_bytes(output: Path, frames: int, size: tuple[int, int], info: VideoInfo, encoding: Encoding) -> int:
    """Estimate of the largest space in use: pieces and the joined file, which for a moment both exist."""
    pixels = frames * size[0] * size[1]
    picture = encoding.picture(info)
    if is_sequence(output):
        suffix = pattern(output).suffix.lower()
        return round(pixels * BYTES[suffix] * (1 + (picture.depth > 8 and suffix == ".png")))
    encoder = choose_encoder(output, size, picture, encoding.codec, encoding.crf)
    return 2 * file_bytes(pixels, encoder.codec, encoding.crf)


def file_bytes(pixels: int, codec: str, crf: int) -> int:
    """Estimate of the size of a video of so many pixels in all."""
    return round(pixels * BYTES.get(codec, LOSSY_BYTES * 2 ** ((CRF - crf) / 6)))


def check_space(output: Path, needed: int) -> None:
    """Raise when a job cannot fit.

    Raises:
        OutputError: with both sizes.
    """
    folder = folder_of(output)
    free = shutil.disk_usage(folder).free
    if free < LEAST * needed:
        raise OutputError(
            f"The result needs about {needed / 2**30:.1f} GiB of disk, and {free / 2**30:.1f} GiB are free in "
            f"{folder}; free some space, or choose another place or a higher --crf."
        )
