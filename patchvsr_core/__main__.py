"""The command line: ``python -m patchvsr_core upscale|plan``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from . import __version__
from .errors import MediaError, PatchVSRError
from .planner import LAYOUTS
from .sampling import SOLVERS
from .settings import Settings
from .sizes import target_size

USER_ERROR = 2
INTERRUPTED = 130
OUT_OF_MEMORY = (
    "Memory ran out; choose a smaller --scale or --patch-px, --patches-at-once 1, or cut the clip into shorter ones."
)
BAR = "{desc}|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}]"
UNITS = {"encode": "tiles", "denoise": "patches x steps", "decode": "tiles", "refine": "frames", "fidelity": "frames"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence and exit code 2."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped run cleans up as Ctrl+C does
    try:
        options.run(options)
    except PatchVSRError as error:
        print(f"patchvsr: {error}", file=sys.stderr)
        return USER_ERROR
    except MemoryError:
        print(f"patchvsr: {OUT_OF_MEMORY}", file=sys.stderr)
        return USER_ERROR
    except RuntimeError as error:
        if "memory" not in str(error).lower():
            raise
        print(f"patchvsr: {OUT_OF_MEMORY}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("patchvsr: stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _upscale(options: argparse.Namespace) -> None:
    from .video import VideoWriter, probe, read_clip
    from .video.writer import check_target

    output = Path(options.output)
    info = probe(options.input)
    target = target_size((info.height, info.width), scale=options.scale, size=options.size)
    check_target(output, info.path)
    clip = read_clip(options.input)
    from .hosts.models import load_models
    from .pipeline import upscale

    models = load_models(options.model, vae=options.vae, adapter=options.adapter, device=options.device)
    settings = _settings(models.defaults, options)
    start = time.monotonic()
    with (
        VideoWriter(
            output,
            target,
            clip.timestamps,
            clip.time_base,
            fps=info.fps,
            audio_from=info.path if info.audio_streams else None,
            crf=options.crf,
            pixel_aspect=info.pixel_aspect,
        ) as writer,
        _Bar() as bar,
    ):
        writer.write(upscale(clip.frames, target, models, settings, bar))
    seconds = time.monotonic() - start
    print(f"{output}: {len(clip.frames)} frames of {target[1]}x{target[0]} in {seconds:.0f} s")


def _plan(options: argparse.Namespace) -> None:
    from .video import probe

    info = probe(options.input)
    source = (info.height, info.width)
    target = target_size(source, scale=options.scale, size=options.size)
    from .estimate import estimate
    from .hosts.models import load_models
    from .pipeline import make_plan

    models = load_models(options.model, vae=options.vae, adapter=options.adapter, device=options.device)
    settings = _settings(models.defaults, options)
    if not info.frames:
        raise MediaError(f"{info.path.name} does not say how many frames it has; convert it to .mp4 first.")
    plan = make_plan(info.frames, source, target, models, settings)
    cost = estimate(plan, models, settings)
    kinds = [patch.kind for patch in plan.patches]
    frames, height, width = plan.patch_size
    print(f"input      {info.width}x{info.height}, {info.frames} frames, {float(info.fps):g} frames/s")
    print(f"output     {target[1]}x{target[0]}")
    print(f"canvas     {' x '.join(map(str, plan.canvas.latent_shape))} latent cells (T x H x W)")
    print(f"patches    {len(kinds)} of {frames} x {height} x {width}, layout {plan.layout}")
    for kind in ("primary", "auxiliary", "corner"):
        print(f"           {kinds.count(kind):6d} {kind}")
    print(f"work       {cost.patches} patch evaluations in {settings.steps} steps")
    print(f"memory     about {cost.memory_bytes / 2**30:.2f} GiB beside the weights")
    print(f"time       about {cost.seconds:.0f} s on {models.device}")


def _settings(defaults: Settings, options: argparse.Namespace) -> Settings:
    """The model's defaults with what was given on the command line."""
    names = Settings.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    return replace(defaults, **given)


class _Bar:
    """A progress bar for each stage in turn."""

    def __enter__(self) -> _Bar:
        self.stage = ""
        self.bar: tqdm[None] | None = None
        return self

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bar is None or stage != self.stage:
            self._close()
            self.stage = stage
            self.bar = tqdm(desc=f"{stage:8}", total=total, unit=UNITS[stage], dynamic_ncols=True, bar_format=BAR)
        self.bar.update(done - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m patchvsr_core", description="Upscale video by jointly restored patches."
    )
    parser.add_argument("--version", action="version", version=f"PatchVSR {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    upscale = commands.add_parser("upscale", help="upscale a video file")
    upscale.add_argument("input", help="video file")
    upscale.add_argument("output", help="target: .mp4, .mov, .mkv or .webm; replaced if it exists")
    upscale.add_argument(
        "--crf",
        type=int,
        choices=range(52),
        metavar="0..51",
        default=16,
        help="encoder quality, lower is better (default: 16)",
    )
    upscale.set_defaults(run=_upscale)
    plan = commands.add_parser("plan", help="say how many patches, how much memory and time a run takes")
    plan.add_argument("input", help="video file")
    plan.set_defaults(run=_plan)
    for command in (upscale, plan):
        _add_choices(command)
    return parser


def _add_choices(command: argparse.ArgumentParser) -> None:
    size = command.add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help="enlargement factor (default: 4)")
    size.add_argument("--size", help="target as WIDTHxHEIGHT; 0 for one side keeps the aspect ratio")
    command.add_argument("--model", default="tiny", help="'tiny' (shipped) or the path of a Wan (default: tiny)")
    command.add_argument("--vae", help="Wan's VAE, a file or folder")
    command.add_argument("--adapter", help="PatchVSR adapter for that model")
    command.add_argument("--layout", choices=list(LAYOUTS), help="where patches lie (default: corner)")
    command.add_argument("--steps", type=int, help="denoising steps (default: tiny 1, Wan 20, without adapter 10)")
    command.add_argument("--solver", choices=list(SOLVERS), help="default: euler")
    command.add_argument("--start", type=float, help="first noise level; below 1 starts from the noised input")
    command.add_argument("--structure-lock", type=float, help="hold low frequencies to the input, 0 to 1")
    command.add_argument("--projection-steps", type=int, help="last steps that are back-projected in pixels")
    command.add_argument("--churn", type=float, help="noise exchanged at every step, 0 to 1")
    command.add_argument("--noise-level", type=float, help="noise augmentation of the condition, 0 to 1")
    command.add_argument("--seed", type=int, help="default: 0")
    command.add_argument("--patch-px", type=int, help="side of a patch (default: 256 for tiny, 512 for Wan)")
    command.add_argument("--color", choices=["wavelet", "adain", "none"], help="colour fix against the input")
    command.add_argument("--refine-strength", type=float, help="0 (off) to 1")
    command.add_argument("--detail", type=float, help="crispness that the refiner aims at, 0 (most faithful) to 1")
    command.add_argument("--fidelity-strength", type=float, help="back-projection onto the input, 0 (off) to 1")
    command.add_argument(
        "--keep-noise", action="store_true", default=None, help="match the input exactly even where it is noisy"
    )
    command.add_argument("--patches-at-once", type=int, help="patches per model call (default: 1)")
    command.add_argument("--device", default="auto", help="cpu, cuda, mps, ... (default: a CUDA GPU if there is one)")


if __name__ == "__main__":
    raise SystemExit(main())
