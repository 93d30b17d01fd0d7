"""Progress and interruption inside ComfyUI."""

from __future__ import annotations

import comfy.model_management
import comfy.utils
from comfy_execution.utils import get_executing_context


def running_node() -> str | None:
    """The id in the graph of the node at work; None outside of a run."""
    running = get_executing_context()
    return None if running is None else running.node_id


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
