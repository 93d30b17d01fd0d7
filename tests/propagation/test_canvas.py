"""Propagation on the canvas of a clip, with either kind of codec, and from chunk to chunk."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from patchvsr_core.errors import PlanError
from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.chunks import ChunkState
from patchvsr_core.propagation.canvas import (
    CanvasPropagation,
    PropagationOptions,
    flows_between_latents,
    measure_propagation,
)
from patchvsr_core.propagation.latent import propagate
from patchvsr_core.vae.codec import SpaceToDepth


def moving(frames: int, size: tuple[int, int] = (24, 32), pixels: float = 1.0) -> torch.Tensor:
    """(T, h, w, 3) a soft pattern that moves to the right."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    shown = [torch.sin(0.35 * (x - pixels * t)) * torch.cos(0.3 * y) for t in range(frames)]
    return (0.5 + 0.4 * torch.stack(shown))[..., None].expand(-1, -1, -1, 3).contiguous()


def steady(frames: int, size: tuple[int, int], dx: float) -> ClipFlows:
    flow = torch.zeros(frames - 1, 2, *size)
    flow[:, 0] = dx
    return ClipFlows(flow, -flow)


def test_pixels_are_opened_and_closed_again() -> None:
    canvas = Canvas(3, (8, 12), (32, 48))
    clip = torch.rand(3, 32, 48, 3)
    x0 = SpaceToDepth().encode(clip)
    run = CanvasPropagation(PropagationOptions(), canvas, steady(3, (8, 12), 0.5), pixels=True)
    expected = propagate(
        rearrange(clip * 2 - 1, "t h w c -> 1 c t h w"),
        run.forward,
        run.backward,
        interpolation="bicubic",
    )
    answer = SpaceToDepth().decode(run(x0, 1.0, 0.0, 0))
    assert torch.allclose(answer * 2 - 1, rearrange(expected, "1 c t h w -> t h w c"), atol=1e-6)


def test_latents_move_in_cells() -> None:
    canvas = Canvas(3, (32, 48), (128, 200))
    run = CanvasPropagation(PropagationOptions(), canvas, steady(3, (32, 48), 4.8), pixels=False)
    assert (run.visible, run.interpolation) == ((16, 25), "nearest")
    x0 = torch.randn(1, 16, 3, *canvas.latent_size)
    copied = CanvasPropagation(PropagationOptions(weight=1.0), canvas, steady(3, (32, 48), 48 / 25), pixels=False)
    answer = copied(x0, 1.0, 0.0, 0)
    assert torch.equal(answer[:, :, 2, :16, 2:10], answer[:, :, 0, :16, 0:8]), "1.92 pixels of the input are a cell"
    assert torch.equal(answer[..., 25:], x0[..., 25:]), "the padding stays"


def test_motion_between_latent_frames_is_that_of_all_frames_between() -> None:
    canvas = Canvas(11, (16, 16), (64, 64), stride_frames=4)
    forward, backward = flows_between_latents(steady(11, (16, 64), 0.75), canvas)
    assert forward.shape[0] == 3
    assert forward[:2, 0, :, :32].unique().tolist() == [3.0]
    assert forward[2, 0, :, :32].unique().tolist() == [1.5], "the padding stands still"
    assert torch.equal(backward[:, 0, :, 32:], -forward[:, 0, :, :32])


def test_a_state_is_left_beside_those_of_others_and_begins_anew_where_there_was_none() -> None:
    """The restorer leaves its own before, where a model starts from its frames."""
    restored = {"restorer frame": torch.zeros(1, 3, 8, 8)}
    state = ChunkState(before=dict(restored), until=2, after=dict(restored))
    clip = moving(3, (8, 8))
    run = measure_propagation(PropagationOptions(), Canvas(3, (8, 8), (32, 32)), clip, pixels=True, chunk_state=state)
    run(torch.randn(1, 192, 3, 4, 4), 1.0, 0.0, 0)
    assert state.after is not None and {*state.after} == {"restorer frame", "source", "step 0"}


def test_steps_outside_the_interval_and_weight_zero_change_nothing() -> None:
    canvas = Canvas(2, (8, 8), (32, 32))
    x0 = torch.randn(1, 192, 2, 4, 4)
    flows = steady(2, (8, 8), 0.0)
    run = CanvasPropagation(PropagationOptions(start=0.5, end=0.2), canvas, flows, pixels=True)
    assert run(x0, 0.9, 0.6, 0) is x0
    assert not torch.equal(run(x0, 0.6, 0.4, 1), x0)
    assert run(x0, 0.2, 0.0, 2) is x0
    assert CanvasPropagation(PropagationOptions(weight=0.0), canvas, flows, pixels=True)(x0, 0.6, 0.4, 0) is x0


def test_flicker_falls_and_the_picture_stays() -> None:
    clip = moving(5)
    canvas = Canvas(5, (24, 32), (48, 64))
    big = moving(5, (48, 64), 2.0)  # not the same pattern, but the same motion
    noise = 0.05 * torch.randn(big.shape, generator=torch.Generator().manual_seed(0))
    run = measure_propagation(PropagationOptions(alpha2=0.5), canvas, clip, pixels=True)
    codec = SpaceToDepth()
    answer = codec.decode(run(codec.encode(big + noise), 1.0, 0.0, 0))[:, :48, :64]
    inner = (slice(None), slice(8, -8), slice(12, -12))
    assert (answer - big)[inner].std() < 0.75 * noise[inner].std()


def test_the_state_goes_from_chunk_to_chunk() -> None:
    """Two chunks that overlap: the second takes over what the first made of the frame before it."""
    clip = moving(7)
    x0 = torch.randn(1, 192, 7, 6, 8, generator=torch.Generator().manual_seed(0))
    options = PropagationOptions(alpha2=5.0)
    first = ChunkState(until=3)
    chunk = Canvas(5, (24, 32), (48, 64))
    done = measure_propagation(options, chunk, clip[:5], pixels=True, chunk_state=first)(x0[:, :, :5], 1.0, 0.0, 0)
    assert first.after is not None
    assert torch.equal(first.after["source"], clip[2])
    carried = first.after["step 0"]
    assert torch.equal(carried, torch.nn.functional.pixel_shuffle(done[:, :, 2], 8))
    rest = Canvas(4, (24, 32), (48, 64))
    plain = measure_propagation(options, rest, clip[3:], pixels=True)(x0[:, :, 3:], 1.0, 0.0, 0)
    joined = measure_propagation(options, rest, clip[3:], pixels=True, chunk_state=ChunkState(before=first.after))(
        x0[:, :, 3:], 1.0, 0.0, 0
    )
    changed = (joined - plain).abs().mean((0, 1, 3, 4))
    assert changed[0] > 0.1
    assert changed[0] > changed[1] > changed[2] > changed[3] > 0
    other_step = measure_propagation(options, rest, clip[3:], pixels=True, chunk_state=ChunkState(before=first.after))
    assert torch.equal(other_step(x0[:, :, 3:], 1.0, 0.0, 5), plain), "steps do not mix"


def test_flows_of_another_clip_are_refused() -> None:
    with pytest.raises(PlanError, match="motion is that of 3 frames, but 4 are upscaled"):
        CanvasPropagation(PropagationOptions(), Canvas(4, (8, 8), (32, 32)), steady(3, (8, 8), 0), pixels=True)


def test_a_single_frame_has_nothing_to_take_from() -> None:
    x0 = torch.randn(1, 192, 1, 4, 4)
    run = measure_propagation(PropagationOptions(), Canvas(1, (8, 8), (32, 32)), torch.rand(1, 8, 8, 3), pixels=True)
    assert torch.equal(run(x0, 1.0, 0.0, 0), x0)


def test_another_canvas_is_refused() -> None:
    run = CanvasPropagation(PropagationOptions(), Canvas(2, (8, 8), (32, 32)), steady(2, (8, 8), 0), pixels=True)
    with pytest.raises(PlanError, match="connect the same plan to all nodes"):
        run(torch.zeros(1, 192, 2, 8, 8), 1.0, 0.0, 0)
