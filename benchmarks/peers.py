"""Where this project stands: CPU time a megapixel, memory and quality beside what people would use instead, in one run.

Every network works in a process of its own on the same frames, one thread each; loading and a first frame do not
count. Networks of others are left out where they are not installed, see :mod:`other_networks`. Scaling: the same
file by several processes (parts) and by the workers of a local Ray cluster.

    python benchmarks/peers.py --others FOLDER --perceptual WEIGHTS
    python benchmarks/peers.py --parts scaling --json benchmarks/results/peers.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from measuring import Column, Records, add_common, keep, parsed, progress, publish
from other_networks import OtherNetwork
from pairs import read_pair
from tables import ROOT

from patchvsr_core.devices import AUTO, PRECISIONS
from patchvsr_core.resample import resize

SCALE = 4
OURS = {"fast (--fast dap)": "fast", "balanced (default)": "balanced", "best": "best"}
OTHERS = ("SPAN", "Real-ESRGAN x4plus")
BICUBIC = "bicubic"
WARM_FRAMES = 2
COUNTS = (1, 2, 4)
TITLES = {"peers": "Beside what people would use instead", "scaling": "Several processes and machines"}
SHOT_FRAMES = 12
"""Of the clip for scaling, which has one shot for every process twice: a shot is made by one of them."""
NOTES = (
    "Seconds of CPU time of one thread for a megapixel of output, from frames to frames: without loading, a first "
    "frame, reading and encoding. Peak memory is that of the whole process. Scaling: the whole command on a clip of "
    "eight shots; start-up counts for parts, Ray workers are warm. The last columns are the CPU time of the busiest "
    "process, which is what a run takes where every process has a core to itself."
)
QUALITY = (
    Column("name", "network"),
    Column("cpu", "CPU s/megapixel"),
    Column("ratio", "x SPAN"),
    Column("mib", "peak MiB", 0),
    Column("PSNR", "PSNR"),
    Column("LPIPS", "LPIPS", 4),
)
SCALING = (
    Column("name", "processes"),
    Column("seconds", "s", 1),
    Column("speedup", "x one process"),
    Column("busiest", "CPU s of the busiest", 1),
    Column("ideal", "x one, cores free"),
)
Method = Callable[[Tensor], Tensor]


def method(name: str, options: argparse.Namespace) -> Method:
    """(T, h, w, 3) frames to four times their size, loaded."""
    if name == BICUBIC:
        return lambda small: resize(small, (SCALE * small.shape[1], SCALE * small.shape[2]))
    if name in OTHERS:
        return OtherNetwork(name, options.others, threads=1)
    from patchvsr_core.devices import network_dtype

    if OURS[name] == "fast":
        from patchvsr_core.realtime.upscaler import load_fast

        return load_fast("dap", dtype=network_dtype(torch.device("cpu"), options.precision)).upscale
    from patchvsr_core.hosts.diffusers.models import load_models
    from patchvsr_core.hosts.diffusers.pipeline import upscale
    from patchvsr_core.settings import with_quality

    models = load_models("tiny", device="cpu", precision=options.precision)
    settings = with_quality(models.defaults, OURS[name])
    return lambda small: upscale(small, (SCALE * small.shape[1], SCALE * small.shape[2]), models, settings)


def measure_one(options: argparse.Namespace) -> None:
    """One network in this process; prints its row as JSON."""
    torch.set_num_threads(1)
    pair = read_pair(options.clip, SCALE, options.frames, "clean")
    run = method(options.only, options)
    run(pair.small[:WARM_FRAMES])
    start = time.process_time()
    made = run(pair.small)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"name": options.only, "cpu": seconds / (made[..., 0].numel() / 1e6), "mib": peak}
    row["PSNR"] = metrics.psnr(made, pair.truth)
    if options.perceptual:
        row |= {name: measured(made, pair.truth) for name, measured in metrics.perceptual(options.perceptual).items()}
    print(json.dumps(row))


def compare(options: argparse.Namespace) -> Records:
    """Every network in turn."""
    names = [BICUBIC, *(OTHERS if options.others else ()), *OURS]
    rows = []
    for name in names:
        progress(name)
        rows.append(json.loads(child(options, "--only", name).splitlines()[-1]))
    unit = next((row["cpu"] for row in rows if row["name"] == "SPAN"), None)
    rows = [row | ({"ratio": row["cpu"] / unit} if unit else {}) for row in rows]
    return Records("peers", f"CPU time, memory and quality, {options.clip.name} by {SCALE}", QUALITY, rows)


def child(options: argparse.Namespace, *more: str) -> str:
    """What another process of this script prints, on one thread."""
    given = ["--clip", options.clip, "--frames", options.frames, "--precision", options.precision]
    for name in ("others", "perceptual"):
        given += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    command = [sys.executable, __file__, *map(str, given), *more]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=one_thread()).stdout


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def scaling(options: argparse.Namespace) -> Records:
    """The same file by one process, by parts side by side, and by Ray workers; the bytes must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        source = write_shots(options, Path(folder) / "in.mp4")
        rows = [run_parts(source, count) for count in COUNTS]
        try:
            import ray  # noqa: F401

            rows += [json.loads(child(options, "--workers", str(count), "--only", str(source))) for count in COUNTS]
        except ImportError:
            progress("Ray is not installed: left out")
        whole = source.with_name("parts1.mp4").read_bytes()
        assert all(path.read_bytes() == whole for path in source.parent.glob("*[0-9].mp4")), "the files differ"
    for kind in ("part", "Ray worker"):
        own = [row for row in rows if kind in row["name"]]
        for row in own:
            row |= {"speedup": own[0]["seconds"] / row["seconds"], "ideal": own[0]["busiest"] / row["busiest"]}
    return Records("scaling", "--fast dap, several processes of one thread each", SCALING, rows)


def write_shots(options: argparse.Namespace, path: Path) -> Path:
    """A clip of shots that cut detection tells apart: the same frames turned, mirrored and inverted."""
    from patchvsr_core.video.picture import Picture
    from patchvsr_core.video.writer import VideoWriter

    small = read_pair(options.clip, SCALE, SHOT_FRAMES, "clean").small[..., :3]
    looks = [small, 1 - small, small.flip(2) ** 3, 1 - small.flip(1) ** 2] * 2
    clip = torch.cat(looks)
    size = int(clip.shape[1]), int(clip.shape[2])
    with VideoWriter(
        path, size, range(len(clip)), Fraction(1, 24), fps=Fraction(24), crf=8, picture=Picture()
    ) as writer:
        writer.write(clip)
    return path


def command(source: Path, output: Path, *more: str) -> list[str]:
    return ["upscale", str(source), str(output), "--fast", "dap", "--device", "cpu", *more]


def run_parts(source: Path, count: int) -> dict[str, Any]:
    """``count`` parts side by side, then joined."""
    output = source.with_name(f"parts{count}.mp4")
    base = [sys.executable, "-m", "patchvsr_core"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": one_thread()}
    start = time.monotonic()
    running = [
        subprocess.Popen([*base, *command(source, output, "--part", f"{k + 1}/{count}")], **quiet) for k in range(count)
    ]
    taken = []
    for process in running:
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0, "a part failed"
        taken.append(used.ru_utime + used.ru_stime)
    subprocess.run([*base, *command(source, output, "--join")], check=True, **quiet)
    return {"name": f"{count} part{'s' * (count > 1)}", "seconds": time.monotonic() - start, "busiest": max(taken)}


def run_workers(source: Path, count: int) -> None:
    """``count`` workers, which have loaded the network in a run before; prints the row as JSON."""
    import psutil
    import ray

    from patchvsr_core.__main__ import main as patchvsr
    from patchvsr_core.cli import ray_run

    ray.init(num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    used: dict[int, list[float]] = {}
    real = ray_run._Work.through

    def watched(self: Any, shares: Any) -> Any:
        for made in real(self, shares):
            times = psutil.Process(made.process).cpu_times()
            used.setdefault(made.process, []).append(times.user + times.system)
            yield made

    ray_run._Work.through = watched
    seconds = []
    for turn in range(2):
        output = source.with_name(f"workers{count}{turn}.mp4")
        before = {process: times[-1] for process, times in used.items()}
        start = time.monotonic()
        with redirect_stdout(sys.stderr):
            assert patchvsr(command(source, output, "--ray", "auto")) == 0
        seconds.append(time.monotonic() - start)
    busiest = max(times[-1] - before.get(process, 0.0) for process, times in used.items())
    name = f"{count} Ray worker{'s' * (count > 1)}"
    print(json.dumps({"name": name, "seconds": seconds[-1], "busiest": busiest}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=ROOT / "examples" / "sample_original.mp4")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--others", type=Path, help="folder with the networks of others, see other_networks.py")
    parser.add_argument("--perceptual", type=Path, help="weights of LPIPS, see metrics.py")
    parser.add_argument("--precision", choices=PRECISIONS, default=AUTO)
    parser.add_argument("--parts", nargs="+", default=["peers", "scaling"], choices=["peers", "scaling"])
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    add_common(parser)
    options = parsed(parser)
    if options.workers:
        return run_workers(Path(options.only), options.workers)
    if options.only:
        return measure_one(options)
    parts: list[Records] = []
    title = TITLES[options.parts[0]]
    for part, work in (("peers", compare), ("scaling", scaling)):
        if part in options.parts:
            parts.append(work(options))
            keep(options, title, parts, NOTES)
    publish(options, title, parts, NOTES)


if __name__ == "__main__":
    main()
