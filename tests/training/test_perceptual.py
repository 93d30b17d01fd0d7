"""LPIPS and DISTS with weights of the right shapes; the real ones are others' and named by their path."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from patchvsr_core.errors import ModelError
from patchvsr_core.training.perceptual import DISTS, LPIPS

ALEXNET = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
VGG16 = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
KEPT = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {"dists.alpha": torch.rand(1475), "dists.beta": torch.rand(1475)}
    shapes = {"alexnet": ALEXNET, "vgg16": [(b, a, 3) for a, b in itertools.pairwise(VGG16)]}
    for network, layers in shapes.items():
        for k, (after, before, side) in enumerate(layers):
            deviation = (2 / (before * side * side)) ** 0.5
            tensors[f"{network}.conv{k}.weight"] = deviation * torch.randn(after, before, side, side)
            tensors[f"{network}.conv{k}.bias"] = torch.zeros(after)
        tensors |= {f"{network}.lin{k}": torch.rand(channels) for k, channels in enumerate(KEPT[network])}
    path = tmp_path_factory.mktemp("perceptual") / "weights.safetensors"
    save_file(tensors, str(path))
    return path


@pytest.fixture(scope="module")
def picture() -> Tensor:
    torch.manual_seed(1)
    return F.interpolate(torch.rand(2, 3, 20, 24), (80, 96), mode="bicubic").clamp(0, 1)


@pytest.fixture(params=["alexnet", "vgg16", "dists"], scope="module")
def distance(request: pytest.FixtureRequest, weights: Path) -> torch.nn.Module:
    return DISTS(weights) if request.param == "dists" else LPIPS(weights, request.param)


def test_equal_pictures_are_no_distance_apart(distance: torch.nn.Module, picture: Tensor) -> None:
    torch.testing.assert_close(distance(picture, picture), torch.zeros(2), atol=1e-5, rtol=0)


def test_more_noise_is_further_away_and_either_way_the_same(distance: torch.nn.Module, picture: Tensor) -> None:
    torch.manual_seed(2)
    noise = torch.randn_like(picture)
    near, far = (distance(picture + size * noise, picture) for size in (0.02, 0.2))
    assert (near > 0).all() and (far > near).all()
    torch.testing.assert_close(distance(picture, picture + 0.2 * noise), far, rtol=1e-4, atol=1e-6)


def test_pictures_of_a_batch_do_not_mix(distance: torch.nn.Module, picture: Tensor) -> None:
    other = picture.flip(-1)
    single = torch.cat([distance(a[None], b[None]) for a, b in zip(picture, other, strict=True)])
    torch.testing.assert_close(distance(picture, other), single, rtol=1e-4, atol=1e-6)


def test_its_gradient_leads_closer_and_weights_stay(distance: torch.nn.Module, picture: Tensor) -> None:
    torch.manual_seed(3)
    start = (picture + 0.1 * torch.randn_like(picture)).requires_grad_(True)
    before = distance(start, picture).sum()
    before.backward()
    gradient = start.grad
    assert gradient is not None
    after = distance(start.detach() - 0.1 * gradient / gradient.abs().max(), picture).sum()
    assert after < before
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_a_file_without_them_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(1)}, str(path))
    with pytest.raises(ModelError, match=r"lacks alexnet\.conv0\.weight"):
        LPIPS(path)


@pytest.mark.skipif("PATCHVSR_PERCEPTUAL" not in os.environ, reason="set PATCHVSR_PERCEPTUAL to the file of weights")
def test_the_real_weights_prefer_blur_less_than_people_do() -> None:
    """As its authors found: LPIPS, unlike squared error, puts a blurred picture further away than a noisy one."""
    path = Path(os.environ["PATCHVSR_PERCEPTUAL"])
    assert "dists.alpha" in load_file(path)
    torch.manual_seed(4)
    sharp = F.interpolate(torch.rand(1, 3, 64, 64), scale_factor=2).clamp(0, 1)
    blurred = F.avg_pool2d(sharp, 7, 1, 3, count_include_pad=False)
    error = (blurred - sharp).square().mean().sqrt()
    noisy = sharp + error * torch.randn_like(sharp)
    assert LPIPS(path)(blurred, sharp) > LPIPS(path)(noisy, sharp)
