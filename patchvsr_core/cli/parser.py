"""The commands and their flags; those of the settings are made in :mod:`cli.flags`."""

from __future__ import annotations

import argparse

from ..devices import AUTO as AUTO_PRECISION
from ..devices import PRECISIONS
from ..plan.target_size import MAX_SCALE
from ..run.shares import parse_part
from ..version import VERSION
from ..video.audio import AUTO, CHOICES
from ..video.encoders import CODECS, CRF, CRF_RANGE
from ..video.fields import AUTO as FIELDS_AUTO
from ..video.fields import CHOICES as FIELDS_CHOICES
from .commands import doctor, plan, upscale
from .flags import add_settings
from .pipes import FORMATS, NUT

DEVICE_HELP = "cpu, cuda, mps, ... (default: a CUDA GPU if there is one)"


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; ``run`` of what it returns carries out the command."""
    parser = argparse.ArgumentParser(prog="patchvsr", description="Upscale video by jointly restored patches.")
    parser.add_argument("--version", action="version", version=f"PatchVSR {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("upscale", help="upscale a video file")
    up.add_argument(
        "input", help="video file, folder of images, a pattern such as frame_%%05d.png, or - for a y4m or NUT stream"
    )
    up.add_argument(
        "output",
        help=".mp4, .mov, .mkv or .webm file; folder for .png images; or a pattern such as out/f_%%05d.exr; "
        "or - for a stream",
    )
    _add_output(up)
    _add_reading(up)
    _add_machines(up)
    up.set_defaults(run=upscale)
    show = commands.add_parser("plan", help="show how many patches, how much memory and how much time a run takes")
    show.add_argument("input", help="video file or folder of images")
    show.set_defaults(run=plan)
    for command in (up, show):
        _add_fields(command)
        _add_section(command)
        _add_size(command)
        _add_models(command)
        _add_chunks(command)
        add_settings(command)
    check = commands.add_parser(
        "doctor", help="check what works here: devices, kernels, packages, weights, models, space"
    )
    check.add_argument("--comfyui", metavar="FOLDER", help="a ComfyUI whose model folders to list")
    check.add_argument("--device", default="auto", help=DEVICE_HELP)
    check.set_defaults(run=doctor, fast=None)
    return parser


def _add_output(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("output file")
    group.add_argument("--codec", choices=list(CODECS), help="default: what suits the file's suffix and transparency")
    group.add_argument(
        "--depth", type=int, choices=(8, 10), help="bits per channel of the result (default: as the input)"
    )
    group.add_argument("--no-alpha", action="store_true", help="drop transparency")
    group.add_argument(
        "--audio",
        choices=CHOICES,
        default=AUTO,
        help="auto: copied, or encoded anew where the file cannot hold it; copy: refuse that; none: no audio "
        f"(default: {AUTO})",
    )
    group.add_argument("--no-subtitles", action="store_true", help="do not copy subtitles")
    low, high = CRF_RANGE
    group.add_argument(
        "--crf",
        type=int,
        choices=range(low, high + 1),
        metavar=f"{low}..{high}",
        default=CRF,
        help=f"encoder quality, lower is better (default: {CRF})",
    )
    group.add_argument(
        "--strength-map",
        metavar="PICTURE",
        help="protects faces, text, logos: black keeps the upsampled input, white is the full result",
    )
    group.add_argument(
        "--pipe", choices=FORMATS, help=f"format of the output - (default: that of the input -, otherwise {NUT})"
    )
    group.add_argument("--fresh", action="store_true", help="discard an unfinished run instead of resuming it")


def _add_fields(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fields",
        choices=FIELDS_CHOICES,
        default=FIELDS_AUTO,
        help="of interlaced video: auto finds it and makes each frame progressive, and restores the film frames of "
        "telecined video; keep leaves frames as they are; frame and field make one frame of each frame, or of each "
        "field, at the double rate (default: auto)",
    )


def _add_section(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("part of the input", "TIME: seconds (12.5), minutes (1:02.5), frames (120f)")
    group.add_argument("--from", dest="begin", metavar="TIME", help="where it begins (default: at the start)")
    group.add_argument("--to", dest="end", metavar="TIME", help="where it ends (default: at the end)")


def _add_reading(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("input file")
    group.add_argument(
        "--strict",
        action="store_true",
        help="refuse a file with losses (default: what can be read is kept)",
    )


def _add_machines(command: argparse.ArgumentParser) -> None:
    machines = command.add_argument_group("many machines")
    group = machines.add_mutually_exclusive_group()
    group.add_argument(
        "--ray",
        metavar="auto|ADDRESS",
        help="divide the chunks among the workers of a Ray cluster (pip install ray); auto: the one that this machine "
        "belongs to, otherwise one on this machine alone",
    )
    group.add_argument(
        "--part",
        type=parse_part,
        metavar="K/N",
        help="make part K of N alone, 1/N to N/N; all parts use the same INPUT, OUTPUT and options, on machines that "
        "share the folder of OUTPUT, in any order and as often as needed",
    )
    group.add_argument("--join", action="store_true", help="make OUTPUT from its finished parts")
    machines.add_argument(
        "--ray-cpus", type=int, default=1, metavar="CORES", help="CPU cores of a Ray worker without a GPU (default: 1)"
    )


def _add_size(command: argparse.ArgumentParser) -> None:
    size = command.add_argument_group("size").add_mutually_exclusive_group()
    size.add_argument("--scale", type=float, help=f"upscaling factor, 1 to {MAX_SCALE:g} (default: 4)")
    size.add_argument("--size", help="target as WIDTHxHEIGHT; 0 for one side keeps the aspect ratio")


def _add_models(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("models")
    group.add_argument(
        "--fast",
        metavar="NETWORK",
        help="a real-time network instead of diffusion: 'dap' for any video, 'rdg' for renders (both shipped), or the "
        "path of one; the options of the other models have no effect on it",
    )
    group.add_argument(
        "--passes",
        metavar="FOLDER",
        help="render passes for --fast rdg: multi-layer EXR files, one for each frame, as a folder or a pattern "
        "such as shot_%%04d.exr (default: those of the input, where it is such files itself); none: no passes",
    )
    group.add_argument("--model", help="'tiny' (shipped) or the path of a Wan (default: tiny)")
    group.add_argument("--vae", help="Wan's VAE, a file or folder")
    group.add_argument("--adapter", help="PatchVSR adapter for that model")
    group.add_argument("--refiner", help="'conditional' (shipped) or a refiner file (default: the model's own)")
    group.add_argument("--decoder", help="conditional decoder that was trained with the VAE")
    group.add_argument("--prompt", help="safetensors file with an embedded prompt, for a Wan")
    group.add_argument("--negative", help="safetensors file with an embedded negative prompt")
    group.add_argument("--device", default="auto", help=DEVICE_HELP)
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=AUTO_PRECISION,
        help="in which networks compute; auto: bfloat16 on CPUs that have it, half on GPUs, otherwise float32 "
        "(default: auto)",
    )


def _add_chunks(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("chunks")
    group.add_argument("--chunk-frames", type=int, help="frames in memory at once (default: what memory allows)")
    group.add_argument("--chunk-overlap", type=int, help="frames in which chunks fade into one another (default: 2)")
    group.add_argument("--no-cuts", action="store_true", help="treat the clip as a single shot")
