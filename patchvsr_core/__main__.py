"""The command line: ``patchvsr upscale|plan|doctor``, or ``python -m patchvsr_core``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from .cli.interrupts import INTERRUPTED, print_any_name, stopped_once
from .cli.parser import make_parser
from .cli.torchrun import Launch, join_launch
from .errors import PatchVSRError
from .run.oom_backoff import is_out_of_memory

USER_ERROR = 2
STOPPED = "patchvsr: stopped; the same command resumes after the last finished chunk."
OUT_OF_MEMORY = "Memory ran out; choose fewer --chunk-frames, a smaller --scale or --patch-px, or --patches-at-once 1."
OUT_OF_MEMORY_FAST = "Memory ran out; choose fewer --chunk-frames, a smaller network for --fast, or --device cpu."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence and exit code 2."""
    print_any_name()
    with stopped_once():
        try:
            with join_launch() as launch:
                return _run(make_parser().parse_args(arguments), launch)
        except KeyboardInterrupt:  # before the command began, or after it ended
            print(STOPPED, file=sys.stderr)
            return INTERRUPTED


def _run(options: argparse.Namespace, launch: Launch) -> int:
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


if __name__ == "__main__":
    raise SystemExit(main())
