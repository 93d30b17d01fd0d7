"""Nodes that load models."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import load_model_patch, prompt_conditioning, shipped_models
from .sockets import ModelParts, Stage


class LoadTinyDefault(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_LoadTinyDefault",
            display_name="Load PatchVSR Model (Tiny Default)",
            category=Stage.LOAD,
            description="The small model that ships with PatchVSR: nothing to download, nothing to set up, no GPU "
            "needed.",
            search_aliases=["patchvsr", "tiny default", "built in"],
            outputs=[
                io.Model.Output(tooltip="The base model: a small Wan that adds detail to the upsampled input."),
                io.Vae.Output(tooltip="Its lossless codec; connect it wherever a VAE is needed."),
                io.ModelPatch.Output(display_name="adapter", tooltip="Patch branch and global branch."),
                io.Conditioning.Output(display_name="prompt", tooltip="The fixed prompt; no text encoder is needed."),
                ModelParts.Output(display_name="all", tooltip="All of it in one wire, for Upscale Video."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        models = shipped_models()
        return io.NodeOutput(models.model, models.vae, models.adapter, models.positive, models)


class LoadAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_LoadAdapter",
            display_name="Load Adapter",
            category=Stage.LOAD,
            description="A PatchVSR adapter from models/model_patches, with the fixed prompt that it was trained with.",
            search_aliases=["patchvsr adapter", "load patchvsr"],
            inputs=[
                io.Combo.Input(
                    "adapter_name",
                    options=folder_paths.get_filename_list("model_patches"),
                    tooltip="Put adapter files (.safetensors) into ComfyUI's models/model_patches folder.",
                ),
                io.Float.Input(
                    "liem",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Strength of the adapter's local gates (STAR's LIEM), which weight every token by "
                    "how much it stands out before attention mixes them. 0 turns them off, but saves "
                    "almost nothing (less than 0.1 % of a block's time). Adapters without LIEM ignore "
                    "it.",
                ),
            ],
            outputs=[
                io.ModelPatch.Output(display_name="adapter", tooltip="Patch branch and global branch."),
                io.Conditioning.Output(display_name="prompt", tooltip="The fixed prompt; no text encoder is needed."),
            ],
        )

    @classmethod
    def execute(cls, adapter_name: str, liem: float = 1.0) -> io.NodeOutput:
        path = folder_paths.get_full_path_or_raise("model_patches", adapter_name)
        adapter = load_model_patch(path, liem_strength=liem)
        return io.NodeOutput(adapter, prompt_conditioning(adapter))
