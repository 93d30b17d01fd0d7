"""Writes the averaged weights of a run as the files that the product loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..adapter import Adapter, save_adapter
from ..errors import PatchVSRError
from ..files import sha256, weight_files
from ..finish.refine import save_refiner
from ..vae.conditional_decoder import ConditionalDecoder, ConditionalDecoderConfig, save_conditional_decoder
from .config import TrainConfig
from .decoder_task import FILE
from .realtime_task import RealtimeTask, network_file, save_network
from .refiner_task import RefinerTask, refiner_file
from .restorer_task import RestorerTask, save_task
from .tiny_task import TinyDefault

LAYER_NAMES = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
}
BLOCK_NAMES = {
    "attn1.": "self_attn.",
    "attn2.": "cross_attn.",
    ".to_out.0.": ".o.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm3",
    "scale_shift_table": "modulation",
}


def export_run(config: TrainConfig, run: Path, target: Path, base: Path | None = None) -> None:
    """Write what a run has learned (bfloat16).

    The tiny default gives ``tiny_base``, ``tiny_adapter`` and ``tiny_refiner`` in the folder ``target``, a
    run of the refiner alone only the last (``tiny_conditional``, if it is one), an adapter run or one of a conditional
    decoder the file ``target``.

    Args:
        base: file or folder of the frozen base, whose hash goes into the adapter's metadata.

    Raises:
        PatchVSRError: when the run has no state yet.
    """
    checkpoint = run / "state.pt"
    if not checkpoint.is_file():
        raise PatchVSRError(f"There is no training state at {checkpoint}; train first, or name the run's folder.")
    average = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    if config.restorer is not None:
        _export_restorer(config, average, target)
    elif config.realtime:
        _export_realtime(config, average, target)
    elif config.decoder is not None:
        _export_decoder(config.decoder, average, target)
    elif config.refiner_alone:
        _export_refiner(config, average, target)
    elif config.flow is None:
        _export_tiny(config, average, target)
    else:
        _export_adapter(config, average, target, base)


def exported_file(config: TrainConfig) -> str:
    """Where the one file of a run is written, in the folder of its weights; empty: there are several in it."""
    if config.decoder is not None:
        return FILE
    return "" if config.flow is None else "adapter.safetensors"


def _export_tiny(config: TrainConfig, average: dict[str, Tensor], target: Path) -> None:
    model = TinyDefault(config)
    model.load_state_dict(average)
    target.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": "patchvsr-base",
        "prediction": "residual",
        "codec": "space_to_depth_8",
        "start_noise": str(config.start_noise),
    }
    base = {original_name(name): tensor for name, tensor in model.base.state_dict().items()}
    save_file(_bfloat16(base), str(target / "tiny_base.safetensors"), metadata=metadata)
    save_adapter(model.adapter, target / "tiny_adapter.safetensors")
    save_refiner(model.refiner, target / "tiny_refiner.safetensors")
    _update_manifest(target, config)


def _export_refiner(config: TrainConfig, average: dict[str, Tensor], target: Path) -> None:
    task = RefinerTask(config)
    task.load_state_dict(average)
    target.mkdir(parents=True, exist_ok=True)
    save_refiner(task.refiner, target / refiner_file(config.refiner))
    _update_manifest(target, config)


def _export_restorer(config: TrainConfig, average: dict[str, Tensor], target: Path) -> None:
    task = RestorerTask(config)
    task.load_state_dict(average)
    target.mkdir(parents=True, exist_ok=True)
    save_task(task, target)
    _update_manifest(target, config, "config of the restorer")


def _export_realtime(config: TrainConfig, average: dict[str, Tensor], target: Path) -> None:
    task = RealtimeTask(config)
    task.load_state_dict(average)
    target.mkdir(parents=True, exist_ok=True)
    save_network(task, target)
    _update_manifest(target, config, f"config of {network_file(config)}")


def _export_decoder(sizes: ConditionalDecoderConfig, average: dict[str, Tensor], target: Path) -> None:
    decoder = ConditionalDecoder(sizes)
    names = {name: name.removeprefix("decoder.") for name in average if name.startswith("decoder.")}
    decoder.load_state_dict({ours: average[name] for name, ours in names.items()})
    target.parent.mkdir(parents=True, exist_ok=True)
    save_conditional_decoder(decoder, target)


def _export_adapter(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    adapter = Adapter(config.adapter_config)
    state = {name.removeprefix("adapter."): tensor for name, tensor in average.items()}
    adapter.prompt = nn.Parameter(state["prompt"])
    adapter.load_state_dict(state)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_adapter(adapter, target, trained_on=None if base is None else sha256(*weight_files(base)))


def _update_manifest(target: Path, config: TrainConfig, place: str = "config") -> None:
    """Record what was written; what people wrote into the manifest (origin, licence) stays."""
    path = target / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    manifest["files"] = {
        file.name: {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(target.glob("*.safetensors"))
    }
    manifest[place] = asdict(config)
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def original_name(name: str) -> str:
    """A diffusers name of the transformer in Wan's original checkpoint layout."""
    if name == "scale_shift_table":
        return "head.modulation"
    for ours, original in LAYER_NAMES.items():
        if name.startswith(ours):
            return original + name.removeprefix(ours)
    if name.startswith("blocks."):
        for ours, original in BLOCK_NAMES.items():
            name = name.replace(ours, original)
    return name


def _bfloat16(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
