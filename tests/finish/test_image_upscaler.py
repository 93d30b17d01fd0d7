"""Image upscalers as base layer; a stand-in has what spandrel's descriptors have."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchvsr_core.errors import ModelError, PlanError
from patchvsr_core.finish import image_upscaler
from patchvsr_core.finish.base_layer import make_base_layer
from patchvsr_core.finish.image_upscaler import ImageUpscaler, load_image_upscaler, upscale_images

CPU = torch.device("cpu")


class Descriptor:
    """What spandrel gives for a file: nearest-neighbour upscaling in place of a network."""

    input_channels = output_channels = 3

    def __init__(self, scale: int = 4) -> None:
        self.scale, self.model, self.sides = scale, nn.Identity(), set()

    def to(self, device: torch.device) -> Descriptor:
        return self

    def eval(self) -> Descriptor:
        return self

    def __call__(self, x: Tensor) -> Tensor:
        self.sides.add(tuple(x.shape[2:]))
        return F.interpolate(x, scale_factor=self.scale, mode="nearest")


@pytest.fixture
def clip() -> Tensor:
    return torch.rand(2, 20, 30, 3, generator=torch.Generator().manual_seed(0))


def test_tiles_are_the_whole_picture(clip: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_upscaler, "TILE_PX", 12)
    monkeypatch.setattr(image_upscaler, "OVERLAP_PX", 4)
    descriptor, seen = Descriptor(2), []
    out = upscale_images(
        ImageUpscaler(descriptor, 2, CPU), clip, (40, 60), on_frames=lambda done, total: seen.append((done, total))
    )
    expected = F.interpolate(clip.movedim(-1, 1), scale_factor=2, mode="nearest").movedim(1, -1)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)
    assert descriptor.sides == {(12, 12)} and seen == [(1, 2), (2, 2)]


def test_no_larger_than_the_result_and_no_larger_than_the_network_makes_it(clip: Tensor) -> None:
    for target, size in (((30, 45), (30, 45)), ((400, 600), (80, 120))):
        out = upscale_images(ImageUpscaler(Descriptor(), 4, CPU), clip, target)
        assert out.shape == (2, *size, 3) and out.min() >= 0 and out.max() <= 1


def test_short_memory_makes_smaller_tiles_and_the_same_picture() -> None:
    clip, network = torch.rand(1, 300, 280, 3), Descriptor(2)

    def short(x: Tensor) -> Tensor:
        if x.shape[2] > 150:
            raise torch.OutOfMemoryError
        return network(x)

    whole = upscale_images(ImageUpscaler(network, 2, CPU), clip, (600, 560))
    torch.testing.assert_close(upscale_images(ImageUpscaler(short, 2, CPU), clip, (600, 560)), whole, atol=1e-6, rtol=0)


def test_the_base_layer_is_what_the_upscaler_makes(clip: Tensor) -> None:
    base = make_base_layer("upscaler", clip, (40, 60), upscale=lambda frames, target, on_frames: frames + 1)
    assert torch.equal(base, clip + 1)
    with pytest.raises(PlanError, match="name its file with --base-layer"):
        make_base_layer("upscaler", clip, (40, 60))


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> list[Descriptor]:
    """A module with spandrel's interface, and what its loader will give."""
    answers: list[Descriptor] = [Descriptor()]

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu", "a file is never loaded straight into a GPU's memory"

        def load_from_file(self, path: Path) -> Descriptor:
            if path.read_bytes() == b"no model":
                raise ValueError("unsupported architecture")
            return answers[0]

    module = ModuleType("spandrel")
    module.ModelLoader = ModelLoader
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return answers


def test_a_file_is_read_by_spandrel(spandrel: list[Descriptor], tmp_path: Path) -> None:
    path = tmp_path / "4x.pth"
    path.write_bytes(b"weights")
    assert load_image_upscaler(path).scale == 4
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"4x.pth is no image upscaler"):
        load_image_upscaler(path)
    with pytest.raises(ModelError, match="no image upscaler at"):
        load_image_upscaler(tmp_path / "missing.pth")


def test_other_pictures_than_rgb_are_refused(spandrel: list[Descriptor], tmp_path: Path) -> None:
    path = tmp_path / "grey.pth"
    path.write_bytes(b"weights")
    spandrel[0] = SimpleNamespace(**{**vars(Descriptor()), "input_channels": 1, "to": lambda device: Descriptor()})
    with pytest.raises(ModelError, match="RGB"):
        load_image_upscaler(path)


def test_without_spandrel_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "4x.pth"
    path.write_bytes(b"weights")
    with pytest.raises(ModelError, match="pip install spandrel"):
        load_image_upscaler(path)
