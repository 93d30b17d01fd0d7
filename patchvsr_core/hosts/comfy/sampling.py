"""ComfyUI's own sampling, called as its SamplerCustomAdvanced node does."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
import latent_preview

from ...errors import PlanError
from ...preview.region import PreviewRegion
from .adapter import KEY
from .joint_modulation import FOCUS


def sample_latent(noise: Any, guider: Any, sampler: Any, sigmas: Any, latent: dict[str, Any]) -> dict[str, Any]:
    """Denoise a LATENT with native objects.

    Raises:
        PlanError: when the guider's model has no joint modulation.
    """
    wrappers = guider.model_patcher.wrappers
    if not any(KEY in by_key for by_key in wrappers.values()):
        raise PlanError(
            "The guider's model has no joint modulation; connect Joint-Modulation Merger before the guider."
        )
    callback = latent_preview.prepare_callback(guider.model_patcher, len(sigmas) - 1)
    samples = guider.sample(
        noise.generate_noise(latent),
        latent["samples"],
        sampler,
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=noise.seed,
    )
    return {**latent, "samples": samples.to(comfy.model_management.intermediate_device())}


def sample_focus(
    noise: Any, guider: Any, sampler: Any, sigmas: Any, latent: dict[str, Any], focus: PreviewRegion
) -> dict[str, Any]:
    """As :func:`sample_latent`, but only the patches of the region run; elsewhere the upsampled LR input stays."""
    given = guider.model_options
    focused = {**given["transformer_options"], FOCUS: focus.origins}
    guider.model_options = {**given, "transformer_options": focused}
    try:
        return sample_latent(noise, guider, sampler, sigmas, latent)
    finally:
        guider.model_options = given
