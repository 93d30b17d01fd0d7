"""A clip restored in windows and tiles is the clip restored at once."""

import pytest
import torch

from patchvsr_core.optical_flow.flow import estimate_clip_flows
from patchvsr_core.plan.chunks import ChunkState
from patchvsr_core.restorer import Restorer, RestorerConfig
from patchvsr_core.restorer.restore import LOOK_AHEAD_FRAMES, WINDOW_FRAMES, restore_clip


@pytest.fixture(scope="module")
def restorer():
    torch.manual_seed(3)
    network = Restorer(RestorerConfig(16, 1, 1, 1)).eval()
    for layer in (network.backward_state, network.forward_state):
        torch.nn.init.normal_(layer.weight, std=0.02)
    return network


def moving(frames, height=24, width=32):
    torch.manual_seed(5)
    wide = torch.rand(3, height, width + 2 * frames)
    smooth = torch.nn.functional.avg_pool2d(wide[None], 3, 1, 1)[0]
    return torch.stack([smooth[:, :, 2 * k : 2 * k + width] for k in range(frames)]).movedim(1, -1).contiguous()


def at_once(restorer, clip):
    planes = clip.movedim(-1, 1)
    flows = estimate_clip_flows(planes)
    with torch.inference_mode():
        return restorer(planes[None], flows.to_next[None], flows.to_previous[None]).frames[0].movedim(1, -1).clamp(0, 1)


def test_a_clip_of_one_window_is_restored_as_by_the_network(restorer):
    clip = moving(WINDOW_FRAMES)
    torch.testing.assert_close(restore_clip(restorer, clip), at_once(restorer, clip), atol=1e-6, rtol=0)


def test_a_single_frame(restorer):
    clip = moving(1)
    torch.testing.assert_close(restore_clip(restorer, clip), at_once(restorer, clip), atol=1e-6, rtol=0)


def test_windows_carry_the_forward_state_and_look_ahead(restorer):
    clip = moving(WINDOW_FRAMES + LOOK_AHEAD_FRAMES)
    whole, windows = at_once(restorer, clip), restore_clip(restorer, clip)
    torch.testing.assert_close(windows, whole, atol=1e-6, rtol=0)  # the look-ahead reaches the clip's end
    alone = restore_clip(restorer, clip[WINDOW_FRAMES:])
    assert (alone - whole[WINDOW_FRAMES:]).abs().max() > 1e-3  # so the test can fail


def test_the_past_counts_and_the_far_future_does_not(restorer):
    clip = moving(2 * WINDOW_FRAMES)
    flows = estimate_clip_flows(clip.movedim(-1, 1))
    changed = clip.clone()
    changed[WINDOW_FRAMES + LOOK_AHEAD_FRAMES :] = 0.5
    before, after = (restore_clip(restorer, x, flows=flows) for x in (clip, changed))
    assert torch.equal(before[:WINDOW_FRAMES], after[:WINDOW_FRAMES])
    assert not torch.equal(before[WINDOW_FRAMES], after[WINDOW_FRAMES])


def test_tiles_do_not_show(restorer):
    clip = moving(3, 80, 96)
    whole, tiled = restore_clip(restorer, clip), restore_clip(restorer, clip, tile_px=64)
    assert (whole - tiled).abs().max() < 1 / 255


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (60, 90), (96, 128), (150, 200)])
def test_any_size(restorer, size):
    clip = moving(2)
    result = restore_clip(restorer, clip, size)
    assert result.shape == (2, *size, 3)
    assert result.min() >= 0 and result.max() <= 1
    assert (result.mean((1, 2)) - clip.mean((1, 2))).abs().max() < 0.02


def test_the_input_is_not_changed_and_progress_is_reported(restorer):
    clip = moving(WINDOW_FRAMES + 1)
    kept, done = clip.clone(), []
    restore_clip(restorer, clip, on_frames=lambda *numbers: done.append(numbers))
    assert torch.equal(clip, kept)
    length = WINDOW_FRAMES + 1
    assert list(dict.fromkeys(done)) == [(0, length), (WINDOW_FRAMES, length), (length, length)]
    assert len(done) >= length, "it can be stopped at every frame"


def test_a_recurrence_that_amplifies_stays_bounded(restorer):
    """Without bounds on what is carried, a gain above one grows to infinity within a clip."""
    torch.manual_seed(3)
    network = Restorer(RestorerConfig(16, 1, 1, 1)).eval()
    torch.nn.init.normal_(network.forward_state.weight, std=2.0)
    clip = moving(16)
    planes = clip.movedim(-1, 1)
    flows = estimate_clip_flows(planes)
    with torch.inference_mode():
        found = network(planes[None], flows.to_next[None], flows.to_previous[None]).frames
    peaks = found.abs().amax((0, 2, 3, 4))
    assert peaks[-1] < 10 * peaks[2]


@pytest.mark.parametrize("tile_px", [384, 48])
def test_a_chunk_continues_where_the_one_before_ended(restorer, tile_px):
    """Its first frame has the state of the frame before; only what the first chunk saw ahead is less."""
    clip, until = moving(2 * WINDOW_FRAMES + 3, 56, 64), WINDOW_FRAMES + 3
    whole = restore_clip(restorer, clip, tile_px=tile_px)
    first = ChunkState(until=until)
    restore_clip(restorer, clip[: until + LOOK_AHEAD_FRAMES], tile_px=tile_px, chunk_state=first)
    second = ChunkState(before=first.after)
    continued = restore_clip(restorer, clip[until:], tile_px=tile_px, chunk_state=second)
    alone = restore_clip(restorer, clip[until:], tile_px=tile_px)
    assert second.after is None
    assert (continued - whole[until:]).abs().max() < 2e-3 < (alone - whole[until:]).abs().max()


def test_a_state_of_other_tiles_is_not_used(restorer):
    clip, first = moving(6, 56, 64), ChunkState(until=4)
    restore_clip(restorer, clip, chunk_state=first)
    other = restore_clip(restorer, clip[4:], tile_px=48, chunk_state=ChunkState(before=first.after))
    assert torch.equal(other, restore_clip(restorer, clip[4:], tile_px=48))
