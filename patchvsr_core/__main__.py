"""The command line: ``python -m patchvsr_core upscale|plan|doctor``."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence

from . import __version__
from .cli.commands import doctor, plan, upscale
from .cli.torchrun import Launch, join_launch
from .errors import PatchVSRError
from .plan.planner import LAYOUTS
from .sampling.solvers import SOLVERS
from .settings import BASE_LAYERS, SCHEDULES
from .video.encoders import CODECS, CRF

USER_ERROR = 2
INTERRUPTED = 130
OUT_OF_MEMORY = "Memory ran out; choose fewer --chunk-frames, a smaller --scale or --patch-px, or --patches-at-once 1."
OUT_OF_MEMORY_FAST = "Memory ran out; choose fewer --chunk-frames, a smaller network for --fast, or --device cpu."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence and exit code 2."""
    with join_launch() as launch:
        return _run(_parser().parse_args(arguments), launch)


def _run(options: argparse.Namespace, launch: Launch) -> int:
    signal.signal(signal.SIGTERM, launch.handle_sigterm)  # a stopped run cleans up as Ctrl+C does
    try:
        options.run(options, launch)
    except PatchVSRError as error:
        launch.report_failure(f"patchvsr: {error}")
        return USER_ERROR
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        launch.report_failure(f"patchvsr: {OUT_OF_MEMORY_FAST if options.fast else OUT_OF_MEMORY}")
        return USER_ERROR
    except KeyboardInterrupt:
        launch.report_failure("patchvsr: stopped; the same command goes on from the last finished chunk.")
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m patchvsr_core", description="Upscale video by jointly restored patches."
    )
    parser.add_argument("--version", action="version", version=f"PatchVSR {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("upscale", help="upscale a video file")
    up.add_argument("input", help="video file, folder of images, or a pattern such as frame_%%05d.png")
    up.add_argument(
        "output", help=".mp4, .mov, .mkv or .webm file; folder for .png images; or a pattern such as out/f_%%05d.exr"
    )
    up.add_argument("--codec", choices=list(CODECS), help="default: what suits the file's suffix and transparency")
    up.add_argument("--depth", type=int, choices=(8, 10), help="bits of the result (default: as the input)")
    up.add_argument("--no-alpha", action="store_true", help="drop transparency")
    up.add_argument("--no-subtitles", action="store_true", help="do not copy subtitles")
    up.add_argument(
        "--crf",
        type=int,
        choices=range(52),
        metavar="0..51",
        default=CRF,
        help=f"encoder quality, lower is better (default: {CRF})",
    )
    up.add_argument(
        "--strength-map",
        metavar="PICTURE",
        help="protects faces, text, logos: black keeps the enlarged input, white is the full result",
    )
    up.add_argument("--fresh", action="store_true", help="discard what an unfinished run left, instead of going on")
    up.set_defaults(run=upscale)
    show = commands.add_parser("plan", help="say how many patches, how much memory and time a run takes")
    show.add_argument("input", help="video file or folder of images")
    show.set_defaults(run=plan)
    for command in (up, show):
        _add_choices(command)
    look = commands.add_parser("doctor", help="say what works here: devices, kernels, packages, weights, models, space")
    look.add_argument("--comfyui", metavar="FOLDER", help="of a ComfyUI whose model folders to look into")
    look.add_argument("--device", default="auto", help="cpu, cuda, mps, ... (default: a CUDA GPU if there is one)")
    look.set_defaults(run=doctor, fast=None)
    return parser


def _add_choices(command: argparse.ArgumentParser) -> None:
    size = command.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help="enlargement factor (default: 4)")
    size.add_argument("--size", help="target as WIDTHxHEIGHT; 0 for one side keeps the aspect ratio")
    command.add_argument(
        "--fast",
        metavar="NETWORK",
        help="a real-time network instead of diffusion: 'dap' for any video, 'rdg' for renders (both shipped), or the "
        "path of one; takes no option of the other models",
    )
    command.add_argument("--model", help="'tiny' (shipped) or the path of a Wan (default: tiny)")
    command.add_argument("--vae", help="Wan's VAE, a file or folder")
    command.add_argument("--adapter", help="PatchVSR adapter for that model")
    command.add_argument("--refiner", help="'conditional' (shipped) or a refiner file (default: the model's own)")
    command.add_argument("--decoder", help="conditional decoder that was trained with the VAE")
    command.add_argument("--prompt", help="safetensors file with an embedded prompt, for a Wan")
    command.add_argument("--negative", help="likewise, what guidance leads away from")
    command.add_argument(
        "--layout", choices=list(LAYOUTS), help="where patches lie (default: tiny overlapping, Wan corner)"
    )
    command.add_argument("--steps", type=int, help="denoising steps (default: tiny 1, Wan 20, without adapter 10)")
    command.add_argument("--solver", choices=list(SOLVERS), help="default: euler")
    command.add_argument("--start", type=float, help="first noise level; below 1 starts from the noised input")
    command.add_argument("--schedule", choices=SCHEDULES, help="noise levels (default: shifted)")
    command.add_argument("--guidance", type=float, help="classifier-free guidance; 1 is off (default)")
    command.add_argument("--guidance-rescale", type=float, help="0 to 1; 0.2 oversaturates less")
    command.add_argument("--softening", type=float, help="detail guidance (DSSAG): 1 is off, 1.5 usual")
    command.add_argument(
        "--propagation", type=float, help="mix with neighbours along the motion; 0 is off; Wan 0.5, tiny 0.25"
    )
    command.add_argument("--propagation-start", type=float, help="noise level from which on (default: 0.4)")
    command.add_argument("--propagation-end", type=float, help="noise level down to which (default: 0)")
    for name, effect in (
        ("spatial", "patches attend to the whole frame (SAP)"),
        ("temporal", "patches attend to the window of time before or after (TAP)"),
        ("lazy", "SAP with what the step before recorded"),
    ):
        command.add_argument(f"--{name}-attention", action="store_true", default=None, help=effect)
    command.add_argument(
        "--attention-offload", action="store_true", default=None, help="keep what SAP and TAP remember off the GPU"
    )
    command.add_argument("--attention-layers", help="blocks for both, such as 0-9,20 (default: all)")
    command.add_argument(
        "--low-frequency-guidance", "--structure-lock", type=float, help="hold low frequencies to the input, 0 to 1"
    )
    command.add_argument("--projection-steps", type=int, help="last steps that are back-projected in pixels")
    command.add_argument("--eta", "--churn", type=float, help="noise exchanged at every step, 0 to 1")
    command.add_argument("--noise-level", type=float, help="noise augmentation of the condition, 0 to 1")
    command.add_argument(
        "--base-layer", choices=BASE_LAYERS, help="what enlarges the input for the patches to refine (default: bicubic)"
    )
    command.add_argument("--seed", type=int, help="default: 0")
    command.add_argument("--patch-px", type=int, help="side of a patch (default: 256 for tiny, 512 for Wan)")
    command.add_argument("--color", choices=["wavelet", "adain", "none"], help="colour fix against the input")
    command.add_argument("--refine-strength", type=float, help="0 (off) to 1")
    command.add_argument("--detail", type=float, help="crispness that the refiner aims at, 0 (most faithful) to 1")
    command.add_argument("--fidelity-strength", type=float, help="back-projection onto the input, 0 (off) to 1")
    command.add_argument(
        "--restore-strength",
        "--cleanup",
        type=float,
        help="factor on the measured noise and compression to remove; 0 keeps film grain",
    )
    command.add_argument("--patches-at-once", type=int, help="patches per model call (default: 0, as many as fit)")
    command.add_argument(
        "--auxiliary-start", type=float, help="noise level from which on patches over borders run (default: 1)"
    )
    command.add_argument("--auxiliary-end", type=float, help="noise level down to which (default: 0)")
    command.add_argument(
        "--skip-interval",
        "--economy",
        type=int,
        help="patches that are empty or stand still run at every so manieth step (default: 1)",
    )
    command.add_argument("--chunk-frames", type=int, help="frames in memory at once (default: what memory allows)")
    command.add_argument("--chunk-overlap", type=int, help="frames in which chunks fade into one another (default: 2)")
    command.add_argument("--no-cuts", action="store_true", help="take the clip for one shot")
    command.add_argument("--device", default="auto", help="cpu, cuda, mps, ... (default: a CUDA GPU if there is one)")


if __name__ == "__main__":
    raise SystemExit(main())
