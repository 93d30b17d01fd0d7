"""The command line: ``patchvsr upscale|plan|doctor``, or ``python -m patchvsr_core``."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence

from .cli.parser import make_parser
from .cli.torchrun import Launch, join_launch
from .errors import PatchVSRError
from .run.oom_backoff import is_out_of_memory

USER_ERROR = 2
INTERRUPTED = 130
OUT_OF_MEMORY = "Memory ran out; choose fewer --chunk-frames, a smaller --scale or --patch-px, or --patches-at-once 1."
OUT_OF_MEMORY_FAST = "Memory ran out; choose fewer --chunk-frames, a smaller network for --fast, or --device cpu."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence and exit code 2."""
    with join_launch() as launch:
        return _run(make_parser().parse_args(arguments), launch)


def _run(options: argparse.Namespace, launch: Launch) -> int:
    signal.signal(signal.SIGTERM, launch.handle_sigterm)  # a stopped run cleans up as Ctrl+C does
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
        launch.report_failure("patchvsr: stopped; the same command resumes after the last finished chunk.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
