"""What a node shows in the frontend."""

from __future__ import annotations

from typing import Any

from ._io import FolderType


class SavedResult(dict[str, str]):
    """Where a file is."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)


class PreviewVideo:
    def __init__(self, values: list[Any], **kwargs: Any) -> None:
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (True,)}


class PreviewImage:
    """Holds the frames; the real one writes them into ComfyUI's temporary folder."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **kwargs: Any) -> None:
        self.values, self.animated = [SavedResult(f"{k}.png", "", FolderType.temp) for k in range(len(image))], animated

    def as_dict(self) -> dict[str, Any]:
        return {"images": self.values, "animated": (self.animated,)}


class PreviewText:
    def __init__(self, value: str, **kwargs: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}
