"""Opens files, and nothing that they or their names point at.

libav follows playlists to other files and servers, and takes ``Film: part 1.mp4`` for an address. Every input is opened
here, and of an EXR file with several layers its picture.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
from av.container import InputContainer

from ..errors import MediaError
from .exr_layers import shown_layer

POINTERS = {"concat", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "webm_dash_manifest"}
"""libav's formats that hold no video themselves, but name other files or addresses to read."""


def open_input(path: Path) -> InputContainer:
    """Open a video, audio or image file.

    Raises:
        MediaError: when it is no file that libav reads, or a playlist.
    """
    layer = shown_layer(path) if path.suffix.lower() == ".exr" else ""
    options = {"layer": layer} if layer else {}
    try:
        container = av.open(local_url(path), metadata_errors="replace", options={**_only_files(), **options})
        if options:
            container.streams.video[0].codec_context.options = options
        return container
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name} cannot be opened as video ({error.strerror or error}); check that the file is complete, and "
            "that it is the video itself, as playlists are not read."
        ) from error


def local_url(path: Path) -> str:
    """The name of a file for libav, which would take what stands before a colon for a protocol."""
    return f"file:{path}"


def is_of_the_system(error: av.error.FFmpegError) -> bool:
    """Whether the disk or memory failed, rather than that the content is damaged."""
    return isinstance(error, OSError | MemoryError) and not isinstance(error, EOFError | ValueError)


@lru_cache
def _only_files() -> dict[str, str]:
    own = sorted(av.formats_available - POINTERS)
    return {"protocol_whitelist": "file", "format_whitelist": ",".join(own)}
