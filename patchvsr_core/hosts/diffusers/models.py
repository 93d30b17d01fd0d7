"""Everything one run needs, found by name or path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...adapter import Adapter, load_adapter
from ...degradation import FILE as ESTIMATOR_FILE
from ...degradation import DegradationEstimator, load_estimator
from ...devices import AUTO, network_dtype, resolve_device
from ...errors import ModelError
from ...files import fingerprint
from ...finish.image_upscaler import ImageUpscaler, load_image_upscaler
from ...finish.refine import Refiner, load_refiner
from ...plan.canvas import PatchPlan
from ...run.cost import Networks, patch_bytes
from ...run.memory import patches_together
from ...settings import TINY, UPSCALER, WAN, WAN_PLAIN, Settings
from ...vae.codec import Codec, SpaceToDepth, WanVAE
from ...vae.conditional_decoder import ConditionalDecoder, load_conditional_decoder
from ...weights import manifest, shipped
from .denoiser import Base
from .loading import load_base, load_prompt, load_vae

NULL_PROMPT_TOKENS = 512
"""Length of Wan's padded text context."""


@dataclass(frozen=True, eq=False)
class Models:
    """A base with its codec, and what sits around it."""

    base: Base
    codec: Codec
    prompt: Tensor
    """(1, tokens, text_dim) positive prompt."""
    adapter: Adapter | None
    refiner: Refiner | None
    defaults: Settings
    device: torch.device
    identity: str = ""
    """Changes when a file that was loaded changes."""
    estimator: DegradationEstimator | None = None
    """Estimates the degradation of an input; None: every input is taken for clean."""
    negative: Tensor | None = None
    """What guidance leads away from; None: the empty prompt."""
    decoder: ConditionalDecoder | None = None
    """Lets the input modulate the VAE's decoder."""
    upscaler: ImageUpscaler | None = None
    """Makes the base layer of that name."""
    dtype: torch.dtype = torch.float32
    """In which the networks compute, those of the base layer included."""

    @property
    def has_global_branch(self) -> bool:
        """Whether the adapter attends to a view of the whole video."""
        return self.adapter is not None and self.adapter.global_ is not None

    @property
    def networks(self) -> Networks:
        """Their sizes, as far as memory depends on them."""
        return Networks(
            self.codec.channels,
            self.base.spec,
            self.base.item_bytes,
            0 if self.adapter is None else self.adapter.config.width,
            not self.codec.is_lossless,
            self.refiner,
        )

    def patch_bytes(self, plan: PatchPlan) -> int:
        """What a patch takes while the base works on it, beside the weights; an estimate."""
        return patch_bytes(plan, self.base.spec, self.base.item_bytes)

    def patches_at_once(self, plan: PatchPlan, settings: Settings) -> int:
        """Patches in a model call, as chosen, or as many as fit and are of use."""
        return settings.patches_at_once or patches_together(plan, self.patch_bytes(plan), self.device)


def load_models(
    model: str = "tiny",
    *,
    vae: str | Path | None = None,
    adapter: str | Path | None = None,
    refiner: str | Path | None = None,
    decoder: str | Path | None = None,
    prompt: str | Path | None = None,
    negative: str | Path | None = None,
    upscaler: str | Path | None = None,
    device: str = "auto",
    precision: str = AUTO,
) -> Models:
    """Load the models of a run.

    Args:
        model: ``tiny`` for the shipped default, or the path of a Wan (folder or file).
        vae: Wan's VAE; not needed when ``model`` is a diffusers folder that has one.
        adapter: an adapter made for that base; without one a stock Wan only enhances detail.
        refiner: a refiner file, or ``conditional`` for the shipped conditional one; None: the tiny default's own,
            and none for a Wan.
        decoder: a conditional decoder that was trained with the VAE.
        prompt, negative: files with embedded prompts (see :func:`loading.load_prompt`) instead of the
            adapter's own and of the empty one.
        upscaler: an image upscaler (ESRGAN, SPAN, DAT and the like), which then makes the base layer by default.
        device: a torch device, or ``auto``: a CUDA GPU if there is one, otherwise the CPU.
        precision: see :func:`devices.network_dtype`.

    Raises:
        ModelError, AdapterError: in one sentence, what is missing or does not fit.
    """
    models = _with_refiner(_load(model, vae, adapter, resolve_device(device), precision), refiner)
    text_dim = models.base.spec.text_dim
    files = {"prompt": prompt, "negative": negative, "decoder": decoder, "upscaler": upscaler}
    return replace(
        models,
        prompt=models.prompt if prompt is None else load_prompt(prompt, text_dim),
        negative=None if negative is None else load_prompt(negative, text_dim),
        decoder=None if decoder is None else _decoder(decoder, models),
        identity=" ".join([models.identity, *(f"{role} {fingerprint(file)}" for role, file in files.items() if file)]),
        **({} if upscaler is None else _upscaler(upscaler, models)),
    )


def _upscaler(path: str | Path, models: Models) -> dict[str, Any]:
    """What an image upscaler changes."""
    loaded = load_image_upscaler(path, models.device)
    return {"upscaler": loaded, "defaults": replace(models.defaults, base_layer=UPSCALER)}


def _load(
    model: str, vae: str | Path | None, adapter: str | Path | None, where: torch.device, precision: str
) -> Models:
    if model == "tiny":
        if vae is not None:
            raise ModelError("The tiny default needs no VAE; leave --vae out, or name a Wan with --model.")
        return _tiny(where, adapter, network_dtype(where, precision))
    dtype = network_dtype(where, precision, gpu=torch.bfloat16)
    base = load_base(model, device=str(where), dtype=dtype)
    if vae is None and not (Path(model) / "vae").is_dir():
        raise ModelError(f"{model} comes without a VAE; name Wan's VAE file with --vae.")
    codec = load_vae(vae or model, device=str(where), dtype=dtype)
    chosen = load_adapter(adapter, dtype=dtype).to(where) if adapter else None
    if chosen is None:
        own_prompt = torch.zeros(1, NULL_PROMPT_TOKENS, base.spec.text_dim)
    else:
        chosen.config.base.check_same(base.spec)
        own_prompt = chosen.prompt.detach()
    defaults = WAN_PLAIN if chosen is None else WAN
    identity = " ".join(fingerprint(path) for path in (model, vae, adapter) if path is not None)
    estimator = _estimator(where)
    return Models(base, codec, own_prompt, chosen, None, defaults, where, identity, estimator, dtype=dtype)


def _tiny(device: torch.device, adapter: str | Path | None, dtype: torch.dtype) -> Models:
    base = load_base(shipped("tiny_base.safetensors"), device=str(device), dtype=dtype)
    chosen = load_adapter(adapter or shipped("tiny_adapter.safetensors"), dtype=dtype).to(device)
    chosen.config.base.check_same(base.spec)
    refiner = load_refiner(shipped("tiny_refiner.safetensors"), dtype).to(device)
    files = " ".join(file["sha256"] for file in manifest()["files"].values())
    identity = files if adapter is None else f"{files} {fingerprint(adapter)}"
    prompt = chosen.prompt.detach()
    estimator = _estimator(device)
    return Models(base, SpaceToDepth(), prompt, chosen, refiner, TINY, device, identity, estimator, dtype=dtype)


def _estimator(device: torch.device) -> DegradationEstimator:
    return load_estimator(shipped(ESTIMATOR_FILE)).to(device)


def _with_refiner(models: Models, name: str | Path | None) -> Models:
    if name is None:
        return models
    path = shipped("tiny_conditional.safetensors") if name == "conditional" else Path(name)
    return replace(
        models,
        refiner=load_refiner(path, models.dtype).to(models.device),
        identity=f"{models.identity} {fingerprint(path)}",
        defaults=replace(models.defaults, refine_strength=Settings.refine_strength),
    )


def _decoder(path: str | Path, models: Models) -> ConditionalDecoder:
    if not isinstance(models.codec, WanVAE):
        raise ModelError("A conditional decoder belongs to a Wan's VAE, and this model has none; leave --decoder out.")
    return load_conditional_decoder(path).to(models.device)
