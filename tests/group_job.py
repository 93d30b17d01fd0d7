"""Work for several processes, and for one to compare with: ``python group_job.py PROCESSES RESULT MODELS``."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from patchvsr_core.cli.torchrun import join_launch
from patchvsr_core.distributed import ProcessGroup, use_group
from patchvsr_core.finish.refine import RefinerConfig, new_refiner, refine_frames
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.chunks import ChunkState
from patchvsr_core.restorer.restore import restore_clip
from patchvsr_core.restorer.shipped import shipped_restorer
from patchvsr_core.settings import Settings


def clip(frames: int, height: int, width: int) -> Tensor:
    """A smooth moving pattern, and some noise."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(0.4 * x + 0.3 * t), torch.cos(0.5 * y - 0.2 * t), torch.sin(0.2 * (x + y))]
    noise = torch.rand(frames, height, width, 3, generator=torch.Generator().manual_seed(0))
    return (torch.stack(waves, -1) * 0.3 + 0.4 + 0.2 * noise).clamp(0, 1)


def restored_chunks(tiny: Models, group: ProcessGroup) -> Iterator[tuple[str, Tensor]]:
    """Two chunks of a clip; the second one has the restorer's state of the first."""
    frames, first = clip(8, 20, 30), ChunkState(until=3)
    yield "restored", upscale(frames[:5], (76, 120), tiny, tiny.defaults, group=group, chunk_state=first)
    second = ChunkState(before=first.after)
    yield "restored on", upscale(frames[3:], (76, 120), tiny, tiny.defaults, group=group, chunk_state=second)


def restored_tiles() -> Iterator[tuple[str, Tensor]]:
    """Three chunks in several tiles; what the second leaves comes from states that all processes have."""
    frames, before = clip(8, 80, 120), None
    for number, (first, last) in enumerate(((0, 3), (3, 6), (6, 8))):
        chunk_state = ChunkState(before=before, until=last - first)
        made = restore_clip(shipped_restorer(), frames[first:], tile_px=64, chunk_state=chunk_state)
        before = chunk_state.after
        yield f"tiles {number}", made[: last - first]


def results(group: ProcessGroup, models: Path) -> Iterator[tuple[str, Tensor]]:
    """By name; whole for the leader."""
    tiny = load_models("tiny", precision="float32")
    small = replace(tiny.defaults, base_layer="bicubic", patch_px=64)
    yield "tiny", upscale(clip(7, 20, 30), (76, 120), tiny, small, group=group)
    yield from restored_chunks(tiny, group)
    with use_group(group):
        yield from restored_tiles()
    yield "hardly anything", upscale(clip(1, 8, 8), (16, 16), tiny, small, group=group)
    mixed = replace(small, refine_strength=0.5, base_layer="dap", patch_detail=0.5, steps=2, solver="heun")
    mixed = replace(mixed, layout="alternating")
    chunk_state = ChunkState(until=2)
    along = replace(mixed, propagation=0.25, propagation_start=1.0, patches_at_once=3, tile_px=128, tile_overlap_px=32)
    yield "many options", upscale(clip(3, 20, 30), (80, 120), tiny, along, chunk_state=chunk_state, group=group)
    assert chunk_state.after is not None
    yield "chunk_state", torch.cat([x.flatten() for x in chunk_state.after.values()])
    files = {"vae": models / "vae.safetensors", "adapter": models / "adapter.safetensors"}
    wan = load_models(str(models / "wan.safetensors"), **files, precision="float32")
    guided = Settings(
        patch_px=32, window_frames=5, overlap_frames=1, steps=2, guidance=3.0, guidance_rescale=0.2, softening=1.5,
        noise_level=0.1, tile_px=48, tile_overlap_px=16, color="wavelet", projection_steps=1, start=0.5,
        low_frequency_guidance=0.5, propagation=0.5,
    )  # fmt: skip
    yield "guided Wan", upscale(clip(6, 10, 14), (40, 56), wan, guided, group=group)
    torch.manual_seed(0)
    refiner = new_refiner(RefinerConfig(channels=8, blocks=2))
    torch.nn.init.normal_(refiner.tail.weight, std=0.05)
    source, frames = clip(5, 60, 80), clip(5, 240, 320)
    with use_group(group):
        own = refine_frames(refiner, frames, source, tile_px=128, chunk_frames=3)
    yield "refiner", group.gather(own, len(frames))


def one_of(rank: int) -> None:
    """Leaves what it found, as the leader."""
    os.environ["RANK"] = str(rank)
    torch.set_num_threads(1)
    with join_launch() as launch:
        group = launch.init_process_group("cpu")
        found = dict(results(group, Path(sys.argv[3])))
        if group.is_leader:
            torch.save(found, sys.argv[2])


def shared_environment(size: int) -> dict[str, str]:
    """What torchrun tells all processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def main() -> None:
    size = int(sys.argv[1])
    os.environ |= shared_environment(size)
    method = (
        "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    )  # imports take longer than the work
    context = multiprocessing.get_context(method)
    started = [context.Process(target=one_of, args=(rank,)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    raise SystemExit(max(abs(process.exitcode or 0) for process in started))


if __name__ == "__main__":
    main()
