"""Model folders. ``folders`` is empty until a test names one."""

from __future__ import annotations

from pathlib import Path

folders: dict[str, Path] = {}


def get_filename_list(folder_name: str) -> list[str]:
    folder = folders.get(folder_name)
    return sorted(path.name for path in folder.iterdir()) if folder else []


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = folders.get(folder_name, Path()) / filename
    if not path.is_file():
        raise FileNotFoundError(f"Model in folder '{folder_name}' with filename '{filename}' not found.")
    return str(path)
