"""The restorer's network: what it knows of which frame, and how its state follows the motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from patchvsr_core.degradation import measure_degradation, shipped_estimator
from patchvsr_core.errors import ModelError
from patchvsr_core.plan.target_size import SCALE
from patchvsr_core.resample import resize
from patchvsr_core.restorer import Restorer, RestorerConfig, load_restorer, save_restorer, shipped
from patchvsr_core.restorer.network import blend_restorers, deepen, picture, upsampled, warped
from patchvsr_core.restorer.restore import restore_clip
from patchvsr_core.restorer.shipped import shipped_restorer
from patchvsr_core.training.degrade import Degradation, add_noise_and_compression, make_input
from patchvsr_core.video import read_frames

ORIGINAL = Path(__file__).parents[2] / "examples" / "sample_original.mp4"
SMALL = RestorerConfig(channels=8, stem_blocks=1, backward_blocks=1, forward_blocks=1)


@pytest.fixture
def network() -> Restorer:
    """Not a new one: its estimates are far from bicubic."""
    torch.manual_seed(0)
    network = Restorer(SMALL).eval().requires_grad_(False)
    for layer in (network.backward_state, network.forward_state):
        layer.weight.mul_(30)
    return network


def _clip(frames: int, height: int = 10, width: int = 12, batch: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, height, width, generator=torch.Generator().manual_seed(1))


def _flows(clip: Tensor, dx: float = 0.0, dy: float = 0.0) -> tuple[Tensor, Tensor]:
    """(to next, to previous) of a motion that is the same everywhere."""
    batch, frames, _, height, width = clip.shape
    motion = torch.tensor([dx, dy])[:, None, None].expand(batch, frames - 1, 2, height, width)
    return motion, -motion


def test_one_frame_alone_is_upscaled(network: Restorer) -> None:
    clip = _clip(1, batch=2)
    made = network(clip, *_flows(clip))
    assert made.frames.shape == made.backward_frames.shape == (2, 1, 3, 40, 48)
    assert made.features.shape == (2, 1, 8, 10, 12)
    assert made.frames.isfinite().all()
    alone = network(clip[1:], *_flows(clip[1:]))
    torch.testing.assert_close(made.frames[1:], alone.frames)


def test_a_new_network_is_near_bicubic() -> None:
    torch.manual_seed(0)
    clip = _clip(3)
    bicubic = F.interpolate(clip[0], scale_factor=SCALE, mode="bicubic", align_corners=False)
    difference = (Restorer(SMALL)(clip, *_flows(clip)).frames[0] - bicubic).abs().mean()
    assert 0 < difference < 0.05


def test_a_state_is_its_picture_and_its_hidden_channels() -> None:
    frames = _clip(2)[0]
    state = upsampled(frames, hidden=2)
    assert state.shape == (2, 5 * SCALE**2, 10, 12)
    expected = F.interpolate(frames, scale_factor=SCALE, mode="bicubic", align_corners=False)
    torch.testing.assert_close(picture(state), expected)
    assert not state[:, 3 * SCALE**2 :].any()


def test_without_motion_and_content_the_result_is_the_same_everywhere(network: Restorer) -> None:
    """Zero flow, a constant clip: any place is like any other, but near the border."""
    clip = torch.full((1, 4, 3, 32, 32), 0.3)
    frames = network(clip, *_flows(clip)).frames[0]
    cells = F.pixel_unshuffle(frames, SCALE)[..., 14:18, 14:18]
    assert (frames - 0.3).abs().max() > 0.01, "or it would be bicubic's constant"
    torch.testing.assert_close(cells, cells[..., :1, :1].expand_as(cells), atol=1e-5, rtol=0)


def test_without_motion_a_state_is_carried_unchanged() -> None:
    state = torch.rand(2, 4 * SCALE**2, 6, 7)
    torch.testing.assert_close(warped(state, torch.zeros(2, 2, 6, 7)), state, atol=1e-5, rtol=0)


def test_the_backward_pass_knows_the_future_and_not_the_past(network: Restorer) -> None:
    clip = _clip(4)
    flows = _flows(clip)
    before = network(clip, *flows).backward_frames
    first, last = clip.clone(), clip.clone()
    first[:, 0], last[:, -1] = 0.5, 0.5
    assert torch.equal(network(first, *flows).backward_frames[:, 1:], before[:, 1:])
    changed = (network(last, *flows).backward_frames - before).abs().amax((0, 2, 3, 4))
    assert (changed > 1e-5).all(), "every earlier frame learns of the last one"


def test_the_forward_pass_knows_the_past_and_not_the_future(network: Restorer) -> None:
    """What it knows of the future is what the backward pass found."""
    clip = _clip(4)
    flows = _flows(clip)
    last = clip.clone()
    last[:, -1] = 0.5
    assert not torch.equal(network(last, *flows).frames[:, 0], network(clip, *flows).frames[:, 0])
    network.backward_state.weight.zero_()  # from here on it finds nothing
    before = network(clip, *flows).frames
    assert torch.equal(network(last, *flows).frames[:, :-1], before[:, :-1])
    first = clip.clone()
    first[:, 0] = 0.5
    changed = (network(first, *flows).frames - before).abs().amax((0, 2, 3, 4))
    assert (changed > 1e-5).all(), "every later frame learns of the first one"


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, -3), (-1, 2)])
def test_a_whole_pixel_of_motion_is_an_exact_shift(dx: int, dy: int) -> None:
    state = torch.rand(1, 4 * SCALE**2, 12, 12)
    flow = torch.tensor([dx, dy]).float()[:, None, None].expand(1, 2, 12, 12)
    moved = warped(state, flow)
    inside = slice(4, 8)
    expected = state[:, :, 4 + dy : 8 + dy, 4 + dx : 8 + dx]
    torch.testing.assert_close(moved[:, :, inside, inside], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-3, 2)])
def test_a_quarter_of_a_pixel_is_one_large_pixel_and_blurs_nothing(dx: int, dy: int) -> None:
    """The state is warped at the large size: nothing is interpolated there."""
    state = torch.rand(1, 4 * SCALE**2, 10, 10)
    flow = torch.tensor([dx / SCALE, dy / SCALE])[:, None, None].expand(1, 2, 10, 10)
    moved, large = (F.pixel_shuffle(x, SCALE) for x in (warped(state, flow), state))
    expected = large[:, :, 8 + dy : 32 + dy, 8 + dx : 32 + dx]
    torch.testing.assert_close(moved[:, :, 8:32, 8:32], expected, atol=1e-5, rtol=0)


def test_beyond_the_border_the_last_pixels_are_seen() -> None:
    state = torch.rand(1, 4 * SCALE**2, 6, 6)
    large = F.pixel_shuffle(warped(state, torch.full((1, 2, 6, 6), 100.0)), SCALE)
    corner = F.pixel_shuffle(state, SCALE)[:, :, -1:, -1:]
    torch.testing.assert_close(large, corner.expand_as(large))


def test_a_known_motion_finds_the_content_in_the_neighbour(network: Restorer) -> None:
    """A scene that moves by whole pixels, seen with its flow, is as the scene that stands still."""
    wide = _clip(1, 40, 46)[0, 0]
    still = torch.stack([wide[:, :, 4:44]] * 3)[None]
    moving = torch.stack([wide[:, :, 4 + k : 44 + k] for k in (2, 1, 0)])[None]  # to the right, a pixel a frame
    expected = network(still, *_flows(still)).frames[0]
    right = network(moving, *_flows(moving, dx=1.0)).frames[0]
    wrong = network(moving, *_flows(moving)).frames[0]
    at = {k: slice(4 * (18 - 2 + k), 4 * (22 - 2 + k)) for k in range(3)}
    middle = slice(72, 88)
    for k in range(3):
        target = expected[k, :, middle, middle]
        torch.testing.assert_close(right[k, :, middle, at[k]], target, atol=2e-4, rtol=0)
        assert (wrong[k, :, middle, at[k]] - target).abs().max() > 1e-2


def test_every_clip_has_its_own_degradation(network: Restorer) -> None:
    clip = _clip(2, batch=2)
    clean = network(clip, *_flows(clip)).frames
    levels = torch.tensor([0.0, 1.0])
    made = network(clip, *_flows(clip), levels).frames
    torch.testing.assert_close(made[0], clean[0])
    assert (made[1] - clean[1]).abs().max() > 1e-3
    alone = network(clip[1:], *_flows(clip[1:]), levels[1:]).frames
    torch.testing.assert_close(made[1:], alone)


def test_files_keep_the_configuration_and_the_weights(network: Restorer, tmp_path: Path) -> None:
    path = tmp_path / "restorer.safetensors"
    save_restorer(network, path)
    loaded = load_restorer(path)
    assert loaded.config == SMALL and not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name
    clip = _clip(2)
    flows = _flows(clip, dx=0.3)
    torch.testing.assert_close(loaded(clip, *flows).frames, network(clip, *flows).frames, atol=5e-3, rtol=0)


def test_other_files_are_refused(network: Restorer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no restorer file"):
        load_restorer(tmp_path / "none.safetensors")
    path = tmp_path / "restorer.safetensors"
    save_restorer(network, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="damaged"):
        load_restorer(path)


@torch.no_grad()
def test_a_blend_has_the_weights_in_between() -> None:
    one, other = (Restorer(SMALL) for _ in range(2))
    for share in (0.0, 0.25, 1.0):
        blended = blend_restorers(one, other, share)
        for made, first, second in zip(*(net.parameters() for net in (blended, one, other)), strict=True):
            torch.testing.assert_close(made, (1 - share) * first + share * second)
    assert blended is not one and not torch.equal(blended.stem.weight, one.stem.weight), "neither end is changed"
    third = Restorer(SMALL)
    moved = blend_restorers(one, other, 0.25, third)
    for made, first, second, base in zip(*(net.parameters() for net in (moved, one, other, third)), strict=True):
        torch.testing.assert_close(made, base + 0.25 * (second - first))


@torch.no_grad()
def test_compressed_clips_have_weights_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose degradation noise does not explain; at any detail."""
    clip = make_input(read_frames(ORIGINAL, 2), (100, 240))
    asked: list[tuple[float, bool]] = []
    real = shipped.shipped_restorer

    def watched(device: str, dtype: torch.dtype, detail: float, *, compressed: bool) -> Restorer:
        asked.append((detail, compressed))
        return real(device, dtype, detail, compressed=compressed)

    monkeypatch.setattr(shipped, "shipped_restorer", watched)
    for kind, expected in ((Degradation(h264=28), True), (Degradation(noise=5 / 255), False), (Degradation(), False)):
        given = add_noise_and_compression(clip, kind)
        found = measure_degradation(shipped_estimator(), given)
        for detail in (0.0, 0.5):
            shipped.restore_as_shipped(given, detail=detail, degradation=found)
            assert asked.pop() == (detail, expected)
    plain, own = (real(detail=0.5, compressed=compressed) for compressed in (False, True))
    assert not torch.equal(plain.stem.weight, own.stem.weight)


@torch.no_grad()
def test_a_deeper_network_starts_as_the_one_it_was_made_of(network: Restorer) -> None:
    deeper = deepen(network, RestorerConfig(channels=8, stem_blocks=2, backward_blocks=1, forward_blocks=3))
    clip = _clip(3)
    made, expected = (each(clip, *_flows(clip, 0.5)) for each in (deeper, network))
    assert torch.equal(made.frames, expected.frames) and torch.equal(made.features, expected.features)
    for block in (deeper.stem_blocks[1], *deeper.forward_blocks[1:]):
        assert not block.conv2.weight.any() and block.conv1.weight.any(), "what is new can learn"


@pytest.mark.parametrize("change", [{"channels": 16}, {"stem_blocks": 0}, {"hidden": 2}])
def test_only_the_number_of_blocks_may_grow(network: Restorer, change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="number of blocks"):
        deepen(network, replace(SMALL, **change))


def test_the_shipped_ends_meet_in_between() -> None:
    """The more detail, the more of what is finest; and never a pattern that the input does not account for."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    stripes = 0.5 + 0.2 * torch.sin(0.9 * x + 0.5 * y) + 0.1 * torch.sin(1.7 * y - 0.4 * x)
    clip = torch.stack([stripes, stripes.roll(1, 1)])[..., None].expand(-1, -1, -1, 3).contiguous()
    made = [restore_clip(shipped_restorer(detail=detail), clip) for detail in (0.0, 0.5, 1.0)]
    assert not torch.equal(made[0], made[1])
    between = (made[0] + made[2]) / 2
    assert (made[1] - between).abs().mean() < 0.5 * (made[0] - made[2]).abs().mean()
    for frames in made:
        assert (resize(frames, (48, 64)) - clip).abs().mean() < 0.01
