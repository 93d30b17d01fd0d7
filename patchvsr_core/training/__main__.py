"""Command line of the trainer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import PatchVSRError


def main(arguments: list[str] | None = None) -> int:
    """Parse, train or export; user errors become one sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m patchvsr_core.training", description="Train PatchVSR models.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train from a folder of videos and photographs; resumes by itself")
    train.add_argument("--config", default="tiny", help="a TOML file or a shipped name (default: tiny)")
    train.add_argument("--data", type=Path, required=True, help="folder of videos and photographs")
    train.add_argument("--out", type=Path, required=True, help="folder for the state and the decoded videos")
    train.add_argument("--device", default="cpu")
    train.add_argument("--minutes", type=float, default=float("inf"), help="stop and save after this time")
    train.add_argument("--init", type=Path, help="state.pt of an earlier run to start from")
    export = commands.add_parser("export", help="write the averaged weights of a run as model files")
    export.add_argument("--config", default="tiny")
    export.add_argument("--run", type=Path, required=True, help="the --out folder of a run")
    export.add_argument("--to", type=Path, required=True, help="folder for the model files")
    options = parser.parse_args(arguments)
    try:
        if options.command == "train":
            from .config import load_config
            from .trainer import Trainer

            config = load_config(options.config)
            Trainer(config, options.data, options.out, options.device, options.init).run(options.minutes)
        else:
            from .config import load_config
            from .export import export_run

            export_run(load_config(options.config), options.run, options.to)
    except PatchVSRError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
