"""Reading pictures between their pixels, at several places for every pixel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.optical_flow.flow import warp
from patchvsr_core.realtime.deformable_gather import sample_points, sum_gathered_rows, sum_weighted_rows


def some_offsets(count: int, batch: int = 2, size: tuple[int, int] = (7, 9)) -> torch.Tensor:
    """Some of them outside."""
    return 4 * torch.randn(batch, *size, count, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_places_are_read_as_warping_reads_them(count: int, layout: torch.memory_format) -> None:
    x = torch.rand(2, 5, 7, 9).contiguous(memory_format=layout)
    offsets, weights = some_offsets(count), torch.rand(2, 7, 9, count)
    read = [warp(x, place.movedim(-1, 1)) for place in offsets.unbind(3)]
    where = sample_points(offsets)
    torch.testing.assert_close(where.gather(x), torch.stack(read, 1).movedim(2, -1).movedim(1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(where.gather_sum(x), torch.stack(read).mean(0), atol=1e-5, rtol=0)
    expected = sum(weight[:, None] * values for weight, values in zip(weights.unbind(-1), read, strict=True))
    torch.testing.assert_close(where.gather_sum(x, weights), expected, atol=1e-5, rtol=0)
    assert where.gather_sum(x).is_contiguous(memory_format=torch.channels_last)


def test_places_are_counted_in_pixels() -> None:
    x = torch.rand(1, 2, 6, 8)
    offsets = torch.zeros(1, 6, 8, 2, 2)
    offsets[..., 1, 0], offsets[..., 1, 1] = 2.0, -1.0
    found = sample_points(offsets).gather(x).movedim(-1, 1)
    assert torch.equal(found[..., 0], x), "exactly, where nothing moves"
    torch.testing.assert_close(found[:, :, 1:, :6, 1], x[:, :, :-1, 2:])
    assert not found[:, :, 0, :, 1].any() and not found[:, :, :, 6:, 1].any(), "zero outside"


def test_gradients_are_those_of_warping() -> None:
    """Also those of offsets into a picture that needs none."""
    for needed in (True, False):
        x, offsets = torch.rand(2, 3, 7, 9, requires_grad=needed), some_offsets(2).requires_grad_()
        weights = torch.rand(2, 7, 9, 2, requires_grad=True)
        wanted = [offsets, weights, *([x] if needed else [])]
        ours = torch.autograd.grad(sample_points(offsets).gather_sum(x, weights).square().sum(), wanted)
        read = sum(weights[:, None, ..., j] * warp(x, offsets[..., j, :].movedim(-1, 1)) for j in range(2))
        theirs = torch.autograd.grad(read.square().sum(), wanted)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_gradients_of_weights_are_right_with_any_torch(
    monkeypatch: pytest.MonkeyPatch, old: bool, needed: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(20, 3, dtype=torch.float64, generator=generator).requires_grad_(needed)
    weights = torch.rand(5, 4, dtype=torch.float64, generator=generator).requires_grad_()
    index = torch.randint(0, 20, (5, 4), generator=generator, dtype=torch.int32)
    embedding_bag = F.embedding_bag

    def without_gradient(index: torch.Tensor, table: torch.Tensor, **options: Any) -> torch.Tensor:
        """As torch up to 2.6 has it: no gradient at all when the table needs none."""
        with torch.set_grad_enabled(table.requires_grad):
            return embedding_bag(index, table, **options)

    if old:
        monkeypatch.setattr(F, "embedding_bag", without_gradient)
    assert torch.autograd.gradcheck(lambda *given: sum_weighted_rows(given[0], index, given[1]), (table, weights))
    wanted = [weights, *([table] if needed else [])]
    ours, theirs = (
        torch.autograd.grad(f(table, index, weights).square().sum(), wanted)
        for f in (sum_weighted_rows, sum_gathered_rows)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_far_pixels_are_told_apart_in_half_precision(dtype: torch.dtype) -> None:
    """Beyond the 2048th; both ways of reading."""
    x = (torch.arange(4000) % 7).to(dtype).expand(1, 1, 2, 4000)
    offsets = torch.zeros(1, 2, 4000, 1, 2)
    offsets[..., 0] = 3.0
    for found in (sample_points(offsets).gather_sum(x), warp(x, offsets[..., 0, :].movedim(-1, 1).to(dtype))):
        assert found.dtype == dtype
        torch.testing.assert_close(found[..., :-3], x[..., 3:], atol=0.02, rtol=0)


def test_devices_without_the_kernel_get_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    table, weights = torch.rand(20, 4, generator=generator), torch.rand(9, 6, generator=generator)
    index = torch.randint(0, 20, (9, 6), generator=generator, dtype=torch.int32)
    torch.testing.assert_close(sum_gathered_rows(table, index, weights), sum_weighted_rows(table, index, weights))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_no_offset_reads_outside_the_features(value: float) -> None:
    points = sample_points(torch.full((2, 3, 4, 1, 2), value))
    assert int(points.index.min()) >= 0 and int(points.index.max()) < 2 * 3 * 4
    found = points.gather_sum(torch.ones(2, 5, 3, 4))
    assert not found.isfinite().all() or not found.any()
