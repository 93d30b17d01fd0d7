"""Side data of decoded frames: what a file states about a picture beside its pixels."""

from __future__ import annotations

from typing import Any

import av
from av.sidedata.sidedata import SideDataContainer, Type


def read_side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """The contents of a frame's side data by libav's names, such as ``DISPLAYMATRIX``."""
    container: Any = SideDataContainer  # PyAV's types leave out that it takes a frame
    found = container(frame)  # frame.side_data would refer to the frame, which would outlive its last use
    return {data.type.name: bytes(data) for data in (found[index] for index in range(len(found)))}


def _unknown(kind: Any, value: int) -> Any:
    """A kind of side data that FFmpeg knows and PyAV does not, such as EXIF, which otherwise hides all others."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member


Type._missing_ = classmethod(_unknown)  # type: ignore[assignment]
