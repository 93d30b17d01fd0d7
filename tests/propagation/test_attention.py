"""Spatial and temporal attention propagation and detail guidance, against attention written out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import random_wan, save
from torch import Tensor

from patchvsr_core.adapter.rotary import grid_positions, rope_at, rotate
from patchvsr_core.errors import PlanError
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.plan.canvas import Canvas, Patch, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.propagation.attention import AttentionRun, Call, Condition, cache_bytes
from patchvsr_core.propagation.attention_options import AttentionOptions, check_layers, parse_layers
from patchvsr_core.propagation.frame_selection import detail_energy, select_frames
from patchvsr_core.propagation.token_layout import TokenLayout
from patchvsr_core.sampling.joint_modulation import fuse

HEADS, HEAD_DIM = 2, 24
POSITIVE, NEGATIVE = Condition("p", negative=False), Condition("n", negative=True)


def a_plan(width: int = 256, frames: int = 4, window: int = 4, layout: str = "corner") -> PatchPlan:
    """Patches of 8 x 8 cells."""
    return plan_patches(
        Canvas(frames, (64, width // 2), (128, width)), patch_px=64, layout=layout, window_frames=window,
        overlap_frames=0,
    )  # fmt: skip


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, L, heads, head_dim) attention, written out."""
    weights = torch.einsum("blhd,bmhd->bhlm", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bhlm,bmhd->blhd", weights.softmax(-1), v)


class Frame:
    """Random tokens of every patch, with the positions that a base would give them."""

    def __init__(self, plan: PatchPlan, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        frames, height, width = plan.patch_size
        self.grid = (frames, height // 2, width // 2)
        self.local = grid_positions(self.grid)
        shape = (len(self.local), HEADS, HEAD_DIM)
        self.raw = {patch: torch.randn(3, *shape, generator=generator, dtype=torch.float64) for patch in plan.patches}

    def global_places(self, patch: Patch) -> Tensor:
        t, y, x = patch.origin
        return self.local + torch.tensor([t, y / 2, x / 2])

    def turned(self, x: Tensor, places: Tensor) -> Tensor:
        cos, sin = rope_at(places, HEAD_DIM)
        return rotate(x, (cos[:, None], sin[:, None]))

    def qkv(self, patches: list[Patch]) -> list[Tensor]:
        """As a base would compute them, at positions within the patch."""
        q, k, v = (torch.stack([self.raw[patch][i] for patch in patches]) for i in range(3))
        at = lambda x: torch.stack([self.turned(row, self.local) for row in x])  # noqa: E731
        return [at(q), at(k), v]

    def expected(self, patch: Patch, others: list[tuple[Patch, Tensor]]) -> Tensor:
        """Attention of a patch to itself and to some tokens of others, all at their place on the canvas."""
        q, k, v = self.raw[patch]
        keys, values = [self.turned(k, self.global_places(patch))], [v]
        for other, tokens in others:
            keys.append(self.turned(self.raw[other][1][tokens], self.global_places(other)[tokens]))
            values.append(self.raw[other][2][tokens])
        query = self.turned(q, self.global_places(patch))
        return plain(query[None], torch.cat(keys)[None], torch.cat(values)[None])[0]


def evaluate(run: AttentionRun, frame: Frame, patches: tuple[Patch, ...], step: int, size: int = 1) -> dict:
    """What every patch's self-attention gives at one step."""
    out = {}
    for call in run.calls(step, patches, size):
        run.enter(call)
        answers = run.attend(0, *frame.qkv(list(call.patches)), [POSITIVE], plain)
        if call.counts:
            out.update(zip(call.patches, answers, strict=True))
    return out


def test_rotations_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, HEAD_DIM, generator=generator)
    a, b = (torch.randint(-400, 400, (40, 3), generator=generator) / 2 for _ in range(2))
    there = rotate(rotate(x, rope_at(a, HEAD_DIM)), rope_at(b, HEAD_DIM))
    assert (there - rotate(x, rope_at(a + b, HEAD_DIM))).abs().max() < 1e-5
    assert (rotate(rotate(x, rope_at(a, HEAD_DIM)), rope_at(-a, HEAD_DIM)) - x).abs().max() < 1e-6


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("offload", [False, True])
def test_spatial_propagation_adds_a_thinned_frame_in_its_place(size: int, offload: bool) -> None:
    plan = a_plan()  # 2 x 4 patches
    frame = Frame(plan)
    run = AttentionRun(AttentionOptions(spatial=True, offload=offload), plan, steps=1)
    answers = evaluate(run, frame, plan.patches, 0, size)
    rows, columns = (torch.arange(4) % 2 == 1), (torch.arange(4) % 4 == 2)
    tokens = (rows[:, None] & columns).expand(4, 4, 4).flatten().nonzero()[:, 0]
    primary = [patch for patch in plan.patches if patch.kind == "primary"]
    assert len(tokens) * len(primary) == 4 * 4 * 4, "as many as one patch has"
    for patch in plan.patches:
        expected = frame.expected(patch, [(other, tokens) for other in primary])
        assert (answers[patch] - expected).abs().max() < 1e-5
        assert (expected - frame.expected(patch, [])).abs().max() > 0.01


def test_own_keys_appended_change_nothing() -> None:
    one = plan_patches(Canvas(4, (32, 32), (64, 64)), patch_px=64, window_frames=4, overlap_frames=0)
    frame, run = Frame(one), AttentionRun(AttentionOptions(spatial=True), one, steps=1)
    assert [call.propagation for call in run.calls(0, one.patches, 1)] == ["none"], "no work where it would not count"
    run._spatial = True
    answers = evaluate(run, frame, one.patches, 0)
    assert (answers[one.patches[0]] - frame.expected(one.patches[0], [])).abs().max() < 1e-6


def test_equal_patches_answer_the_same() -> None:
    plan = a_plan()
    tokens = Frame(plan).raw[plan.patches[0]].float()
    run = AttentionRun(AttentionOptions(spatial=True), plan, steps=1)
    answers = []
    for call in run.calls(0, plan.patches, 1):
        run.enter(call)
        out = run.attend(0, *(x[None] for x in tokens), [POSITIVE], plain, TokenLayout(spacing=(0.0, 0.0, 0.0)))
        answers += [out] if call.counts else []
    assert len(answers) == len(plan.patches)
    assert all((answer - answers[0]).abs().max() < 1e-6 for answer in answers)
    assert (answers[0] - plain(*(x[None] for x in tokens))).abs().max() > 0.01


def test_reach_holds_keys_near() -> None:
    plan = a_plan(width=1024, layout="pairwise")
    frame = Frame(plan)
    exact, near, nearer = (
        evaluate(AttentionRun(AttentionOptions(spatial=True, reach=reach), plan, 1), frame, plan.patches, 0)
        for reach in (None, 100.0, 1.0)
    )
    patch = plan.patches[0]
    assert torch.equal(exact[patch], near[patch])
    assert (exact[patch] - nearer[patch]).abs().max() > 1e-3


def test_lazy_reuses_the_step_before() -> None:
    plan = a_plan()
    frames = [Frame(plan, seed) for seed in (0, 1)]
    run = AttentionRun(AttentionOptions(spatial=True, lazy=True), plan, steps=2)
    first = evaluate(run, frames[0], plan.patches, 0)
    patch = plan.patches[1]
    assert (first[patch] - frames[0].expected(patch, [])).abs().max() < 1e-6
    second = evaluate(run, frames[1], plan.patches, 1)
    plain_second = frames[1].expected(patch, [])
    assert (second[patch] - plain_second).abs().max() > 0.01
    calls = list(AttentionRun(AttentionOptions(spatial=True), plan, 2).calls(0, plan.patches, 1))
    lazy_calls = list(AttentionRun(AttentionOptions(spatial=True, lazy=True), plan, 2).calls(0, plan.patches, 1))
    assert len(lazy_calls) == len(plan.patches)
    assert len(calls) == len(plan.patches) + len(plan.primary), "only givers run twice"


def test_shifted_grids_cover_the_frame_once_too() -> None:
    plan = a_plan(layout="alternating")
    for step in (0, 1):
        patches = plan.at_step(step)
        run = AttentionRun(AttentionOptions(spatial=True), plan, steps=2)
        frame = Frame(plan)
        list(evaluate(run, frame, patches, step))
        (kept,) = run._frame.values()
        assert len(kept.positions.unique(dim=0)) == len(kept.positions) == 4 * 4 * 4


@pytest.mark.parametrize("choice", ["rich", "nearest", "farthest"])
def test_temporal_propagation_takes_turns_in_direction(choice: str) -> None:
    plan = a_plan(width=64, frames=12)
    frame = Frame(plan)
    run = AttentionRun(AttentionOptions(temporal=True, frames=2, choice=choice), plan, steps=2)
    x0 = torch.zeros(1, 3, 12, 16, 8)
    for t, loud in ((1, 3.0), (2, 2.0), (4, 1.0), (7, 5.0), (9, 1.0), (10, 2.0)):
        x0[:, :, t, ::2, ::2] = loud
    run.leave(x0)
    rich = {0: [1, 2], 4: [0, 3], 8: [1, 2]}
    edges = {("nearest", 0): [2, 3], ("nearest", 1): [0, 1], ("farthest", 0): [0, 1], ("farthest", 1): [2, 3]}
    for step, away in ((0, -4), (1, 4)):
        answers = evaluate(run, frame, plan.patches, step, size=2)
        assert set(answers) == set(plan.patches)
        for patch in plan.patches:
            giver = patch.origin[0] + away
            others = []
            if 0 <= giver < 12:
                frames = rich[giver] if choice == "rich" else edges[choice, step]
                tokens = torch.cat([torch.arange(16) + 16 * t for t in frames])
                others = [(next(p for p in plan.patches if p.origin == (giver, *patch.origin[1:])), tokens)]
            assert (answers[patch] - frame.expected(patch, others)).abs().max() < 1e-5


def test_both_take_turns() -> None:
    plan = a_plan(frames=8)
    run = AttentionRun(AttentionOptions(spatial=True, temporal=True), plan, steps=4)
    kinds = [list(run.calls(step, plan.patches, 4))[-1].propagation for step in range(4)]
    assert kinds == ["spatial", "forward", "spatial", "backward"]


def test_softening_flattens_the_negative_branch_alone() -> None:
    plan = a_plan(width=64)
    frame, patches = Frame(plan), list(plan.patches[:2])
    q, k, v = (torch.cat([x, x]) for x in frame.qkv(patches))

    def answer(softening: tuple[float, float], step: int = 1) -> Tensor:
        run = AttentionRun(AttentionOptions(softening=softening), plan, steps=2)
        list(run.calls(step, patches, 2))
        run.enter(Call(patches))
        return run.attend(0, q, k, v, [POSITIVE, NEGATIVE], plain)

    untouched = plain(q, k, v)
    assert torch.equal(answer((1.0, 1.0)), untouched)
    assert torch.equal(answer((1.0, 1.5))[:2], untouched[:2])
    variances = [float(answer((1.0, g))[2:].var(1).mean()) for g in (1.0, 1.5, 4.0)]
    assert variances == sorted(variances, reverse=True)
    assert torch.equal(answer((1.0, 9.0), step=0), untouched), "the schedule begins at its first value"
    flat = answer((1.0, 1e9))[2:]
    assert (flat - v[2:].mean(1, keepdim=True)).abs().max() < 1e-6


def test_a_single_step_is_softened_as_the_last_one() -> None:
    plan = a_plan(width=64)
    run = AttentionRun(AttentionOptions(softening=(1.0, 2.0)), plan, steps=1)
    list(run.calls(0, plan.patches, 1))
    run.enter(Call(plan.patches[:1]))
    q, k, v = Frame(plan).qkv(list(plan.patches[:1]))
    assert torch.equal(run.attend(0, q, k, v, [NEGATIVE], plain), plain(q / 2, k, v))


def test_conditions_do_not_mix_and_layers_are_chosen() -> None:
    plan = a_plan()
    frame, other = Frame(plan), Frame(plan, seed=7)
    run = AttentionRun(AttentionOptions(spatial=True, layers=(2,)), plan, steps=1)
    for call in run.calls(0, plan.patches, 2):
        run.enter(call)
        both = [torch.cat(pair) for pair in zip(*(f.qkv(list(call.patches)) for f in (frame, other)), strict=True)]
        assert torch.equal(run.attend(0, *both, [POSITIVE, NEGATIVE], plain), plain(*both))
        answers = run.attend(2, *both, [POSITIVE, NEGATIVE], plain)
    alone = AttentionRun(AttentionOptions(spatial=True), plan, steps=1)
    last = evaluate(alone, other, plan.patches, 0)[plan.patches[-1]]
    assert (answers[-1] - last).abs().max() < 1e-6


def test_misuse_says_why() -> None:
    plan = a_plan()
    run = AttentionRun(AttentionOptions(spatial=True), plan, steps=1)
    run.enter(next(iter(run.calls(0, plan.patches, 1))))
    x = torch.zeros(2, 64, HEADS, HEAD_DIM)
    with pytest.raises(PlanError, match="2 rows for 1 patches"):
        run.attend(0, x, x, x, [POSITIVE], plain)
    with pytest.raises(PlanError, match="63 tokens"):
        run.attend(0, *[x[:1, :63]] * 3, [POSITIVE], plain)
    with pytest.raises(PlanError, match="softening of 0"):
        AttentionOptions(softening=(1.0, 0.5))
    with pytest.raises(PlanError, match="choose one of rich"):
        AttentionOptions(choice="first")
    for text in ("first five", "9-0", "0-3-5", "1,,2", "-3"):
        with pytest.raises(PlanError, match="numbers and ranges"):
            parse_layers(text)
    with pytest.raises(PlanError, match="has the blocks 0-29"):
        check_layers(AttentionOptions(layers=(30, 31)), 30)
    check_layers(AttentionOptions(layers=(29, 31)), 30)


def test_layers_are_read() -> None:
    assert parse_layers("0-3, 7") == (0, 1, 2, 3, 7)
    assert parse_layers(" ") is None is parse_layers("all")


def test_rich_frames_have_the_most_fine_detail() -> None:
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(4, 6, 16, 16, generator=generator)
    clip[:, 3] *= 3
    clip[:, 1] *= 2
    assert detail_energy(clip).topk(2).indices.tolist() == [3, 1]
    patch = plan_patches(Canvas(6, (64, 64), (128, 128)), patch_px=128, window_frames=6, overlap_frames=0).patches[0]
    assert select_frames("rich", 2, patch, x0=clip[None], forward=True).tolist() == [1, 3]
    assert select_frames("rich", 2, patch, x0=None, forward=True).tolist() == [4, 5]


def test_memory_of_the_cache_is_what_is_kept() -> None:
    """At its highest point, in a run that has begun; 8-byte numbers."""
    plan, frame = a_plan(frames=8), Frame(a_plan(frames=8))
    space = {"spatial": True}
    for choices in (space, {**space, "lazy": True}, {"temporal": True, "frames": 2}):
        options = AttentionOptions(**choices)
        run, kept = AttentionRun(options, plan, steps=1), 0
        frame.raw = dict(zip(plan.patches, frame.raw.values(), strict=True))
        for call in (call for _ in range(2) for call in run.calls(0, plan.patches, 1)):
            run.enter(call)
            for block in range(3):
                run.attend(block, *frame.qkv(list(call.patches)), [POSITIVE], plain)
            held = [*run._frame.values(), *run._neighbour.values(), *itertools.chain(*run._recorded.values())]
            kept = max(kept, sum(2 * k.k.numel() * k.k.element_size() for k in held))
        assert kept == cache_bytes(options, plan, HEADS * HEAD_DIM, 3, 8), choices


@pytest.fixture
def base(tmp_path: Path):
    return load_base(save(random_wan(width=256), tmp_path / "wan.safetensors"))


def denoised(base, plan: PatchPlan, options: AttentionOptions | None, *, size: int = 1, steps: int = 1) -> list:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 16, *plan.canvas.latent_shape, generator=generator)
    text = torch.randn(1, 5, 64, generator=generator)
    run = None if options is None else AttentionRun(options, plan, steps)
    denoiser = DiffusersDenoiser(base, [text, 0 * text], attention=run)
    answers = []
    with torch.no_grad():
        for step in range(steps):
            answers = fuse(
                denoiser, x, torch.tensor(0.7), plan.at_step(step), lambda patches: None,
                patches_at_once=size, attention=run, step=step,
            )  # fmt: skip
    denoiser.close()
    return answers


def test_a_run_with_everything_off_is_bit_equal(base) -> None:
    plan = a_plan()
    for a, b in zip(denoised(base, plan, None), denoised(base, plan, AttentionOptions()), strict=True):
        assert torch.equal(a, b)


def test_patches_at_once_do_not_matter(base) -> None:
    plan = a_plan(frames=8)
    options = AttentionOptions(spatial=True, temporal=True, softening=(1.2, 1.5))
    one, five = (denoised(base, plan, options, size=size, steps=2) for size in (1, 5))
    off = denoised(base, plan, None, steps=2)
    for a, b, c in zip(one, five, off, strict=True):
        assert (a - b).abs().max() < 1e-5
        assert (a - c).abs().max() > 1e-3


def test_patches_agree_more_with_spatial_propagation(base) -> None:
    plan = replace(a_plan(width=512), layout="uniform")

    def variance(answers: list[Tensor]) -> float:
        means = [patch.crop(answers[0]).mean((0, 2, 3, 4)) for patch in plan.primary]
        return float(torch.stack(means).var(0).mean())

    assert variance(denoised(base, plan, AttentionOptions(spatial=True))) < variance(denoised(base, plan, None))


def mixed_values(base, plan: PatchPlan, options: AttentionOptions) -> tuple[list[Tensor], list[Tensor]]:
    """(values, attention's output) of the first block, of every model call."""
    attn, values, outputs = base.transformer.blocks[0].attn1, [], []
    hooks = [
        attn.to_v.register_forward_hook(lambda module, args, out: values.append(out)),
        attn.to_out[0].register_forward_pre_hook(lambda module, args: outputs.append(args[0])),
    ]
    denoised(base, plan, options)
    for hook in hooks:
        hook.remove()
    return values, outputs


def test_in_the_base_extreme_softening_is_the_mean_of_the_values(base) -> None:
    values, outputs = mixed_values(base, a_plan(width=64), AttentionOptions(softening=(1e9, 1e9)))
    for number, (v, out) in enumerate(zip(values, outputs, strict=True)):
        flat = (out - v.mean(1, keepdim=True)).abs().max() < 1e-5
        assert flat == bool(number % 2), "the negative branch alone"


def test_in_the_base_own_keys_appended_change_nothing(base, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_patches(Canvas(4, (32, 32), (64, 64)), patch_px=64, window_frames=4, overlap_frames=0)
    plain_answers = denoised(base, plan, None)
    begin = AttentionRun.__init__

    def always(self: AttentionRun, *arguments: object) -> None:
        begin(self, *arguments)
        self._spatial = True

    monkeypatch.setattr(AttentionRun, "__init__", always)
    for a, b in zip(denoised(base, plan, AttentionOptions(spatial=True)), plain_answers, strict=True):
        assert (a - b).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 5), (2, 2)])
def test_frames_of_a_few_pixels_are_ranked_by_detail_too(size: tuple[int, int]) -> None:
    clip = torch.zeros(4, 3, *size)
    clip[0, 1, -1, -1] = 5.0
    energy = detail_energy(clip)
    assert energy.isfinite().all() and energy[0] == energy[2] == 0
    assert (energy[1] > 0) == (size != (1, 1)), "one pixel has no detail"
