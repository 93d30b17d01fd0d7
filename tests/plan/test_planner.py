import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import FADES, LAYOUTS, crossfade, hat_weights, plan_patches, plan_tiles


def plan_of(height: int, width: int, frames: int = 1, **options: object) -> PatchPlan:
    canvas = Canvas(frames, (max(height // 4, 1), max(width // 4, 1)), (height, width))
    return plan_patches(canvas, **{"patch_px": 512, **options})


def total_weight(plan: PatchPlan, patches: tuple) -> torch.Tensor:
    total = torch.zeros(plan.canvas.latent_shape, dtype=torch.float64)
    for patch in patches:
        patch.crop(total).add_(patch.weight(total))
    return total


@pytest.mark.parametrize(("layout", "expected"), [("pairwise", 40), ("corner", 49), ("uniform", 49)])
def test_patch_counts_at_2k(layout: str, expected: int) -> None:
    assert len(plan_of(2048, 2048, layout=layout).patches) == expected


@pytest.mark.parametrize(("layout", "expected"), [("pairwise", 107), ("corner", 135)])
def test_patch_counts_at_4k(layout: str, expected: int) -> None:
    plan = plan_of(2160, 3840, layout=layout)
    assert len(plan.patches) == expected
    assert len(plan.primary) == 40


def test_four_auxiliary_patches_in_a_two_by_two_partition() -> None:
    kinds = [patch.kind for patch in plan_of(1024, 1024, layout="pairwise").patches]
    assert (kinds.count("primary"), kinds.count("auxiliary"), kinds.count("corner")) == (4, 4, 0)


def test_alternating_costs_about_one_grid() -> None:
    plan = plan_of(2160, 3840, layout="alternating")
    assert plan.phases == 2
    assert len(plan.at_step(0)) == 40
    assert len(plan.at_step(1)) == 54
    assert plan.at_step(2) == plan.at_step(0)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    frames=st.integers(1, 40),
    patch_px=st.sampled_from([64, 128, 256, 512]),
    layout=st.sampled_from(list(LAYOUTS)),
    window=st.integers(2, 9),
    stride_frames=st.sampled_from([1, 4]),
)
def test_weights_sum_to_one_everywhere(height, width, frames, patch_px, layout, window, stride_frames) -> None:
    canvas = Canvas(frames, (8, 8), (height, width), stride_frames=stride_frames)
    plan = plan_patches(canvas, patch_px=patch_px, layout=layout, window_frames=window, overlap_frames=window // 2)
    for phase in range(plan.phases):
        patches = plan.at_step(phase)
        assert all(patch.size == plan.patch_size for patch in patches)
        assert (total_weight(plan, patches) - 1).abs().max() < 1e-6
        assert all(patch.weight_yx.min() >= 0 and patch.weight_t.min() >= 0 for patch in patches)
    assert (total_weight(plan, plan.primary) - 1).abs().max() < 1e-6


def test_regular_hat_is_the_papers_fade() -> None:
    plan = plan_of(512, 1024, layout="corner")
    border = next(patch for patch in plan.patches if patch.kind == "auxiliary")
    x = border.origin[2] + torch.arange(64) + 0.5
    expected = (1 - (x - 64).abs() / 32).clamp(min=0)
    torch.testing.assert_close(border.weight_yx[0], expected)


@pytest.mark.parametrize(
    ("layout", "low", "high"),
    [("uniform", 1.4, 1.65), ("pairwise", 1.1, 1.4), ("corner", 0.08, 0.12), ("gaussian", 0.55, 0.72)],
)
def test_jump_between_neighbours_of_independent_patches(layout: str, low: float, high: float) -> None:
    """Every patch answers a constant of its own; the largest step between cells shows the seams."""
    plan = plan_of(1536, 1536, layout=layout)
    generator = torch.Generator().manual_seed(0)
    jumps = []
    for _ in range(200):
        canvas = fused_constants(plan, generator)
        jumps.append(max(canvas.diff(dim=0).abs().max().item(), canvas.diff(dim=1).abs().max().item()))
    assert low < sum(jumps) / len(jumps) < high


def test_gaussian_tiles_are_those_of_dc_vsr() -> None:
    """64 x 64 cells by 14 frames, half over the next; exp(-(x - (L - 1) / 2)^2 / (2 * 0.01 * L^2)) along each axis."""
    canvas = Canvas(21, (8, 8), (768, 1024))
    plan = plan_patches(canvas, layout="gaussian", window_frames=14, overlap_frames=7)
    assert sorted({patch.origin for patch in plan.patches}) == [
        (t, y, x) for t in (0, 7) for y in (0, 32) for x in (0, 32, 64)
    ]
    bells = {
        length: torch.exp(-((torch.arange(length) - (length - 1) / 2) ** 2) / (0.02 * length**2)) for length in (14, 64)
    }
    total = torch.zeros(canvas.latent_shape)
    window = bells[14][:, None, None] * bells[64][:, None] * bells[64]
    for patch in plan.patches:
        patch.crop(total).add_(window)
    for patch in plan.patches:
        assert torch.allclose(patch.weight(total), window / patch.crop(total), atol=1e-5)


def test_pairwise_jumps_only_at_crossings() -> None:
    plan = plan_of(1536, 1536, layout="pairwise")
    generator = torch.Generator().manual_seed(0)
    away = torch.ones(192, 192, dtype=torch.bool)
    for y in (64, 128):
        for x in (64, 128):
            away[y - 8 : y + 8, x - 8 : x + 8] = False
    jumps = []
    for _ in range(200):
        canvas = fused_constants(plan, generator)
        across = canvas.diff(dim=1).abs() * (away[:, 1:] & away[:, :-1])
        down = canvas.diff(dim=0).abs() * (away[1:] & away[:-1])
        jumps.append(max(across.max().item(), down.max().item()))
    assert 0.22 < sum(jumps) / len(jumps) < 0.32


def fused_constants(plan: PatchPlan, generator: torch.Generator) -> torch.Tensor:
    canvas = torch.zeros(plan.canvas.latent_shape)
    for patch in plan.patches:
        patch.crop(canvas).add_(patch.weight(canvas) * torch.randn(1, generator=generator))
    return canvas[0]


def test_small_clips_get_one_smaller_patch() -> None:
    plan = plan_of(100, 60)
    assert len(plan.patches) == 1
    assert plan.patch_size == (1, 14, 8)


@pytest.mark.parametrize("frames", [1, 2, 5, 7, 16, 50, 81, 82])
def test_latent_frames_follow_the_causal_rule(frames: int) -> None:
    canvas = Canvas(frames, (8, 8), (32, 32), stride_frames=4)
    assert canvas.padded_frames >= frames > canvas.padded_frames - 4
    assert canvas.padded_frames % 4 == 1


@pytest.mark.parametrize("overlap", [1, 2, 4])
def test_short_temporal_overlaps_really_blend(overlap: int) -> None:
    """Both windows have a share strictly between 0 and 1 in every shared frame."""
    canvas = Canvas(2 * 8 - overlap, (8, 8), (32, 32))
    plan = plan_patches(canvas, patch_px=64, window_frames=8, overlap_frames=overlap)
    first, second = plan.patches
    assert second.origin[0] == 8 - overlap
    assert ((first.weight_t[-overlap:] > 0) & (first.weight_t[-overlap:] < 1)).all()
    assert ((second.weight_t[:overlap] > 0) & (second.weight_t[:overlap] < 1)).all()


@pytest.mark.parametrize("shape", ["linear", "cosine", "cut"])
def test_crossfades_sum_to_one(shape: str) -> None:
    total = torch.zeros(20, dtype=torch.float64)
    for span in crossfade(20, 8, [0, 6, 12], shape):
        total[span.cells] += torch.from_numpy(span.weight)
    torch.testing.assert_close(total, torch.ones(20, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), window=st.integers(2, 20), shape=st.sampled_from(list(FADES)))
def test_mirrored_crossfades_have_mirrored_weights(data: st.DataObject, window: int, shape: str) -> None:
    """Neither neighbour is preferred: a window fades in as it fades out."""
    steps = data.draw(st.lists(st.integers(1, window), max_size=4))
    starts = [sum(steps[:k]) for k in range(len(steps) + 1)]
    length = starts[-1] + window
    mirrored = crossfade(length, window, [length - window - start for start in reversed(starts)], shape)
    for span, other in zip(crossfade(length, window, starts, shape), reversed(mirrored), strict=True):
        assert other.weight[::-1] == pytest.approx(span.weight, abs=1e-9)


def test_a_linear_fade_crosses_in_the_middle_of_the_overlap() -> None:
    first, second = crossfade(12, 8, [0, 4])
    assert first.weight.tolist() == pytest.approx([1, 1, 1, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8])
    assert second.weight.tolist() == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1, 1, 1])


def test_a_cosine_fade_is_half_a_wave() -> None:
    first, second = crossfade(12, 8, [0, 4], "cosine")
    rising = [0.0381, 0.3087, 0.6913, 0.9619]
    assert second.weight.tolist() == pytest.approx([*rising, 1, 1, 1, 1], abs=1e-4)
    assert first.weight[::-1].tolist() == pytest.approx(second.weight.tolist())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("window", [4, 16])
def test_hats_of_a_regular_grid_mirror(count: int, window: int) -> None:
    spans = hat_weights(count * window, window)
    for span, other in zip(spans, reversed(spans), strict=True):
        assert other.start == count * window - window - span.start
        assert other.weight[::-1] == pytest.approx(span.weight, abs=1e-9)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_a_mirrored_plan_has_mirrored_weights(layout: str) -> None:
    """On a canvas of whole patches, in space and over the windows of time."""
    canvas = Canvas(14, (8, 8), (384, 512))
    plan = plan_patches(canvas, patch_px=128, layout=layout, window_frames=6, overlap_frames=2)
    for phase in range(plan.phases):
        weights = {patch.origin: patch for patch in plan.at_step(phase)}
        for (t, y, x), patch in weights.items():
            ends = [n - m - at for n, m, at in zip(plan.canvas.latent_shape, patch.size, (t, y, x), strict=True)]
            other = weights[ends[0], ends[1], ends[2]]
            torch.testing.assert_close(other.weight_t.flip(0), patch.weight_t)
            torch.testing.assert_close(other.weight_yx.flip(0, 1), patch.weight_yx)


def test_tiles_cover_the_canvas() -> None:
    canvas = Canvas(1, (270, 480), (1080, 1920))
    grid = plan_tiles(canvas, 512, 64)
    total = torch.zeros(canvas.latent_size, dtype=torch.float64)
    for row, column in grid:
        total[row.cells, column.cells] += torch.outer(row.weights(total), column.weights(total))
    torch.testing.assert_close(total, torch.ones_like(total))
    assert len(grid) == 15


def test_locations_are_area_fractions_of_the_global_view() -> None:
    plan = plan_of(1024, 2048, layout="pairwise")
    masks = plan.locations(plan.primary, (64, 64))
    assert masks.shape == (8, 1, 64, 64)
    torch.testing.assert_close(masks.sum(0)[0], torch.ones(64, 64))
    torch.testing.assert_close(masks[0, 0, :32, :16], torch.ones(32, 16))
    uneven = plan.locations(plan.primary[:1], (7, 5))
    torch.testing.assert_close(uneven.mean(), torch.tensor(1 / 8))


def test_crop_positions_are_fractions() -> None:
    plan = plan_of(1024, 1024)
    positions = plan.crop_positions(plan.primary)
    assert positions.tolist() == [[0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch_px": 500}, "multiple of 16"),
        ({"patch_px": 0}, "multiple of 16"),
        ({"layout": "hexagons"}, "corner, pairwise"),
        ({"window_frames": 4, "overlap_frames": 4}, "shorter"),
    ],
)
def test_impossible_plans_say_what_to_do(options: dict, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan_of(512, 512, **options)


def test_empty_canvas_is_refused() -> None:
    with pytest.raises(PlanError, match="at least 1"):
        Canvas(0, (8, 8), (32, 32))
