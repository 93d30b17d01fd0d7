"""What patches that attend to one another promise on any base, each as a function from a small model to a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from base_checks import GUIDANCE, apart, by_hand, cut_prompts, merged, plan_of, sample, whole
from comfy.ldm.flux.math import _apply_rope1 as apply_rope
from small_bases import SmallBase, T
from torch import Tensor

from patchvsr_core.hosts import comfy as host
from patchvsr_core.hosts.comfy import FusionOptions, attach_joint_modulation
from patchvsr_core.plan.canvas import TOKEN_CELLS, Patch, PatchPlan
from patchvsr_core.propagation.frame_selection import select_frames
from patchvsr_core.propagation.token_sampling import sample_frame_tokens, window_starts

SOFTENING = 1.5
FAR = 1e-3
OVERRIDE = "optimized_attention_override"
Hook = Callable[..., Any]
"""(q, k, v, transformer_options) to what takes their place, all of (B, heads, L, head_dim)."""


def with_hook(base: SmallBase, hook: Hook) -> Any:
    """A model whose self-attention a test looks into, in ComfyUI's own way."""
    model = base.load()

    def override(func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor:
        options = kwargs["transformer_options"]
        if "block_index" not in options or q.shape != k.shape:
            return func(q, k, v, heads, *args, **kwargs)
        by_head = kwargs.get("skip_reshape")
        q, k, v = (x if by_head else x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        seen = k.shape[2]
        q, k, v = hook(q, k, v, options)
        if kwargs.get("mask") is not None:
            kwargs["mask"] = torch.nn.functional.pad(kwargs["mask"], (0, k.shape[2] - seen))
        q, k, v = (x if by_head else x.transpose(1, 2).flatten(2) for x in (q, k, v))
        return func(q, k, v, heads, *args, **kwargs)

    model.model_options["transformer_options"][OVERRIDE] = override
    return model


def softened(base: SmallBase) -> float:
    """DSSAG is the plain model whose negative queries are divided, block by block."""
    if not base.attends:
        return 0.0

    def divide(q: Tensor, k: Tensor, v: Tensor, options: Any) -> tuple[Tensor, Tensor, Tensor]:
        kinds = options["cond_or_uncond"]
        divisors = torch.tensor([SOFTENING if kind == 1 else 1.0 for kind in kinds])
        return q / divisors.repeat_interleave(len(q) // len(kinds))[:, None, None, None], k, v

    base, plan = one_frame_of_images(base)
    model = host.attach_attention(base.load(), softening=(SOFTENING, SOFTENING))
    ours = sample(base, attach_joint_modulation(model, plan, FusionOptions(3)), guidance=GUIDANCE)
    return apart(ours, by_hand(base, plan, GUIDANCE, model=with_hook(base, divide)))


def spatially_attended(base: SmallBase) -> float:
    """With SAP a patch also sees tokens of the whole frame."""
    if not base.attends:
        return 0.0
    base, plan = one_frame_of_images(base)
    samples = sample_frame_tokens(plan.patches, plan)
    frame = torch.cat([tokens_in_canvas(plan, patch)[chosen] for patch, chosen in samples.items()])
    return attended(base, plan, lambda patch: frame, spatial=True)


def attended_in_time(base: SmallBase) -> float:
    """With TAP a patch also sees a frame of the window before it."""
    if not base.attends or base.frames == 1:
        return 0.0
    plan = plan_of(base, window=1 if base.is_image else 2)
    starts = sorted(window_starts(plan.patches))

    def neighbour(patch: Patch) -> Tensor:
        window = starts.index(patch.origin[0])
        if window == 0:
            return torch.empty(0, dtype=torch.long)
        before = replace(patch, origin=(starts[window - 1], *patch.origin[1:]))
        frames = select_frames("nearest", 1, before, x0=None, forward=True)
        return tokens_in_canvas(plan, before).view(before.size[0], -1)[frames].flatten()

    return attended(base, plan, neighbour, temporal=True, choice="nearest")


def attended(base: SmallBase, plan: PatchPlan, others: Callable[[Patch], Tensor], **choices: Any) -> float:
    """How far a step with propagation in the first block is from one by hand.

    By hand the model is given keys of ``others``, by their number in the canvas, as it makes them of the whole canvas.
    Queries and keys of a patch are turned to where it lies, by the model's own embedding.
    """
    base = replace(base, sigmas=(base.sigmas[0], 0.0))
    seen, state = {}, {}

    def is_first(options: Any) -> bool:
        return options["block_index"] == 0 and options.get("block_type") != "single"

    def keep(q: Tensor, k: Tensor, v: Tensor, options: Any) -> tuple[Tensor, Tensor, Tensor]:
        if is_first(options):
            seen.update(k=k, v=v)
        return q, k, v

    def append(q: Tensor, k: Tensor, v: Tensor, options: Any) -> tuple[Tensor, Tensor, Tensor]:
        if not is_first(options):
            return q, k, v
        tokens = others(state["patch"])
        more = [of_canvas(seen[name], plan)[:, :, tokens] for name in "kv"]
        turned = partial(turned_to, network=model.model.diffusion_model, base=base, plan=plan, patch=state["patch"])
        return turned(q), torch.cat([turned(k), more[0]], 2), torch.cat([v, more[1]], 2)

    def prompts(patch: Patch) -> Any:
        state["patch"] = patch
        return cut_prompts(base, patch)

    by_hand(base, whole(base), 1.0, model=with_hook(base, keep))
    model = with_hook(base, append)
    ours = host.attach_attention(base.load(), layers=(0,), **choices)
    ours = sample(base, attach_joint_modulation(ours, plan, FusionOptions(3)))
    assert apart(ours, merged(base, plan)) > FAR, "it is worth testing only where it matters"
    return apart(ours, by_hand(base, plan, 1.0, prompts, model))


def one_frame_of_images(base: SmallBase) -> tuple[SmallBase, PatchPlan]:
    """All frames in one window; of an image model, to which they are strangers, one frame."""
    base = replace(base, frames=1) if base.is_image else base
    return base, plan_of(base, window=T)


def grid_of(plan: PatchPlan) -> Tensor:
    """(T, H, W) of the tokens of the canvas."""
    frames, height, width = plan.canvas.latent_shape
    return torch.tensor([frames, height // TOKEN_CELLS, width // TOKEN_CELLS])


def of_canvas(x: Tensor, plan: PatchPlan) -> Tensor:
    """(1, heads, L, head_dim) tokens of the picture without those of the text; frames of images are rows."""
    pictures = x[:, :, -grid_of(plan).prod() // len(x) :]
    return pictures.transpose(0, 1).flatten(1, 2)[None]


def tokens_in_canvas(plan: PatchPlan, patch: Patch) -> Tensor:
    """Numbers that the tokens of a patch have in the whole canvas."""
    numbers = torch.arange(int(grid_of(plan).prod())).reshape(*grid_of(plan))
    (t, top, left), (frames, height, width) = (
        (size[0], size[1] // TOKEN_CELLS, size[2] // TOKEN_CELLS) for size in (patch.origin, patch.size)
    )
    return numbers[t : t + frames, top : top + height, left : left + width].flatten()


def turned_to(x: Tensor, network: Any, base: SmallBase, plan: PatchPlan, patch: Patch) -> Tensor:
    """(B, heads, L, head_dim) tokens of a patch as if it had been cut out of the canvas behind the embedding."""
    t, y, x_axis = patch.origin[0], patch.origin[1] // TOKEN_CELLS, patch.origin[2] // TOKEN_CELLS
    if base.family == "cosmos":
        turn = network.pos_embedder.generate_embeddings((1, t + 1, y + 1, x_axis + 1, 1))[-1]
        first, second = x.unflatten(-1, (2, -1)).unbind(-2)
        return torch.cat([turn[:, row, 0] * first + turn[:, row, 1] * second for row in (0, 1)], -1)
    shift = torch.tensor([0 if base.is_image else t, y, x_axis], dtype=torch.float32)
    if base.family == "qwen":  # which counts from the middle
        own = torch.tensor([patch.size[1] // TOKEN_CELLS, patch.size[2] // TOKEN_CELLS])
        shift[1:] += own // 2 - grid_of(plan)[1:] // 2
    embedder = getattr(network, "rope_embedder", None) or network.pe_embedder
    return apply_rope(x, embedder(shift[None, None]))


ATTENTION_CHECKS = (softened, spatially_attended, attended_in_time)
