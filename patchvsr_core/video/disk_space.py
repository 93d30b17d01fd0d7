"""Estimates the disk space that a job needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import OutputError
from .chunk_files import Encoding
from .encoders import CRF, choose_encoder
from .info import VideoInfo
from .sequence import folder_of, is_sequence, pattern

LOSSY_BYTES = 0.15
"""Bytes per pixel at the default CRF; halved for every 6 more. Grain needs more, flat content less."""
BYTES = {"prores_ks": 0.6, "ffv1": 1.3, ".png": 1.6, ".exr": 4.0}
LEAST = 0.25
"""Fraction of the estimate that must be free, as footage differs a lot."""


def disk_bytes(output: Path, frames: int, size: tuple[int, int], info: VideoInfo, encoding: Encoding) -> int:
    """Estimate the peak disk usage: chunks and the joined file exist at the same time."""
    pixels = frames * size[0] * size[1]
    picture = encoding.picture(info)
    if is_sequence(output):
        suffix = pattern(output).suffix.lower()
        return round(pixels * BYTES[suffix] * (1 + (picture.depth > 8 and suffix == ".png")))
    encoder = choose_encoder(output, size, picture, encoding.codec, encoding.crf)
    return 2 * file_bytes(pixels, encoder.codec, encoding.crf)


def file_bytes(pixels: int, codec: str, crf: int) -> int:
    """Estimate the size of a video with a total number of pixels."""
    return round(pixels * BYTES.get(codec, LOSSY_BYTES * 2 ** ((CRF - crf) / 6)))


def check_space(output: Path, needed: int) -> None:
    """Raise when there is not enough disk space.

    Raises:
        OutputError: with the estimated and the free space.
    """
    folder = folder_of(output)
    free = shutil.disk_usage(folder).free
    if free < LEAST * needed:
        raise OutputError(
            f"The result needs about {needed / 2**30:.1f} GiB of disk space, but {free / 2**30:.1f} GiB are free in "
            f"{folder}",
            flag="free some space, or choose another folder or a higher --crf",
            node="free some space, or choose another folder or a higher crf",
        )
