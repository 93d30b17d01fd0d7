import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.resample import add_resized, reflect_index, resize, upsample_window


def clip(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_resize_is_pillows_bicubic() -> None:
    frame = clip(1, 24, 31, 3)
    for size in ((96, 124), (8, 10)):
        ours = resize(frame, size)[0]
        planes = [
            Image.fromarray(frame[0, :, :, c].numpy()).resize(size[::-1], Image.Resampling.BICUBIC) for c in range(3)
        ]
        np.testing.assert_allclose(ours.numpy(), np.stack([np.asarray(p) for p in planes], -1), atol=1e-5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((100, 240), (400, 960)),
        ((400, 960), (100, 240)),
        ((61, 300), (200, 77)),
        ((5, 3), (7, 700)),
        ((150, 1), (9, 2)),
    ],
)
def test_products_with_matrices_equal_interpolation(before: tuple[int, int], after: tuple[int, int]) -> None:
    frames = clip(2, *before, 3)
    found = resize(frames, after)
    exact = F.interpolate(frames.movedim(-1, 1).double(), size=after, mode="bicubic", antialias=True).movedim(1, -1)
    torch.testing.assert_close(found, exact.float(), atol=1e-6, rtol=0)
    asked = resize(frames.clone().requires_grad_(), after)  # a gradient is asked for: torch interpolates
    torch.testing.assert_close(found, asked.detach(), atol=5e-6, rtol=0)
    assert torch.equal(resize(frames[1:], after)[0], found[1]), "a frame does not depend on those beside it"


def test_what_is_added_is_resized() -> None:
    change, frames = clip(2, 20, 33, 3), clip(2, 3, 80, 130).movedim(1, -1)
    wanted = frames - 0.5 * resize(change, (80, 130))
    add_resized(frames, change, -0.5)
    torch.testing.assert_close(frames, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 4, 7.3])
def test_windows_equal_the_whole_enlarged_clip(scale: float) -> None:
    frames = clip(2, 13, 17, 3)
    target = round(13 * scale), round(17 * scale)
    canvas = Canvas(2, (13, 17), target)
    whole = F.interpolate(frames.movedim(-1, 1), size=target, mode="bicubic", antialias=True).movedim(1, -1)
    window = upsample_window(frames, canvas, slice(3, target[0]), slice(0, target[1] - 2))
    torch.testing.assert_close(window, whole[:, 3:, :-2], atol=1e-5, rtol=0)


def test_padding_mirrors_in_space_and_stands_still_in_time() -> None:
    frames = clip(3, 10, 9, 3)
    canvas = Canvas(3, (10, 9), (20, 18), stride_frames=4)
    height, width = canvas.padded_px
    padded = upsample_window(frames, canvas, slice(0, height), slice(0, width))
    assert padded.shape == (5, 32, 32, 3)
    torch.testing.assert_close(padded[:, 20], padded[:, 18])
    torch.testing.assert_close(padded[:, :, 18], padded[:, :, 16])
    assert torch.equal(padded[3], padded[2]) and torch.equal(padded[4], padded[2])


def test_reflection_folds_as_often_as_needed() -> None:
    assert reflect_index(np.arange(8), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert reflect_index(np.arange(4), 1).tolist() == [0, 0, 0, 0]
