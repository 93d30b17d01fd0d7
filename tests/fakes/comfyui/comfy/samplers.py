"""Guiders and samplers: just enough for flow models, Euler steps and guidance."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from comfy.k_diffusion import sampling
from comfy.model_patcher import ModelPatcher, copied
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers

Conds = list[dict[str, Tensor]] | None
reserved_shapes: list[list[int]] = []
"""Shapes for which memory was reserved, oldest first."""


class CFGGuider:
    """Runs a model under a positive and a negative prompt."""

    def __init__(self, model_patcher: ModelPatcher) -> None:
        self.model_patcher = model_patcher
        self.model_options = model_patcher.model_options
        self.conds: dict[str, Conds] = {}
        self.cfg = 1.0

    def set_conds(self, positive: Any, negative: Any = None) -> None:
        given = {"positive": positive, "negative": negative}
        self.inner_set_conds({name: conds for name, conds in given.items() if conds is not None})

    def inner_set_conds(self, conds: dict[str, Any]) -> None:
        self.conds = {
            name: [{"cross_attn": tensor, "uuid": uuid4(), **extra} for tensor, extra in group]
            for name, group in conds.items()
        }

    def set_cfg(self, cfg: float) -> None:
        self.cfg = cfg

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        assert denoise_mask is None, "the stand-in has no masks"
        if sigmas.numel() == 0:
            return latent_image
        options = copied(self.model_options)
        options["transformer_options"] |= {"wrappers": copied(self.model_patcher.wrappers), "sample_sigmas": sigmas}
        model = _prepare_sampling(self.model_patcher, noise.shape, self.conds, options)
        with self.model_patcher.applied():
            self.inner_model = model
            latent = model.process_latent_in(latent_image.float())
            wrappers = get_all_wrappers(WrappersMP.SAMPLER_SAMPLE, options, is_model_options=True)
            run = WrapperExecutor(sampler.sample, sampler, wrappers)
            extra = {"model_options": options, "seed": seed}
            out = run(self, sigmas, extra, callback, noise.float(), latent, denoise_mask, disable_pbar)
            return model.process_latent_out(out)

    def __call__(self, x: Tensor, timestep: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        negative = None if self.cfg == 1.0 else self.conds.get("negative")
        conds, options = [self.conds["positive"], negative], model_options
        positive_x0, negative_x0 = calc_cond_batch(self.inner_model, conds, x, timestep, options)
        x0 = negative_x0 + self.cfg * (positive_x0 - negative_x0) if negative is not None else positive_x0
        args = {"sigma": timestep, "input": x, "model": self.inner_model, "model_options": options}
        args |= {"cond_denoised": positive_x0, "uncond_denoised": negative_x0}
        for function in options.get("sampler_post_cfg_function", []):
            x0 = function({"denoised": x0, **args})
        return x0


class KSAMPLER:
    """Runs a sampler function on a guider."""

    def __init__(self, sampler_function: Any, extra_options: Any = None, inpaint_options: Any = None) -> None:
        self.sampler_function = sampler_function
        self.extra_options, self.inpaint_options = extra_options or {}, inpaint_options or {}

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        def report(state: dict[str, Any]) -> None:
            if callback is not None:
                callback(state["i"], state["denoised"], state["x"], len(sigmas) - 1)

        def unmasked(x: Tensor, sigma: Tensor, denoise_mask: Any, **rest: Any) -> Tensor:
            return model_wrap(x, sigma, **rest)

        levels = model_wrap.inner_model.model_sampling
        x = levels.noise_scaling(sigmas[0], noise, latent_image)
        extra = extra_args | {"denoise_mask": denoise_mask}
        x = self.sampler_function(
            unmasked, x, sigmas, extra_args=extra, callback=report, disable=disable_pbar, **self.extra_options
        )
        return levels.inverse_noise_scaling(sigmas[-1], x)


def sampler_object(name: str) -> KSAMPLER:
    return KSAMPLER(getattr(sampling, f"sample_{name}"))


def calculate_sigmas(model_sampling: Any, scheduler_name: str, steps: int) -> Tensor:
    """``simple``: evenly spread over the model's own noise levels."""
    assert scheduler_name == "simple", f"the stand-in has no scheduler {scheduler_name}"
    levels = model_sampling.sigmas
    picked = [levels[-1 - int(step * len(levels) / steps)] for step in range(steps)]
    return torch.stack([*picked, levels.new_zeros(())])


def calc_cond_batch(model: Any, conds: list[Conds], x_in: Tensor, timestep: Tensor, model_options: Any) -> list[Tensor]:
    """The clean prediction under every condition; zeros where there is none."""
    wrappers = get_all_wrappers(WrappersMP.CALC_COND_BATCH, model_options, is_model_options=True)
    return WrapperExecutor(_calc_cond_batch, None, wrappers)(model, conds, x_in, timestep, model_options)


def _calc_cond_batch(
    model: Any, conds: list[Conds], x_in: Tensor, timestep: Tensor, model_options: dict[str, Any]
) -> list[Tensor]:
    """Equally long prompts go through the model as one batch, as in ComfyUI."""
    given = [index for index, cond in enumerate(conds) if cond]
    prompts = [conds[index][0]["cross_attn"].expand(len(x_in), -1, -1) for index in given]
    same = len({prompt.shape for prompt in prompts}) == 1
    out = [torch.zeros_like(x_in) for _ in conds]
    for members in [given] if same else [[index] for index in given]:
        text = torch.cat([prompts[given.index(index)] for index in members])
        x, sigma = (tensor.repeat(len(members), *[1] * (tensor.ndim - 1)) for tensor in (x_in, timestep))
        marks = {"cond_or_uncond": members, "uuids": [conds[index][0]["uuid"] for index in members]}
        options = {**model_options["transformer_options"], **marks, "sigmas": timestep}
        x0 = model.apply_model(x, sigma, c_crossattn=text, transformer_options=options)
        for index, part in zip(members, x0.chunk(len(members)), strict=True):
            out[index] = part
    return out


def _prepare_sampling(patcher: ModelPatcher, noise_shape: Any, conds: Any, model_options: dict[str, Any]) -> Any:
    def reserve(model: ModelPatcher, noise_shape: Any, conds: Any, model_options: Any = None, **kwargs: Any) -> Any:
        reserved_shapes.append(list(noise_shape))
        return model.model, conds, []

    wrappers = get_all_wrappers(WrappersMP.PREPARE_SAMPLING, model_options, is_model_options=True)
    executor = WrapperExecutor(reserve, None, wrappers)
    return executor(patcher, list(noise_shape), conds, model_options=model_options)[0]
