from pathlib import Path

import pytest
import torch
from small_models import random_vae, save
from torch import nn

from patchvsr_core.errors import ModelError
from patchvsr_core.hosts.diffusers.loading import load_vae
from patchvsr_core.vae.codec import SpaceToDepth


def test_space_to_depth_is_lossless() -> None:
    codec = SpaceToDepth()
    frames = torch.rand(3, 24, 40, 3)
    latent = codec.encode(frames)
    assert latent.shape == (1, 192, 3, 3, 5)
    torch.testing.assert_close(codec.decode(latent), frames, atol=1e-7, rtol=0)


def test_space_to_depth_is_local() -> None:
    frames = torch.zeros(1, 16, 16, 3)
    frames[0, 9, 2, 1] = 1
    changed = (SpaceToDepth().encode(frames) + 1).nonzero()
    assert changed.tolist() == [[0, 64 + 1 * 8 + 2, 0, 1, 0]]


def test_tiles_must_be_whole_cells() -> None:
    with pytest.raises(ModelError, match="multiples of 8"):
        SpaceToDepth().encode(torch.zeros(1, 12, 16, 3))


def test_wan_vae_keeps_the_causal_frame_rule(tmp_path: Path) -> None:
    codec = load_vae(save(random_vae(), tmp_path / "vae.safetensors"))
    assert (codec.channels, codec.stride_px, codec.stride_frames) == (16, 8, 4)
    frames = torch.rand(9, 32, 48, 3)
    latent = codec.encode(frames)
    assert latent.shape == (1, 16, 3, 4, 6)
    assert codec.decode(latent).shape == frames.shape
    first = codec.encode(frames[:1])
    torch.testing.assert_close(first, latent[:, :, :1], atol=1e-4, rtol=0)


def test_kernels_lie_as_convolutions_read_them_and_the_result_is_the_same(tmp_path: Path) -> None:
    codec = load_vae(save(random_vae(), tmp_path / "vae.safetensors"))
    latent = torch.randn(1, 16, 2, 4, 6)
    kernels = [m.weight for m in codec.vae.modules() if isinstance(m, nn.Conv3d) and m.kernel_size != (1, 1, 1)]
    assert kernels and all(k.is_contiguous(memory_format=torch.channels_last_3d) for k in kernels)
    fast = codec.decode(latent)
    for module in codec.vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.weight.data = module.weight.data.contiguous()
    torch.testing.assert_close(fast, codec.decode(latent), atol=1e-4, rtol=1e-4)
