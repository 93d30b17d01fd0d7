from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from patchvsr_core.degradation import (
    COMPRESSED_BELOW,
    DegradationEstimator,
    EstimatorConfig,
    degradation_level,
    degradation_rms,
    estimate_degradation,
    estimate_input_degradation,
    is_compressed,
    load_estimator,
    save_estimator,
    shipped_estimator,
)
from patchvsr_core.errors import ModelError
from patchvsr_core.finish.refine import load_refiner, refine_frames
from patchvsr_core.resample import resize
from patchvsr_core.training.degrade import Degradation, add_noise_and_compression, make_input
from patchvsr_core.video import read_frames
from patchvsr_core.weights import shipped

ORIGINAL = Path(__file__).parents[1] / "examples" / "sample_original.mp4"


@pytest.fixture(scope="module")
def clean() -> Tensor:
    """(4, 100, 240, 3) real footage, reduced so far that its own compression is gone."""
    large = read_frames(ORIGINAL, 4)
    return make_input(large, (int(large.shape[1]) // 4, int(large.shape[2]) // 4))


def test_level_counts_from_clean() -> None:
    levels = degradation_level(torch.tensor([0.0, 1, 3, 15]) / 255)
    torch.testing.assert_close(levels, torch.tensor([0.0, 0.5, 1.0, 2.0]))


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 3, 500), (30, 20, 20), (2, 700, 700)])
def test_any_size_is_measured(size: tuple[int, int, int]) -> None:
    level = DegradationEstimator().estimate(torch.rand(*size, 3))
    assert 0 <= level < 10


KINDS = [Degradation(noise=5 / 255), Degradation(noise=12 / 255), Degradation(h264=30), Degradation(jpeg=45)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"noise {kind.noise:.3f} crf {kind.h264} jpeg {kind.jpeg}")
def test_the_shipped_estimator_tells_how_degraded_a_clip_is(clean: Tensor, kind: Degradation) -> None:
    damaged = add_noise_and_compression(clean, kind)
    true = degradation_level((damaged - clean).square().mean().sqrt())
    assert shipped_estimator().estimate(damaged) == pytest.approx(float(true), abs=0.35)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Degradation(noise=2 / 255), False),
        (Degradation(noise=8 / 255, gray_noise=True), False),
        (Degradation(h264=18), True),
        (Degradation(h264=32), True),
        (Degradation(jpeg=60), True),
        (Degradation(noise=4 / 255, h264=26), True),
    ],
)
def test_compression_is_told_from_noise(clean: Tensor, kind: Degradation, expected: bool) -> None:
    """Noise that was then compressed is compression: little of it is left."""
    damaged = add_noise_and_compression(clean, kind)
    level = shipped_estimator().estimate(damaged)
    assert is_compressed(damaged, level) is expected
    assert is_compressed(damaged[:1], level) is expected, "a still image, too"


def test_a_clean_clip_is_not_compressed(clean: Tensor) -> None:
    assert not is_compressed(clean, 0.0)
    assert not is_compressed(torch.zeros(1, 2, 9, 3), 1.0), "too small to tell"


def test_pure_noise_has_the_deviation_that_its_level_says() -> None:
    """On a flat picture the median of the second derivative gives the deviation of the noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 300, 300, 1), generator=generator).expand(-1, -1, -1, 3) * 6 / 255
    for share, expected in ((1.05, False), (0.95, True)):
        level = degradation_level(torch.tensor(6 / 255 / COMPRESSED_BELOW * share**-1))
        assert is_compressed(0.5 + noise, float(level)) is expected


def test_bars_around_a_picture_do_not_make_its_noise_compression(clean: Tensor) -> None:
    """There is none in them."""
    noisy = add_noise_and_compression(clean, Degradation(noise=5 / 255))
    level = shipped_estimator().estimate(noisy)
    barred = torch.nn.functional.pad(noisy, (0, 0, 0, 0, 60, 60))
    assert not is_compressed(noisy, level) and not is_compressed(barred, level)
    assert not is_compressed(torch.zeros_like(noisy), 1.0), "all black"
    assert shipped_estimator().estimate(barred) == level, "nor is it less degraded"


def test_a_title_on_black_is_measured_as_a_whole() -> None:
    """Black around letters is no bar."""
    title = torch.zeros(1, 90, 160, 3)
    for x in range(50, 110, 6):
        title[:, 40:50, x : x + 3] = 1
    noisy = title.clone()
    noisy[:, 40:50, 50:110] += 0.02 * torch.randn(1, 10, 60, 3, generator=torch.Generator().manual_seed(0))
    estimator = DegradationEstimator()
    with torch.inference_mode():
        whole = float(estimator(noisy.clamp(0, 1).movedim(-1, 1)))
    assert estimator.estimate(noisy.clamp(0, 1)) == whole


COLOURS = [(0, 255), (128, 0), (128, 255), (255, 30)]


@pytest.mark.parametrize(("ground", "letters"), COLOURS)
@pytest.mark.parametrize("text", ["", "The quick brown fox"])
def test_titles_are_clean_unless_they_are_not(ground: int, letters: int, text: str) -> None:
    """Flat grounds are what compression leaves of footage, and of titles what was there."""
    card = np.full((1080, 1920, 3), ground, np.uint8)
    for bottom in (400, 550):
        cv2.putText(card, text, (300, bottom), cv2.FONT_HERSHEY_DUPLEX, 3.5, (letters,) * 3, 6, cv2.LINE_AA)
    reduced = make_input(torch.from_numpy(card)[None] / 255, (270, 480))
    assert estimate_input_degradation(reduced) == 0
    assert estimate_input_degradation(add_noise_and_compression(reduced, Degradation(noise=5 / 255))) > 0.8


def test_a_level_gives_its_rms_back() -> None:
    for rms in (0.0, 0.004, 0.05):
        assert degradation_rms(float(degradation_level(torch.tensor(rms)))) == pytest.approx(rms, abs=1e-7)


def test_every_frame_of_a_clean_clip_is_taken_for_clean(clean: Tensor) -> None:
    """A still image has but one."""
    assert estimate_input_degradation(clean) == 0
    assert [estimate_input_degradation(frame[None]) for frame in clean] == [0.0] * len(clean)


def test_an_estimator_survives_its_file(tmp_path: Path) -> None:
    estimator = DegradationEstimator(EstimatorConfig(channels=4, features=6, views=2))
    save_estimator(estimator, tmp_path / "small.safetensors")
    loaded = load_estimator(tmp_path / "small.safetensors")
    clip = torch.rand(2, 30, 40, 3)
    assert loaded.config == estimator.config
    assert loaded.estimate(clip) == pytest.approx(estimator.estimate(clip), abs=1e-3)
    with pytest.raises(ModelError, match="restorer"):
        load_estimator(shipped("restorer.safetensors"))


def test_places_of_all_frames_are_weighed_together() -> None:
    """The same frame twice is as degraded as once."""
    estimator, frame = DegradationEstimator(), torch.rand(1, 32, 40, 3)
    assert estimator.estimate(frame.repeat(3, 1, 1, 1)) == pytest.approx(estimator.estimate(frame), abs=1e-5)


def test_cleanup_removes_noise(clean: Tensor) -> None:
    refiner = load_refiner(shipped("tiny_refiner.safetensors"))
    noisy = add_noise_and_compression(clean, Degradation(noise=8 / 255))
    enlarged = resize(noisy, (200, 480))
    errors = [
        (refine_frames(refiner, enlarged, noisy, degradation=degradation) - resize(clean, (200, 480))).square().mean()
        for degradation in (0.0, 1.5)
    ]
    assert errors[1] < errors[0]


class _Given(DegradationEstimator):
    """Estimates what it is given."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, source: Tensor) -> Tensor:
        return torch.tensor(self.level)


@pytest.mark.parametrize(
    ("measured", "estimate"),
    [(0.0, 0.0), (0.4, 0.0), (0.5, 0.0), (0.56, 0.112), (0.65, 0.325), (0.74, 0.592), (0.8, 0.8), (2.5, 2.5)],
)
def test_levels_below_a_half_may_be_a_clean_clips_and_count_for_nothing(measured: float, estimate: float) -> None:
    """Between 0.5 and 0.8 they count more and more, from 0.8 on fully."""
    source = torch.zeros(1, 8, 8, 3)
    assert estimate_degradation(_Given(measured), source) == pytest.approx(estimate)
    assert estimate_degradation(_Given(measured), source, 0.5) == pytest.approx(estimate / 2)
    assert estimate_degradation(_Given(measured), source, 0.0) == estimate_degradation(None, source) == 0.0
