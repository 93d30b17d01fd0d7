from pathlib import Path

import pytest
import torch

from patchvsr_core.errors import ModelError
from patchvsr_core.finish.refine import Refiner, RefinerConfig, load_refiner, refine_frames, save_refiner


def busy_refiner() -> Refiner:
    torch.manual_seed(0)
    refiner = Refiner(RefinerConfig(channels=16, blocks=4))
    torch.nn.init.normal_(refiner.tail.weight, std=0.05)
    return refiner.eval()


def test_untrained_refiner_changes_nothing() -> None:
    frames, source = torch.rand(3, 40, 56, 3), torch.rand(3, 10, 14, 3)
    torch.testing.assert_close(refine_frames(Refiner(), frames, source), frames)


def test_tiles_and_chunks_equal_one_piece() -> None:
    refiner = busy_refiner()
    frames, source = torch.rand(9, 200, 340, 3), torch.rand(9, 50, 85, 3)
    whole = refine_frames(refiner, frames, source, tile_px=4096, chunk_frames=100)
    pieces = refine_frames(refiner, frames, source, tile_px=180, chunk_frames=2)
    assert (whole - frames).abs().mean() > 1e-3
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)


def test_neighbouring_frames_are_used() -> None:
    refiner = busy_refiner()
    frames, source = torch.rand(5, 32, 32, 3), torch.rand(5, 8, 8, 3)
    other = frames.clone()
    other[3] = torch.rand(32, 32, 3)
    assert not torch.equal(refine_frames(refiner, frames, source)[2], refine_frames(refiner, other, source)[2])


def test_odd_sizes_and_strength() -> None:
    refiner = busy_refiner()
    frames, source = torch.rand(1, 131, 173, 3), torch.rand(1, 44, 58, 3)
    full = refine_frames(refiner, frames, source)
    assert full.shape == frames.shape
    torch.testing.assert_close(refine_frames(refiner, frames, source, strength=0.5), (frames + full) / 2)


def test_file_round_trip(tmp_path: Path) -> None:
    refiner = busy_refiner()
    save_refiner(refiner, tmp_path / "r.safetensors", torch.float32)
    loaded = load_refiner(tmp_path / "r.safetensors")
    assert loaded.config == refiner.config
    for a, b in zip(loaded.parameters(), refiner.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bad_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no refiner file"):
        load_refiner(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="get it again"):
        load_refiner(tmp_path / "bad.safetensors")
