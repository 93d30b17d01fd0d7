"""Adapters as native MODEL_PATCH objects; conditional decoders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
from torch import Tensor, nn

from ...adapter import Adapter, BaseSpec, load_adapter
from ...errors import AdapterError
from ...stages.families import family_of_model
from ...vae.conditional_decoder import ConditionalDecoder, load_conditional_decoder
from .layout import is_image_model
from .tiny import is_tiny

LIEM_STRENGTH = "patchvsr_liem_strength"
"""Attachment of a MODEL_PATCH, not of the adapter that its clones share: how strongly its local gates act."""


def load_model_patch(path: str | Path, *, liem_strength: float = 1.0) -> Any:
    """Load an adapter under ComfyUI's memory management: a patcher, as MODEL_PATCH sockets carry.

    Args:
        liem_strength: of the adapter's local gates, if it has any; 0 turns them off.

    Raises:
        AdapterError: in one sentence, what is wrong with the file.
    """
    adapter = load_adapter(path, ops=comfy.ops.manual_cast)
    model_patch = comfy.model_patcher.CoreModelPatcher(
        adapter,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    model_patch.set_attachments(LIEM_STRENGTH, liem_strength)
    return model_patch


def liem_strength_of(model_patch: Any) -> float:
    """How strongly the local gates of a MODEL_PATCH act; 1 where nothing is attached."""
    strength = model_patch.get_attachment(LIEM_STRENGTH)
    return 1.0 if strength is None else strength


def load_decoder(path: str | Path) -> ConditionalDecoder:
    """Load a conditional decoder to where ComfyUI computes; it is small and lives as long as one node runs.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    return load_conditional_decoder(path).to(comfy.model_management.get_torch_device())


def adapter_of(model_patch: Any) -> Adapter:
    """The adapter inside a MODEL_PATCH.

    Raises:
        AdapterError: when it holds another kind of patch.
    """
    adapter = getattr(model_patch, "model", None)
    if not isinstance(adapter, Adapter):
        raise AdapterError(
            f"The connected MODEL_PATCH is a {type(adapter).__name__}, not a PatchVSR adapter; "
            "connect PatchVSR's Load Adapter or Load PatchVSR Model."
        )
    return adapter


def prompt_conditioning(model_patch: Any) -> list[list[Any]]:
    """The adapter's fixed prompt as native CONDITIONING; no text encoder is needed."""
    prompt: Tensor = adapter_of(model_patch).prompt.detach().float().clone()
    return [[prompt, {}]]


def own_prompts(model: Any) -> tuple[list[list[Any]], list[list[Any]]]:
    """(positive, negative) CONDITIONING that a model brings in its own file, as SeedVR2 does."""
    network = model.get_model_object("diffusion_model")
    positive, negative = (
        [[text.detach().clone()[None], {}]] for text in (network.positive_conditioning, network.negative_conditioning)
    )
    return positive, negative


def sizes_of(model: Any) -> BaseSpec | None:
    """The shapes of a native MODEL; None for one that is no Wan."""
    transformer = model.get_model_object("diffusion_model")
    names = ("in_dim", "dim", "num_layers", "ffn_dim", "text_dim")
    sizes = [size for name in names if isinstance(size := getattr(transformer, name, None), int)]
    return BaseSpec(*sizes) if len(sizes) == len(names) else None


def measured_sizes(model: Any) -> BaseSpec:
    """The sizes of any model, well enough to tell it from others of its family and to scale its times.

    Of one that shows no layers, such as a compiled engine, 1.
    """
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, nn.Module):
        return BaseSpec(0, 1, 1, 4, 0)
    widths = Counter(weight.shape[1] for weight in network.parameters() if weight.ndim == 2)
    width = max([1, *(width for width, _ in widths.most_common(1))])
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
    return BaseSpec(0, width, max(1, sum(map(len, lists))), 4 * width, 0)


def family_of(model: Any) -> str:
    """The family of a native MODEL, see :mod:`patchvsr_core.stages.families`."""
    if is_tiny(model):
        return "tiny"
    classes = [each.__name__ for each in type(model.model).__mro__]
    return family_of_model(classes, images=is_image_model(model.model))


def base_spec(model: Any) -> BaseSpec:
    """The shapes of a native MODEL that an adapter may be made for.

    Raises:
        AdapterError: when it is no Wan text-to-video transformer.
    """
    transformer, spec = model.get_model_object("diffusion_model"), sizes_of(model)
    if spec is None:
        raise AdapterError(
            f"The connected model is a {type(transformer).__name__}, not a Wan video model; "
            "connect Wan 2.1 or 2.2 text-to-video, or Load PatchVSR Model."
        )
    if transformer.in_dim != transformer.out_dim:
        raise AdapterError(
            "The connected model is a Wan with extra input channels (image-to-video, Fun, VACE); "
            "connect a text-to-video one."
        )
    return spec
