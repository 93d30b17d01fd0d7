"""The command line: ``patchvsr upscale|plan|doctor``, or ``python -m patchvsr_core``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .cli.interrupts import INTERRUPTED, STOPPED, print_any_name, stopped_once


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence and exit code 2."""
    print_any_name()
    with stopped_once():
        try:
            return _main(arguments)
        except KeyboardInterrupt:  # before the command began, or after it ended
            print(STOPPED, file=sys.stderr)
            return INTERRUPTED


def _main(arguments: Sequence[str] | None) -> int:
    """What loads torch, which takes seconds in which it can be stopped, too."""
    from .cli.exit_codes import run_command
    from .cli.parser import make_parser
    from .cli.torchrun import join_launch

    with join_launch() as launch:
        return run_command(make_parser().parse_args(arguments), launch)


if __name__ == "__main__":
    raise SystemExit(main())
