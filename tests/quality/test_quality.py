"""What can be said about a result: every measure against a value known in closed form."""

from __future__ import annotations

import json
import math
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from patchvsr_core import quality
from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.quality.frame_pairs import luma
from patchvsr_core.quality.heatmap import CELL_PX, make_colormap, overlay_heatmap
from patchvsr_core.quality.seams import NOISE_FLOOR, SEGMENT_PX, borders_px
from patchvsr_core.resample import resize

HEIGHT, WIDTH, FRAMES = 64, 192, 4
LEVEL = 1 / 255


def textured(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A still clip, clear of black and white, with structure at two sizes."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.rand(1, 3, height // k, width // k, generator=generator) for k in (4, 16)]
    planes = sum(F.interpolate(layer, (height, width), mode="bicubic").clamp(0, 1) for layer in layers)
    return (0.2 + 0.3 * torch.as_tensor(planes)).movedim(1, -1).repeat(frames, 1, 1, 1)


def a_plan(frames: int = FRAMES, patch_px: int = 64, layout: str = "corner") -> PatchPlan:
    """Three primary patches side by side; borders only from left to right."""
    canvas = Canvas(frames, (HEIGHT, WIDTH), (HEIGHT, WIDTH), 8, 1)
    return plan_patches(canvas, patch_px=patch_px, layout=layout, window_frames=frames, overlap_frames=0)


def over_time(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None, None]


def test_what_stands_still_has_no_flicker() -> None:
    clip = textured()
    unlike = clip.flip(2)
    assert quality.warping_error(clip, clip) == pytest.approx(0, abs=1e-6)
    assert quality.flicker(unlike, clip) == pytest.approx(0, abs=1e-3)
    assert quality.brightness_flicker(clip) == pytest.approx(0, abs=1e-3)


def test_alternating_brightness_has_a_known_flicker() -> None:
    clip, delta = textured(), 3 * LEVEL
    pumping = clip + over_time([delta, -delta, delta, -delta])
    assert quality.flicker(pumping, clip) == pytest.approx(1000 * 2 * delta, rel=1e-3)
    assert quality.warping_error(pumping, clip) == pytest.approx(1000 * (2 * delta) ** 2, rel=1e-3)
    assert quality.temporal_error(pumping, clip) == pytest.approx(1000 * (2 * delta) ** 2, rel=1e-3)
    assert quality.brightness_flicker(pumping) == pytest.approx(1000 * 4 * delta, rel=1e-3)


def test_an_even_fade_does_not_pump() -> None:
    fading = textured() + over_time([0.0, 0.02, 0.04, 0.06])
    assert quality.brightness_flicker(fading) == pytest.approx(0, abs=0.01)


def test_flicker_follows_the_size_of_the_error_only() -> None:
    clip = textured()
    error = torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))
    small, large = (quality.flicker(clip + size * error, clip) for size in (0.01, 0.03))
    assert large == pytest.approx(3 * small, rel=1e-4)
    assert small == pytest.approx(1000 * 0.01 * math.sqrt(2) * math.sqrt(2 / math.pi), rel=0.02)


def test_detail_that_moves_with_the_picture_is_no_flicker() -> None:
    wide = textured(1, HEIGHT, WIDTH + 16)
    spot = torch.zeros_like(wide)
    spot[:, 28:36, 90:110] = 0.1
    clip, carried = (torch.cat([v[:, :, 4 * k : 4 * k + WIDTH] for k in range(4)]) for v in (wide, spot))
    fixed = carried[:1].expand_as(carried)
    assert quality.flicker(clip + carried, clip) < 0.2 * quality.flicker(clip + fixed, clip)


def test_where_no_motion_can_be_followed_nothing_is_judged() -> None:
    clip = textured(2)
    other = torch.rand(HEIGHT, WIDTH // 2, 3, generator=torch.Generator().manual_seed(5))
    clip[1, :, WIDTH // 2 :] = other
    motion = next(quality.clip_motion(clip))
    half = motion.valid[..., : WIDTH // 2 - 16].mean(), motion.valid[..., WIDTH // 2 + 16 :].mean()
    assert half[0] > 0.95 and half[1] < 0.5
    still = quality.Motion(torch.zeros_like(motion.flow), motion.valid)
    error = 0.1 * (1 - motion.valid[0, 0, :, :, None])
    assert quality.flicker(clip + torch.stack([error, 0 * error]), clip, [still]) == pytest.approx(0, abs=1e-4)


def test_known_motion_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = textured() + over_time([0.0, 0.01, 0.0, 0.01])
    motion = list(quality.clip_motion(textured()))
    expected = quality.flicker(clip, textured())
    monkeypatch.setattr("patchvsr_core.quality.temporal.estimate_clip_flows", None)
    assert len(motion) == FRAMES - 1
    assert quality.flicker(clip, textured(), motion) == pytest.approx(expected)


def test_the_source_may_have_any_size() -> None:
    clip = textured()
    small = resize(clip, (HEIGHT // 2, WIDTH // 2))
    enlarged = resize(small, (HEIGHT, WIDTH)).clamp(0, 1)
    pumping = enlarged + over_time([0.0, 0.01, 0.0, 0.01])
    assert quality.flicker(pumping, small) == pytest.approx(10, rel=1e-3)
    assert quality.colour_drift(enlarged + 0.02, small).largest == pytest.approx(0.02 * 255, rel=1e-3)
    assert quality.detail_energy(enlarged, small) == 1
    stripes = (torch.arange(WIDTH // 2) // 2 % 2).float()[None, None, :, None].expand(2, HEIGHT // 2, -1, 3)
    within = resize(stripes, (HEIGHT, WIDTH)).clamp(0, 1)
    assert quality.colour_drift(within, stripes).largest == 0, "bicubic overshoots; frames cannot"
    larger = resize(clip, (2 * HEIGHT, 2 * WIDTH)).clamp(0, 1)
    assert quality.measure_quality(clip, larger).measures.mismatch < 0.5


def ramp() -> Tensor:
    """Every pixel is brighter than its left neighbour by one level."""
    return (torch.arange(WIDTH) * LEVEL / 2 + 0.1)[None, None, :, None].expand(FRAMES, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("layout", ["corner", "pairwise"])
def test_a_step_at_a_border_has_a_known_energy(layout: str) -> None:
    plan, source, delta = a_plan(layout=layout), ramp(), 2 * LEVEL
    borders = borders_px(plan, 2)
    stepped = source.clone()
    stepped[:, :, 64:] += delta
    energy = log(((LEVEL / 2 + delta) ** 2 + NOISE_FLOOR) / ((LEVEL / 2) ** 2 + NOISE_FLOOR))
    assert 64 in borders and HEIGHT % SEGMENT_PX == 0
    assert quality.seam_energy(source, source, plan) == pytest.approx(1)
    assert quality.seam_energy(stepped, source, plan) == pytest.approx(exp(energy / len(borders)), rel=1e-3)


def test_seams_are_those_of_borders_and_of_the_result_alone() -> None:
    plan, clip = a_plan(), textured()
    at_border, beside, in_source = (clip.clone() for _ in range(3))
    at_border[:, :, 64:] += 0.1
    beside[:, :, 68:] += 0.1  # no codec grid and no border lies there
    in_source[:, :, 64:] += 0.1
    plain = quality.seam_energy(clip, clip, plan)
    assert quality.seam_energy(at_border, clip, plan) > 1.5 * plain
    assert quality.seam_energy(beside, clip, plan) == pytest.approx(plain, rel=1e-3)
    assert quality.seam_energy(at_border, in_source, plan) == pytest.approx(1, rel=1e-3)


def test_contrast_and_grain_make_no_seams() -> None:
    plan, clip = a_plan(), textured()
    grain = 0.02 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(2))
    assert quality.seam_energy(clip * 0.5, clip, plan) == pytest.approx(1, abs=0.03)
    assert quality.seam_energy(clip + grain, clip, plan) == pytest.approx(1, abs=0.1)


def test_one_patch_has_no_seams() -> None:
    clip, plan = textured(), a_plan(patch_px=192)
    assert math.isnan(quality.seam_energy(clip, clip, plan))
    assert "more than one patch" in quality.measure_quality(clip, clip, plan).as_text()


def test_a_constant_offset_is_a_drift_of_its_size() -> None:
    clip = textured()
    assert quality.colour_drift(clip, clip).largest == 0
    offset = torch.tensor([0.0, -3.0, 1.0]) * LEVEL
    drift = quality.colour_drift(clip + offset, clip)
    assert drift.largest == pytest.approx(3, rel=1e-4) and drift.slope == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(drift.per_frame[0], torch.tensor([0.0, -3.0, 1.0]).double(), atol=1e-4, rtol=0)


def test_a_steady_drift_has_its_slope() -> None:
    clip = textured()
    drift = quality.colour_drift(clip - over_time([0.0, 1.0, 2.0, 3.0]) * LEVEL, clip)
    assert drift.slope == pytest.approx(-1, rel=1e-4) and drift.largest == pytest.approx(3, rel=1e-4)
    assert quality.colour_drift(clip[:1] + LEVEL, clip[:1]).slope == 0


def test_the_variance_of_patch_colours() -> None:
    plan, clip = a_plan(layout="uniform"), textured()
    offsets = torch.tensor([[1.0, 0.0, -2.0], [3.0, 0.0, 2.0], [-1.0, 0.0, 6.0]]) * LEVEL
    tinted = clip + offsets.repeat_interleave(64, 0)
    variance = quality.patch_colour_variance(tinted, clip, plan)
    torch.testing.assert_close(variance, offsets.double().var(0, correction=0), atol=1e-10, rtol=1e-3)
    assert quality.patch_colour_variance(clip + 0.1, clip, plan).max() < 1e-12, "all off by the same"
    doubled = quality.patch_colour_variance(clip + 2 * (tinted - clip), clip, plan)
    torch.testing.assert_close(doubled, 4 * variance, atol=1e-10, rtol=1e-3)


def test_detail_is_relative() -> None:
    clip = textured()
    assert quality.detail_energy(clip, clip) == 1
    assert quality.detail_energy(clip * 0.5, clip) == pytest.approx(0.25, rel=1e-4)
    assert quality.detail_energy(clip * 0.5, clip * 0.25) == pytest.approx(4, rel=1e-4)
    assert math.isnan(quality.detail_energy(clip, torch.full_like(clip, 0.5)))


def test_the_report_has_the_numbers_of_the_measures() -> None:
    plan, source = a_plan(), textured()
    noise = 0.01 * torch.randn(source.shape, generator=torch.Generator().manual_seed(3))
    frames = source + noise + over_time([0.0, 0.01, 0.0, 0.02])
    valid: list[tuple[int, int]] = []
    report = quality.measure_quality(frames, source, plan, on_frames=lambda done, total: valid.append((done, total)))
    drift = quality.colour_drift(frames, source)
    assert report.as_dict() == pytest.approx(
        {
            "flicker": quality.flicker(frames, source),
            "brightness_flicker": quality.brightness_flicker(frames),
            "source_brightness_flicker": quality.brightness_flicker(source),
            "warping_error": quality.warping_error(frames, source),
            "source_warping_error": quality.warping_error(source, source),
            "seam_energy": quality.seam_energy(frames, source, plan),
            "patch_colour_variance": float(quality.patch_colour_variance(frames, source, plan).mean()),
            "colour_drift": drift.largest,
            "colour_slope": drift.slope,
            "detail_energy": quality.detail_energy(frames, source),
            "mismatch": 255 * float((frames - source).abs().mean()),
        },
        rel=1e-5,
        abs=1e-9,
    )
    assert valid == [(k, FRAMES) for k in range(1, FRAMES + 1)]


def test_every_line_says_what_to_do() -> None:
    source = textured()
    text = quality.measure_quality(source, source, a_plan()).as_text()
    assert text.count("good: ") == 7 and text.count("fair: no more detail") == 1
    colours = torch.tensor([[0.0], [0.3], [-0.3]]).repeat_interleave(64, 0)
    noise = 0.1 * torch.randn(source.shape, generator=torch.Generator().manual_seed(6))
    ruined = source + colours + noise + over_time([0.0, 0.2, 0.0, 0.2])
    text = quality.measure_quality(ruined, source, a_plan()).as_text()
    assert text.count("poor: ") == 8 and "window_frames" in text and "wavelet" in text


def test_what_cannot_be_measured_is_said() -> None:
    frame = textured(1)
    report = quality.measure_quality(frame, frame)
    numbers = report.as_dict()
    unknown = {"flicker", "warping_error", "source_warping_error", "seam_energy", "patch_colour_variance"}
    unknown |= {"brightness_flicker", "source_brightness_flicker"}
    assert {name for name, value in numbers.items() if value is None} == unknown
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    text = report.as_text()
    assert "nan" not in text and "needs 2 frames" in text and text.count("connect the plan") == 2
    assert report.heat_map("flicker").shape == frame.shape
    with pytest.raises(PlanError, match="connect the plan"):
        report.heat_map("seams")
    with pytest.raises(PlanError, match="flicker, seams, mismatch"):
        report.heat_map("magic")


def brightest(picture: Tensor) -> tuple[int, int, int]:
    """(frame, row, column) of the brightest pixel."""
    brightness = luma(picture)[:, 0]
    place = int(brightness.argmax())
    _, height, width = brightness.shape
    return place // (height * width), place // width % height, place % width


def test_the_heat_map_shows_the_seam() -> None:
    source = textured()
    stepped = source.clone()
    stepped[2, :32, 128:] += 4 * LEVEL
    picture = quality.measure_quality(stepped, source, a_plan()).heat_map("seams")
    assert picture.shape == source.shape and picture.min() >= 0 and picture.max() <= 1
    frame, row, column = brightest(picture)
    assert frame == 2 and row < 32 and abs(column - 128) <= CELL_PX
    assert torch.equal(picture[0], picture[1]), "the other frames have none"


def test_the_heat_map_shows_flicker_and_mismatch() -> None:
    source = textured()
    frames = source.clone()
    frames[1, 16:32, 80:112] += 12 * LEVEL
    report = quality.measure_quality(frames, source)
    frame, row, column = brightest(report.heat_map("flicker"))
    assert frame in (0, 1) and 12 <= row < 36 and 76 <= column < 116
    frame, row, column = brightest(report.heat_map("mismatch"))
    assert frame == 1 and 16 <= row < 32 and 80 <= column < 112
    assert report.maps["mismatch"][1].max() == pytest.approx(12 * LEVEL, rel=1e-2)


def test_grain_is_no_seam_on_the_heat_map() -> None:
    source, generator = textured(1), torch.Generator().manual_seed(4)
    grainy = source + 4 * LEVEL * torch.randn(source.shape, generator=generator)
    stepped = source.clone()
    stepped[:, :, 64:] += 4 * LEVEL
    grain, step = (
        quality.measure_quality(frames, source, a_plan(1)).maps["seams"].max() for frames in (grainy, stepped)
    )
    assert step == pytest.approx(4 * LEVEL, rel=1e-2) and grain < 0.6 * step


@pytest.mark.parametrize(("jump", "shown"), [(1, [True, False, False, False]), (3, [False, False, True, True])])
def test_flicker_is_shown_on_the_frame_before_it_and_at_the_end(jump: int, shown: list[bool]) -> None:
    source = textured()
    frames = source.clone()
    frames[jump:] += 8 * LEVEL
    hot = quality.measure_quality(frames, source).maps["flicker"].amax((1, 2, 3)) > 4 * LEVEL
    assert hot.tolist() == shown


def test_more_is_always_brighter() -> None:
    scale = make_colormap()
    assert scale.min() >= 0 and scale.max() <= 1 and luma(scale[None, None]).diff().min() > 0
    levels = torch.linspace(0, 1, 64)[None, None, None].expand(1, 1, 2, -1)
    for tone in (0.0, 1.0):
        shown = luma(overlay_heatmap(torch.full((1, 8, 64 * CELL_PX, 3), tone), levels))[0, 0, 4]
        assert shown.diff().min() >= 0 and shown[-1] > 0.9 and shown[0] < 0.3


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 21)])
def test_frames_of_any_size_are_measured(size: tuple[int, int]) -> None:
    clip = torch.rand(3, *size, 3)
    report = quality.measure_quality(clip, clip)
    assert report.heat_map("mismatch").shape == clip.shape and report.measures.colour_drift == 0


def test_inputs_that_do_not_fit() -> None:
    clip = textured()
    with pytest.raises(PlanError, match="4 frames but the source has 3"):
        quality.measure_quality(clip, clip[:3])
    with pytest.raises(PlanError, match="96x64 but the plan was made for 192x64"):
        quality.measure_quality(clip[:, :, :96], clip, a_plan())


def test_memory_does_not_grow_with_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two frames, and what belongs to them, are looked at together."""
    lengths: list[int] = []

    def recorded(first: Tensor, second: Tensor) -> Tensor:
        lengths.append(len(first))
        return torch.zeros(len(first), 2, *first.shape[-2:])

    monkeypatch.setattr("patchvsr_core.optical_flow.flow.dis", lambda: recorded)
    clip = textured(12)
    report = quality.measure_quality(clip, clip, a_plan(12))
    assert lengths == [1] * 22
    kept = sum(heat.numel() * heat.element_size() for heat in report.maps.values())
    assert kept <= clip.numel() * clip.element_size() / 30
    assert report.frames.data_ptr() == clip.data_ptr()
