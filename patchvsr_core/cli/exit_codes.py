"""Carries out one command: what it raises becomes a sentence and an exit code."""

from __future__ import annotations

import argparse
import signal

from ..errors import PatchVSRError
from ..run.oom_backoff import is_out_of_memory
from .interrupts import INTERRUPTED, STOPPED
from .torchrun import Launch

USER_ERROR = 2
OUT_OF_MEMORY = "Memory ran out; choose fewer --chunk-frames, a smaller --scale or --patch-px, or --patches-at-once 1."
OUT_OF_MEMORY_FAST = "Memory ran out; choose fewer --chunk-frames, a smaller network for --fast, or --device cpu."


def run_command(options: argparse.Namespace, launch: Launch) -> int:
    """Carry out a parsed command and return the exit code; user errors are one sentence and code 2."""
    if launch.size > 1:
        signal.signal(signal.SIGTERM, launch.handle_sigterm)
    try:
        options.run(options, launch)
    except PatchVSRError as error:
        launch.report_failure(f"patchvsr: {error}")
        return USER_ERROR
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        launch.report_failure(f"patchvsr: {OUT_OF_MEMORY_FAST if options.fast else OUT_OF_MEMORY}")
        return USER_ERROR
    except KeyboardInterrupt:
        launch.report_failure(STOPPED)
        return INTERRUPTED
    return 0
