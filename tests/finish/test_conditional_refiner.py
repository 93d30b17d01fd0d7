from pathlib import Path

import pytest
import torch

from patchvsr_core.errors import ModelError
from patchvsr_core.finish.conditional_refiner import ConditionalRefiner
from patchvsr_core.finish.refine import Refiner, RefinerConfig, load_refiner, new_refiner, refine_frames, save_refiner
from patchvsr_core.weights import shipped

CONFIG = RefinerConfig(channels=16, blocks=4, kind="conditional")


def busy_refiner() -> ConditionalRefiner:
    """No layer is zero, and much of what it does goes through the modulations."""
    torch.manual_seed(0)
    refiner = ConditionalRefiner(CONFIG)
    torch.nn.init.normal_(refiner.tail.weight, std=0.05)
    for modulation in refiner.modulations:
        for layer in (modulation.scale, modulation.shift):
            torch.nn.init.normal_(layer.weight, std=0.2)
    for block in refiner.condition:
        torch.nn.init.normal_(block.conv_3d.weight, std=0.05)
    return refiner.eval()


def test_untrained_it_changes_nothing() -> None:
    frames, source = torch.rand(3, 40, 56, 3), torch.rand(3, 10, 14, 3)
    torch.testing.assert_close(refine_frames(ConditionalRefiner(), frames, source), frames)


def test_from_a_plain_refiner_it_is_that_refiner() -> None:
    plain = load_refiner(shipped("tiny_refiner.safetensors"))
    conditional = ConditionalRefiner()
    conditional.initialise_from(plain)
    frames, source = torch.rand(4, 40, 56, 3), torch.rand(4, 10, 14, 3)
    expected = refine_frames(plain, frames, source, detail=0.5, degradation=0.3)
    assert torch.equal(refine_frames(conditional, frames, source, detail=0.5, degradation=0.3), expected)
    assert (expected - frames).abs().mean() > 1e-3


def test_the_modulations_have_their_say() -> None:
    """Without what the modulations add the result is another."""
    refiner = busy_refiner()
    clip, neighbours = torch.rand(9, 3, 64, 64), torch.rand(9, 6, 64, 64)
    with torch.inference_mode():
        full = refiner(clip, clip, neighbours, 4, 0.0, 0.0)
        for modulation in refiner.modulations:
            torch.nn.init.zeros_(modulation.scale.weight)
            torch.nn.init.zeros_(modulation.shift.weight)
        assert (refiner(clip, clip, neighbours, 4, 0.0, 0.0) - full).abs().mean() > 1e-3


def test_tiles_and_chunks_equal_one_piece() -> None:
    refiner = busy_refiner()
    frames, source = torch.rand(9, 200, 340, 3), torch.rand(9, 50, 85, 3)
    whole = refine_frames(refiner, frames, source, tile_px=4096, chunk_frames=100)
    pieces = refine_frames(refiner, frames, source, tile_px=180, chunk_frames=2)
    assert (whole - frames).abs().mean() > 1e-3
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)


def test_it_reaches_no_further_than_the_plain_one() -> None:
    """A change in the middle of space and time is seen where the stated reach ends, and nowhere beyond."""
    torch.manual_seed(0)
    refiner = busy_refiner()
    plain = Refiner(RefinerConfig(CONFIG.channels, CONFIG.blocks))
    assert (refiner.reach_px, refiner.reach_frames) == (plain.reach_px, plain.reach_frames)
    frames, side = 2 * refiner.reach_frames + 3, 2 * refiner.reach_px + 16
    decoded, enlarged, neighbours = (torch.rand(frames, c, side, side) for c in (3, 3, 6))
    middle, cell = frames // 2, side // 8 * 4
    other = enlarged.clone()
    other[middle, :, cell : cell + 4, cell : cell + 4] = torch.rand(3, 4, 4)
    with torch.inference_mode():
        first, second = (refiner(decoded, e, neighbours, 4, 0.0, 0.0) for e in (enlarged, other))
    changed = (first - second).abs().amax(1) > 0
    rows = changed.any(2).any(0).nonzero().flatten()
    times = changed.flatten(1).any(1).nonzero().flatten()
    assert middle - refiner.reach_frames <= times.min() and times.max() <= middle + refiner.reach_frames
    assert cell - refiner.reach_px <= rows.min() and rows.max() < cell + 4 + refiner.reach_px
    assert len(times) > 2 * 2 + 1 and len(rows) > refiner.reach_px


def test_file_round_trip(tmp_path: Path) -> None:
    refiner = busy_refiner()
    save_refiner(refiner, tmp_path / "r.safetensors", torch.float32)
    loaded = load_refiner(tmp_path / "r.safetensors")
    assert isinstance(loaded, ConditionalRefiner) and loaded.config == CONFIG
    for (name, a), (other, b) in zip(loaded.named_parameters(), refiner.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b)


def test_the_shipped_one_is_conditional_and_says_something_else_than_the_plain_one() -> None:
    plain, conditional = (load_refiner(shipped(f"tiny_{name}.safetensors")) for name in ("refiner", "conditional"))
    assert isinstance(conditional, ConditionalRefiner)
    frames, source = torch.rand(3, 40, 56, 3), torch.rand(3, 10, 14, 3)
    difference = refine_frames(conditional, frames, source) - refine_frames(plain, frames, source)
    assert difference.abs().mean() > 1e-4


def test_kinds() -> None:
    assert type(new_refiner(RefinerConfig())) is Refiner
    assert type(new_refiner(CONFIG)) is ConditionalRefiner
    with pytest.raises(ModelError, match="plain, conditional"):
        new_refiner(RefinerConfig(kind="other"))  # type: ignore[arg-type]
