"""Command line of the trainer; what a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import PatchVSRError


def main(arguments: list[str] | None = None) -> int:
    """Precompute, train or export; user errors become one sentence and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PatchVSRError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        print("Training needs accelerate: pip install accelerate", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m patchvsr_core.training", description="Train PatchVSR models.")
    commands = parser.add_subparsers(dest="command", required=True)
    precompute = commands.add_parser(
        "precompute", help="encode footage for a Wan's adapter, or decode it for the refiner"
    )
    precompute.add_argument("--data", type=Path, required=True, help="folder of videos and photographs")
    precompute.add_argument("--vae", type=Path, help="Wan's VAE, a file or folder (for an adapter)")
    precompute.add_argument("--weights", type=Path, help="folder of the tiny default's weights (for its refiner)")
    precompute.add_argument("--samples", type=int, default=2000, help="clips or batches to draw (default: 2000)")
    precompute.add_argument("--first", type=int, default=0, help="number of the first one, to share the work")
    precompute.add_argument("--prompt", type=Path, help="safetensors file with the embedding of the fixed prompt")
    precompute.add_argument("--out", type=Path, required=True, help="folder for the latents")
    precompute.set_defaults(run=_precompute)
    train = commands.add_parser("train", help="train; resumes by itself, and writes the weights when it stops")
    train.add_argument("--data", type=Path, required=True, help="folder of footage (tiny), or of what precompute wrote")
    train.add_argument("--base", type=Path, help="the Wan that the adapter is for, a file or folder")
    train.add_argument("--out", type=Path, required=True, help="folder for the state, the log and the weights")
    train.add_argument("--init", type=Path, help="start from a run's state.pt, or a folder of weights")
    train.add_argument("--validate", type=Path, help="folder of clips to validate with; they must not be trained on")
    train.add_argument("--weights", type=Path, help="folder of the tiny default's weights, to validate a refiner with")
    train.add_argument("--vae", type=Path, help="Wan's VAE: to validate an adapter with, or what a decoder is for")
    train.add_argument(
        "--perceptual", type=Path, help="weights of LPIPS, see training/perceptual.py (to train with it)"
    )
    train.add_argument("--minutes", type=float, default=float("inf"), help="stop and save after this time")
    train.set_defaults(run=_train)
    export = commands.add_parser("export", help="write the averaged weights of a run that is still going")
    source = export.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", dest="folder", type=Path, help="the --out folder of a run")
    source.add_argument(
        "--int8", type=Path, nargs="+", metavar="FILE", help="write exported weights again, as 8-bit integers"
    )
    export.add_argument("--base", type=Path, help="the Wan that the adapter is for")
    export.add_argument("--blend", type=Path, metavar="RUN", help="write what lies between this run and another")
    export.add_argument("--share", type=float, default=0.5, help="of --run in the blend, 0 to 1 (default: 0.5)")
    export.add_argument(
        "--onto", type=Path, metavar="RUN", help="add what the two differ in to a third run, which may have more blocks"
    )
    export.add_argument("--to", type=Path, required=True, help="folder (tiny, --int8) or file (adapter, decoder)")
    export.set_defaults(run=_export)
    for command in (precompute, train, export):
        command.add_argument("--config", default="tiny", help="a TOML file or a shipped name (default: tiny)")
    for command in (precompute, train):
        command.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    return parser


def _precompute(options: argparse.Namespace) -> None:
    from .config import load_config
    from .registry import find_task

    config = load_config(options.config)
    precompute = find_task(config.task).precompute
    if precompute is None:
        raise PatchVSRError(
            f"Task {config.task!r} is trained on footage directly; continue with train and the same --data."
        )
    precompute(config, options)


def _train(options: argparse.Namespace) -> None:
    from .config import load_config
    from .export import export_run
    from .factory import make_trainer
    from .registry import find_task

    config = load_config(options.config)
    trainer = make_trainer(config, options)
    trainer.run(options.minutes)
    target = options.out / "weights" / find_task(config.task).weights_file
    export_run(config, options.out, target, options.base)
    print(f"step {trainer.step} of {config.steps}; weights in {options.out / 'weights'}")


def _export(options: argparse.Namespace) -> None:
    from .config import load_config
    from .export import Blend, compress, export_run

    if options.int8:
        compress(options.int8, options.to)
        return
    blend = None if options.blend is None else Blend(options.blend, options.share, options.onto)
    export_run(load_config(options.config), options.folder, options.to, options.base, blend)


if __name__ == "__main__":
    raise SystemExit(main())
