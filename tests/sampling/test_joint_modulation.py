import pytest
import torch
from torch import Tensor

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas, Patch, PatchPlan
from patchvsr_core.plan.planner import LAYOUTS, plan_patches
from patchvsr_core.sampling.joint_modulation import check_canvas, fuse

SIGMA = torch.tensor(0.7)


def ragged_plan(layout: str = "corner") -> PatchPlan:
    canvas = Canvas(11, (33, 50), (132, 200))
    return plan_patches(canvas, patch_px=64, layout=layout, window_frames=4, overlap_frames=2)


def state(plan: PatchPlan) -> Tensor:
    return torch.randn(1, 3, *plan.canvas.latent_shape, generator=torch.Generator().manual_seed(1))


def pointwise(x: Tensor, sigma: Tensor, control: object) -> list[Tensor]:
    return [torch.tanh(x) * 2 - sigma * x**2]


def mean_of_patch(x: Tensor, sigma: Tensor, control: object) -> list[Tensor]:
    return [x.mean((2, 3, 4), keepdim=True).expand_as(x)]


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_pointwise_model_gives_the_same_patched_and_whole(layout: str) -> None:
    plan = ragged_plan(layout)
    x = state(plan)
    for step in range(plan.phases):
        fused = fuse(pointwise, x, SIGMA, plan.at_step(step), list)[0]
        torch.testing.assert_close(fused, pointwise(x, SIGMA, None)[0], atol=1e-5, rtol=0)


def test_one_patch_is_no_patching() -> None:
    canvas = Canvas(3, (8, 10), (32, 40))
    plan = plan_patches(canvas, patch_px=64)
    x = state(plan)
    assert len(plan.patches) == 1
    assert torch.equal(fuse(mean_of_patch, x, SIGMA, plan.patches, list)[0], mean_of_patch(x, SIGMA, None)[0])


def test_order_and_batching_do_not_matter() -> None:
    plan = ragged_plan()
    x = state(plan)
    one = fuse(mean_of_patch, x, SIGMA, plan.patches, list)[0]
    for at_once in (2, 7, len(plan.patches) + 1):
        many = fuse(mean_of_patch, x, SIGMA, plan.patches[::-1], list, patches_at_once=at_once)[0]
        torch.testing.assert_close(one, many, atol=1e-6, rtol=0)


def test_fusing_x0_equals_fusing_the_velocity() -> None:
    plan = ragged_plan()
    x = state(plan)

    def velocity(x: Tensor, sigma: Tensor, control: object) -> list[Tensor]:
        return [(x - mean_of_patch(x, sigma, control)[0]) / sigma]

    from_velocity = x - SIGMA * fuse(velocity, x, SIGMA, plan.patches, list)[0]
    torch.testing.assert_close(fuse(mean_of_patch, x, SIGMA, plan.patches, list)[0], from_velocity, atol=1e-5, rtol=0)


def test_every_condition_is_fused_on_its_own() -> None:
    plan = ragged_plan()
    x = state(plan)
    positive, negative = fuse(lambda x, s, c: [x + 1, x - 1], x, SIGMA, plan.patches, list)
    torch.testing.assert_close(positive - negative, torch.full_like(x, 2.0), atol=1e-5, rtol=0)


def test_controls_belong_to_their_patches() -> None:
    plan = ragged_plan()
    x = state(plan)
    calls: list[tuple[list[Patch], Tensor]] = []

    def note(x: Tensor, sigma: Tensor, control: list[Patch]) -> list[Tensor]:
        calls.append((control, x.clone()))
        return [x]

    fuse(note, x, SIGMA, plan.patches, list, patches_at_once=3)
    assert [patch for control, _ in calls for patch in control] == list(plan.patches)
    assert len(plan.patches) > 3 and [len(crops) for _, crops in calls[:-1]] == [3] * (len(calls) - 1)
    for control, crops in calls:
        assert torch.equal(torch.cat([patch.crop(x) for patch in control]), crops)


def test_state_is_not_changed_and_progress_counts_patches() -> None:
    plan = ragged_plan()
    x = state(plan)
    before, seen = x.clone(), []
    fuse(pointwise, x, SIGMA, plan.patches, list, patches_at_once=4, on_patches=lambda done, n: seen.append((done, n)))
    assert torch.equal(x, before)
    assert seen[-1] == (len(plan.patches), len(plan.patches))
    assert [done for done, _ in seen[:2]] == [4, 8]


def test_a_foreign_latent_is_refused() -> None:
    plan = ragged_plan()
    with pytest.raises(PlanError, match="connect the latent"):
        check_canvas(torch.zeros(1, 3, 1, 8, 8), plan)
    with pytest.raises(PlanError, match="one at a time"):
        check_canvas(torch.zeros(2, 3, *plan.canvas.latent_shape), plan)
