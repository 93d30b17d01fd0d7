"""Progress and interruption inside ComfyUI."""

from __future__ import annotations

import comfy.model_management
import comfy.utils


def check_interrupt() -> None:
    """Raise ComfyUI's own exception when the user pressed cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


class Progress:
    """A node's progress bar that also checks for interruption; call it with (done, in all)."""

    def __init__(self) -> None:
        self.bar = comfy.utils.ProgressBar(1)

    def __call__(self, done: int, total: int) -> None:
        self.bar.update_absolute(done, total)
        check_interrupt()
