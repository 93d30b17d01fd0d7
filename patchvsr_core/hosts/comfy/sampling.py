"""ComfyUI's own sampling, called as its SamplerCustomAdvanced node does."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
import latent_preview

from ...errors import PlanError
from .control import KEY


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
