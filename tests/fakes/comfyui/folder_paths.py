"""Model folders, and those for files. ``folders`` is empty until a test names one."""

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


def get_input_directory() -> str:
    return str(folders["input"])


def get_output_directory() -> str:
    return str(folders.get("output", "/nowhere"))


def get_temp_directory() -> str:
    return str(folders.get("temp", "/nowhere"))


def get_user_directory() -> str:
    return str(folders.get("user", "/nowhere"))


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    subfolder, name = str(Path(filename_prefix).parent), Path(filename_prefix).name
    folder = Path(output_dir) / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    counters = [int(path.name[len(name) + 1 :].split("_")[0]) for path in folder.glob(f"{name}_*")]
    return str(folder), name, max(counters, default=0) + 1, subfolder, filename_prefix
