"""Which files a path typed into a node may name.

A workflow can come from anybody, and anybody who reaches the server can queue one: paths stay in ComfyUI's folders, as
those of its own loaders do, unless whoever starts the server names others.
"""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..patchvsr_core.errors import MediaError

FOLDERS_VARIABLE = "PATCHVSR_FOLDERS"
"""Environment variable: more folders, separated as in PATH."""


def find_input(path: str) -> Path:
    """Where a path leads from ComfyUI's input folder; without the quotes that file managers copy around it.

    Links in those folders are followed: who put them there meant it.

    Raises:
        MediaError: when nothing is named, the path is on a server, or outside ComfyUI's folders.
    """
    named = path.strip().strip("\"'")
    if not named:
        raise MediaError("The path is empty; name a folder of EXR files in ComfyUI's input folder, or its full path.")
    if named.replace("\\", "/").startswith("//"):  # Windows would send the user's credentials there
        raise MediaError(f"{named} is on a server; map it to a drive or folder, and name that.")
    found = Path(os.path.abspath(os.path.join(folder_paths.get_input_directory(), os.path.expanduser(named))))
    if not any(found.is_relative_to(folder) for folder in _allowed_folders()):
        raise MediaError(
            f"{named} is outside ComfyUI's input, output and temp folders; move it there, or start ComfyUI with the "
            f"environment variable {FOLDERS_VARIABLE} set to its folder."
        )
    return found


def _allowed_folders() -> list[str]:
    own = [folder_paths.get_input_directory(), folder_paths.get_output_directory(), folder_paths.get_temp_directory()]
    more = [folder for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if folder.strip()]
    return [os.path.abspath(os.path.expanduser(folder)) for folder in (*own, *more)]
