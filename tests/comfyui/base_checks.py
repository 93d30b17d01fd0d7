"""What joint modulation promises of any base, each as a function from a small model to a number; see ``bases.py``."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from comfy.ldm.seedvr.color_fix import lab_color_transfer
from small_bases import H, SmallBase, T, W
from torch import Tensor

from patchvsr_core.errors import AdapterError, PlanError
from patchvsr_core.finish.color_fix import lab
from patchvsr_core.finish.strength_map import StrengthMap
from patchvsr_core.hosts import comfy as host
from patchvsr_core.hosts.comfy import FusionOptions, attach_joint_modulation, codec_of
from patchvsr_core.hosts.comfy.layout import as_canvas
from patchvsr_core.plan.canvas import Canvas, Patch, PatchPlan
from patchvsr_core.plan.planner import plan_patches, tile_axis
from patchvsr_core.preview.region import select_region
from patchvsr_core.run.memory import chunk_frames
from patchvsr_core.sampling.conditions import PatchConditions
from patchvsr_core.stages.families import FAMILIES

STRIDE = 8
GUIDANCE = 2.5


def plan_of(base: SmallBase, patch_px: int = 64, window: int = 2) -> PatchPlan:
    stride = 1 if base.is_image else 4
    canvas = Canvas(1 + (base.frames - 1) * stride, (24, 36), (H * STRIDE, W * STRIDE), STRIDE, stride)
    length = 1 + (min(window, base.frames) - 1) * stride
    return plan_patches(canvas, patch_px=patch_px, layout="overlapping", window_frames=length, overlap_frames=0)


def whole(base: SmallBase) -> PatchPlan:
    return plan_of(base, patch_px=16 * STRIDE * 2, window=T)


def merged(base: SmallBase, plan: PatchPlan, together: int = 1, **choices: Any) -> Tensor:
    model = attach_joint_modulation(base.load(), plan, FusionOptions(together, report=choices.pop("report", None)))
    return sample(base, model, **choices)


def sample(
    base: SmallBase, model: Any, guidance: float = 1.0, mask: Tensor | None = None, prompts: Any = None, **more: Any
) -> Tensor:
    latent = base.latent()
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*(prompts or base.prompts(latent)))
    guider.set_cfg(guidance)
    euler = comfy.samplers.sampler_object("euler")
    return guider.sample(
        noise_of(latent), latent, euler, torch.tensor(base.sigmas), denoise_mask=mask, disable_pbar=True, seed=0, **more
    )


def noise_of(latent: Tensor) -> Tensor:
    return torch.randn(latent.shape, generator=torch.Generator().manual_seed(9))


def apart(one: Tensor, other: Tensor) -> float:
    """The greatest difference, in parts of the spread."""
    assert one.shape == other.shape and one.isfinite().all()
    return float((one - other).abs().max() / other.std())


def one_patch(base: SmallBase) -> float:
    """A patch that covers the canvas is the plain sampler's run."""
    return apart(merged(base, whole(base)), sample(base, base.load()))


def one_patch_guided(base: SmallBase) -> float:
    return apart(merged(base, whole(base), guidance=GUIDANCE), sample(base, base.load(), GUIDANCE))


def one_patch_masked(base: SmallBase) -> float:
    """With a noise mask, and a prompt that is limited to an area and one to a mask."""
    mask = torch.zeros(1, 1, 1, H, W) if not base.is_image else torch.zeros(1, 1, H, W)
    mask[..., 3:9, 4:15] = 1
    prompts = regional(base) if base.takes_regions else None
    choices = {"mask": mask, "prompts": prompts, "guidance": GUIDANCE}
    return apart(merged(base, whole(base), **choices), sample(base, base.load(), **choices))


def regional(base: SmallBase) -> Any:
    positive, negative = base.prompts(base.latent())
    (text, extras) = positive[0]
    region = torch.zeros(1, H, W)
    region[:, :, 9:] = 1
    return [[text, extras], [text * -1, {**extras, "mask": region, "mask_strength": 1.0}]], negative


def many_patches(base: SmallBase) -> float:
    """Every step is that of a loop over the patches, written by hand."""
    return apart(merged(base, plan_of(base)), by_hand(base, plan_of(base), 1.0))


def many_patches_guided(base: SmallBase) -> float:
    return apart(merged(base, plan_of(base), guidance=GUIDANCE), by_hand(base, plan_of(base), GUIDANCE))


def batches(base: SmallBase) -> float:
    """Several patches in a model call give what they give one by one."""
    guided = {"guidance": GUIDANCE}
    return apart(merged(base, plan_of(base), 5, **guided), merged(base, plan_of(base), 1, **guided))


def by_hand(base: SmallBase, plan: PatchPlan, guidance: float, prompts_of: Any = None, model: Any = None) -> Tensor:
    model, latent, sigmas = model or base.load(), base.latent(), torch.tensor(base.sigmas)
    inner = model.model
    full = float(sigmas[0]) >= float(inner.model_sampling.sigma_max)
    x = inner.model_sampling.noise_scaling(sigmas[0], noise_of(latent), inner.process_latent_in(latent), full)
    for sigma, following in pairwise(sigmas):
        fused = torch.zeros_like(x)
        for patch in plan.patches:
            prompts = prompts_of(patch) if prompts_of else cut_prompts(base, patch)
            own = predict(base, model, cut(x, patch, base), prompts, sigma, guidance)
            weight = patch.weight(x)
            weight = weight[:, None] if base.is_image else weight
            cut(fused, patch, base).add_(own * weight)
        x = x + (x - fused) / sigma * (following - sigma)
    return inner.process_latent_out(inner.model_sampling.inverse_noise_scaling(sigmas[-1], x))


def cut(x: Tensor, patch: Patch, base: SmallBase) -> Tensor:
    """A view, in the layout of ``x``."""
    (t, top, left), (frames, height, width) = patch.origin, patch.size
    part = x[..., top : top + height, left : left + width]
    return part[t : t + frames] if base.is_image else part[:, :, t : t + frames]


def cut_prompts(base: SmallBase, patch: Patch) -> Any:
    """What the conditioning holds of the size of the canvas is cut with the patch, one by one."""
    latent = base.latent()
    both = base.prompts(latent)
    made = []
    for [[text, extras]] in both:
        own = {
            key: cut(value, patch, base) if torch.is_tensor(value) and value.shape[-2:] == latent.shape[-2:] else value
            for key, value in extras.items()
        }
        made.append([[text, own]])
    return made


def predict(base: SmallBase, model: Any, x: Tensor, prompts: Any, sigma: Tensor, guidance: float) -> Tensor:
    """What the plain model predicts of one patch, through ComfyUI's own guider."""
    seen: dict[str, Tensor] = {}

    def once(denoiser: Any, start: Tensor, sigmas: Tensor, extra_args: Any, **rest: Any) -> Tensor:
        seen["x0"] = denoiser(x, sigma.expand(len(x)), **extra_args)
        return start

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*prompts)
    guider.set_cfg(guidance)
    sampler = comfy.samplers.KSAMPLER(once)
    guider.sample(torch.zeros_like(x), torch.zeros_like(x), sampler, torch.tensor([float(sigma), 0.0]), seed=0)
    return seen["x0"]


def out_of_memory(base: SmallBase) -> float:
    """A model that runs out of memory with several patches goes on with fewer, to the same result."""
    plan, model = plan_of(base), base.load()
    network = model.model.diffusion_model
    forward, most = network.forward, 2 * (plan.patch_size[0] if base.is_image else 1)

    def short(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if len(x) > most:
            raise comfy.model_management.OOM_EXCEPTION("out of memory")
        return forward(x, *args, **kwargs)

    network.forward = short
    model = attach_joint_modulation(model, plan, FusionOptions(6))
    return apart(sample(base, model), merged(base, plan))


def progress(base: SmallBase) -> float:
    """The bar counts the patches of all steps, and never goes back; the number of what is wrong."""
    plan, seen = plan_of(base), []
    merged(base, plan, report=lambda done, total: seen.append((done, total)))
    totals = {total for _, total in seen}
    counts = [done for done, _ in seen]
    wrong = totals != {len(plan.patches) * (len(base.sigmas) - 1)}
    return float(wrong + (counts != sorted(counts)) + (len(set(counts)) < len(plan.patches) - 1))


def interrupted(base: SmallBase) -> float:
    """Cancel stops within one patch; how many patches still ran."""
    plan, model, ran = plan_of(base), base.load(), []
    network = model.model.diffusion_model
    forward = network.forward

    def stop(*args: Any, **kwargs: Any) -> Tensor:
        ran.append(1)
        comfy.model_management.interrupt_current_processing()
        return forward(*args, **kwargs)

    network.forward = stop
    try:
        sample(base, attach_joint_modulation(model, plan, FusionOptions(1)))
    except comfy.model_management.InterruptProcessingException:
        return float(len(ran) - 1)
    finally:
        comfy.model_management.interrupt_current_processing(False)
    return float(len(plan.patches))


def takes_no_batches(base: SmallBase) -> float:
    """A model that fails with several clips in a call is given them one by one."""
    plan, model = plan_of(base), base.load()
    network = model.model.diffusion_model
    forward, one = network.forward, plan.patch_size[0] if base.is_image else 1

    def picky(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if len(x) > one:
            raise RuntimeError("The size of tensor a must match the size of tensor b")
        return forward(x, *args, **kwargs)

    network.forward = picky
    model = attach_joint_modulation(model, plan, FusionOptions(3))
    return apart(sample(base, model), merged(base, plan))


def control_net(base: SmallBase) -> float:
    """Every patch sees its own part of a ControlNet's hint, which is given at another size than the canvas."""
    if base.control is None:
        return 0.0
    plan, frames = plan_of(base), torch.rand(base.frames, 3, 40, 50, generator=torch.Generator().manual_seed(6))
    control = base.control()
    with_hint = _controlled(base, control.set_cond_hint(frames, 0.8), base.latent())
    ours = merged(base, plan, 2, prompts=with_hint)
    assert apart(ours, merged(base, plan)) > 1e-2
    whole = comfy.utils.common_upscale(frames, 8 * W, 8 * H, "nearest-exact", "center")

    def own(patch: Patch) -> Any:
        (t, top, left), (count, height, width) = patch.origin, patch.size
        part = whole[t : t + count, :, 8 * top : 8 * (top + height), 8 * left : 8 * (left + width)]
        return _controlled(base, base.control().set_cond_hint(part, 0.8), base.latent())

    return apart(ours, by_hand(base, plan, 1.0, own))


def _controlled(base: SmallBase, control: Any, latent: Tensor) -> Any:
    positive, negative = base.prompts(latent)
    return [[positive[0][0], {**positive[0][1], "control": control}]], negative


class LinearVAE:
    """A VAE that is a random matrix, with what ComfyUI's VAEs tell of themselves."""

    def __init__(self, base: SmallBase) -> None:
        self.latent_channels, self.latent_dim = base.channels, 2 if base.is_image else 3
        self.frames = 1 if base.is_image else 4
        self.mix = torch.randn(base.channels, 3, generator=torch.Generator().manual_seed(7))

    def spacial_compression_encode(self) -> int:
        return STRIDE

    def temporal_compression_decode(self) -> int | None:
        return None if self.frames == 1 else self.frames

    def encode(self, frames: Tensor) -> Tensor:
        pooled = torch.nn.functional.avg_pool2d(frames[:: self.frames].movedim(-1, 1) * 2 - 1, STRIDE)
        latent = torch.einsum("cp,tphw->tchw", self.mix, pooled)
        return latent if self.latent_dim == 2 else latent.movedim(0, 1)[None]

    def decode(self, latent: Tensor) -> Tensor:
        latent = latent if self.latent_dim == 2 else latent[0].movedim(0, 1)
        pixels = torch.einsum("pc,tchw->tphw", torch.linalg.pinv(self.mix), latent).repeat_interleave(STRIDE, 2)
        pixels = pixels.repeat_interleave(STRIDE, 3).movedim(1, -1) / 2 + 0.5
        count = 1 + (len(pixels) - 1) * self.frames
        return pixels.repeat_interleave(self.frames, 0)[:count] if self.frames > 1 else pixels


def a_clip(base: SmallBase) -> Tensor:
    return torch.rand(plan_of(base).canvas.frames, 24, 36, 3, generator=torch.Generator().manual_seed(8))


def applied(base: SmallBase) -> float:
    """Apply PatchVSR without an adapter changes nothing that was not asked for, and then what was."""
    plan, latent = plan_of(base), as_canvas(base.latent())
    conditions = PatchConditions(latent, codec=codec_of(LinearVAE(base)), source=a_clip(base))
    plain = merged(base, plan, 3)

    def run(strength: StrengthMap = StrengthMap(), skip: int = 1, **held: Any) -> Tensor:
        model = host.attach_control(base.load(), plan, conditions)
        model = host.attach_enhancement(model, plan, conditions, host.EnhanceOptions(**held))
        model = host.attach_strength(model, plan.canvas, conditions, strength)
        return sample(base, attach_joint_modulation(model, plan, FusionOptions(3, skip_interval=skip)))

    assert apart(run(StrengthMap(1.0)), base.latent()) < 1e-5, "fidelity 1 is the input"
    for held in ({"low_frequency_guidance": 1.0}, {"projection_steps": 1}):
        assert apart(run(**held), plain) > 1e-3, held
    assert base.is_flow == _runs(lambda: run(eta=0.5)), "eta is for flows"
    return max(apart(run(), plain), apart(run(skip=2), plain))


def guided_again(base: SmallBase) -> float:
    """Guidance nodes evaluate the positive prompt once more at every step; what is skipped for it is its own."""
    plan, latent = plan_of(base), as_canvas(base.latent())
    still = a_clip(base)[:1].expand(plan.canvas.frames, -1, -1, -1)
    conditions = PatchConditions(latent, codec=codec_of(LinearVAE(base)), source=still)
    longer = replace(base, sigmas=[*torch.linspace(base.sigmas[0], 0.1 * base.sigmas[0], 4).tolist(), 0.0])
    skipped = attach_joint_modulation(
        host.attach_control(base.load(), plan, conditions), plan, FusionOptions(3, skip_interval=2)
    )

    def evaluate_again(step: dict[str, Any]) -> Tensor:
        positive, options = step["cond"], step["model_options"]
        comfy.samplers.calc_cond_batch(step["model"], [positive], step["input"], step["sigma"], options)
        return step["denoised"]

    again = skipped.clone()
    again.set_model_sampler_post_cfg_function(evaluate_again)
    plain, twice = (sample(longer, model, guidance=3.0) for model in (skipped, again))
    assert apart(plain, merged(longer, plan, 3, guidance=3.0)) > 1e-5 or plan.canvas.frames == 1, "nothing was skipped"
    return apart(twice, plain)


def _runs(run: Any) -> bool:
    try:
        run()
    except PlanError:
        return False
    return True


def previewed(base: SmallBase) -> float:
    """Patch Preview runs the patch that is looked at alone, and gives what a whole run gives in its middle."""
    plan, latent = plan_of(base), base.latent()
    conditions = PatchConditions(as_canvas(latent), codec=codec_of(LinearVAE(base)))
    model = host.attach_control(base.load(), plan, conditions)
    guider = comfy.samplers.CFGGuider(attach_joint_modulation(model, plan, FusionOptions(1)))
    guider.set_conds(*base.prompts(latent))
    euler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor(base.sigmas)[-2:]
    noise = SimpleNamespace(generate_noise=lambda given: noise_of(latent), seed=0)
    focus = select_region(plan, 1, 0, 1)
    shown = host.sample_focus(noise, guider, euler, sigmas, {"samples": latent}, focus)["samples"]
    whole = host.sample_latent(noise, guider, euler, sigmas, {"samples": latent})["samples"]
    assert apart(shown, whole) > 1e-2, "the rest stays the input"
    alone = (slice(None), slice(None), slice(0, 1), slice(0, 4), slice(0, 6))
    return apart(as_canvas(shown)[alone], as_canvas(whole)[alone])


def upscaled(base: SmallBase) -> float:
    """All of Upscale Video's work on a clip, with the defaults of the family and memory left to it."""
    prompts = base.prompts(base.latent())
    for text in prompts:
        text[0][1] = {name: value for name, value in text[0][1].items() if name not in base.made_by_pipeline}
    models = host.NativeModels(base.load(), LinearVAE(base), *prompts)
    assert models.family is FAMILIES[base.family]
    settings = replace(models.defaults, patch_px=64, window_frames=5, overlap_frames=1, steps=2)
    clip, target, seen = a_clip(base), (70, 104), set()
    out = host.upscale_native(
        clip, target, models, settings, lambda stage, done, total: seen.add(stage), noise=torch.zeros
    )
    assert out.shape == (len(clip), *target, 3) and out.isfinite().all() and "encode" in seen
    assert chunk_frames(len(clip), (24, 36), target, models, settings) == len(clip)
    assert 1 <= chunk_frames(1000, (1080, 1920), (2160, 3840), models, models.defaults) < 1000
    return 0.0


def jumps(base: SmallBase) -> float:
    """Where every patch has a colour of its own, the largest step of the fused canvas between neighbouring cells, in
    parts of that of finished tiles which are cross-faded over an eighth of their side; both are means of draws."""
    side, cells, draws = 32, 60, 6
    latent, stride, model = base.latent((cells, cells)), 1 if base.is_image else 4, base.load()
    canvas = Canvas(1 + (base.frames - 1) * stride, (24, 24), (cells * STRIDE,) * 2, STRIDE, stride)
    plan = plan_patches(canvas, patch_px=side * STRIDE, window_frames=canvas.padded_frames, overlap_frames=0)
    generator = torch.Generator().manual_seed(0)

    def one_colour(apply: Any, args: dict[str, Any]) -> Tensor:
        return torch.randn(1, generator=generator).expand(args["input"].shape).to(args["input"])

    model.set_model_unet_function_wrapper(one_colour)
    guider = comfy.samplers.CFGGuider(attach_joint_modulation(model, plan, FusionOptions(1)))
    guider.set_conds(*base.prompts(latent))
    euler, levels, seen = comfy.samplers.sampler_object("euler"), torch.tensor(base.sigmas)[-2:], []
    for _ in range(draws):
        keep = {"callback": lambda step, x0, x, total: seen.append(as_canvas(x0)[0, 0, 0]), "disable_pbar": True}
        guider.sample(latent, latent, euler, levels, seed=0, **keep)
    ours = sum(map(_largest_step, seen))
    return ours / sum(_largest_step(_faded_tiles(cells, side, side // 8, generator)) for _ in range(draws))


def _faded_tiles(cells: int, side: int, overlap: int, generator: torch.Generator) -> Tensor:
    """Finished tiles of one colour each, as tilers join them."""
    canvas = torch.zeros(cells, cells)
    spans = tile_axis(cells, side, overlap)
    for row in spans:
        for column in spans:
            weight = torch.outer(row.weights(canvas), column.weights(canvas))
            canvas[row.cells, column.cells] += torch.randn(1, generator=generator) * weight
    return canvas


def _largest_step(plane: Tensor) -> float:
    return max(float(plane.diff(dim=axis).abs().max()) for axis in (0, 1))


def says_why_not(base: SmallBase) -> float:
    """Where attention is out of reach, the sentence says what to connect instead."""
    try:
        host.attach_attention(base.load(), spatial=True)
    except AdapterError as error:
        return float("connect" not in str(error) or base.attends)
    return float(not base.attends)


def differs(base: SmallBase) -> float:
    """How far patches are from the plain run: were it 0, the other checks would see nothing."""
    return apart(as_canvas(merged(base, plan_of(base))), as_canvas(sample(base, base.load())))


def lab_is_that_of_core() -> float:
    """The colour fix of SeedVR2's own node."""
    generator = torch.Generator().manual_seed(5)
    content, style = (torch.rand(2, 3, 160, 200, generator=generator) * 0.6 + 0.2 for _ in range(2))
    theirs = torch.cat(
        [lab_color_transfer(c[None] * 2 - 1, s[None] * 2 - 1) for c, s in zip(content, style, strict=True)]
    )
    return float((lab(content, style) - (theirs + 1) / 2).abs().max())


def upscaler_is_that_of_core() -> float:
    """A small ESRGAN as core loads and runs it, but for the fade between tiles."""
    from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel, UpscaleModelLoader
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    torch.manual_seed(0)
    network = RRDBNet(num_filters=16, num_blocks=1, scale=2)
    file = Path(folder_paths.get_temp_directory()) / "esrgan.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    folder_paths.add_model_folder_path("upscale_models", str(file.parent))
    (model,) = UpscaleModelLoader.execute(file.name).result
    clip = torch.rand(2, 40, 52, 3)
    (theirs,) = ImageUpscaleWithModel.execute(model, clip).result
    assert theirs.std() > 1e-3
    return float((host.run_image_upscaler(model, clip, (80, 104)) - theirs).abs().max())


CORE_CHECKS = (lab_is_that_of_core, upscaler_is_that_of_core)
CHECKS = (
    one_patch, one_patch_guided, one_patch_masked, many_patches, many_patches_guided, batches, out_of_memory,
    takes_no_batches, progress, interrupted, control_net, applied, guided_again, previewed,
    upscaled, jumps, says_why_not, differs,
)  # fmt: skip
