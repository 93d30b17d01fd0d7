"""Nodes that load models."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import load_model_patch, load_tiny, prompt_conditioning
from ..patchvsr_core.hosts.comfy.codec import SpaceToDepthVAE
from ..patchvsr_core.weights import shipped
from .sockets import CATEGORY


class LoadTinyDefault(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_LoadTinyDefault",
            display_name="Load Tiny Default",
            category=f"{CATEGORY}/loaders",
            description="The small model that ships with PatchVSR: no download, no choice to make, runs without a GPU.",
            search_aliases=["patchvsr", "upscale video", "super resolution"],
            outputs=[
                io.Model.Output(tooltip="The base: a small Wan that turns the enlarged input into detail."),
                io.Vae.Output(tooltip="Its lossless codec; use it wherever a VAE is asked for."),
                io.ModelPatch.Output(display_name="adapter", tooltip="Patch branch and global branch."),
                io.Conditioning.Output(display_name="prompt", tooltip="The fixed prompt; no text encoder is needed."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        adapter = load_model_patch(shipped("tiny_adapter.safetensors"))
        return io.NodeOutput(load_tiny(), SpaceToDepthVAE(), adapter, prompt_conditioning(adapter))


class LoadAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_LoadAdapter",
            display_name="Load Adapter",
            category=f"{CATEGORY}/loaders",
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
                    tooltip="How strongly the adapter's local gates (LIEM of STAR) act: they weigh every token by how "
                    "much it stands out before attention mixes all of them. 0 turns them off and saves next to nothing "
                    "(below 0.1 % of the time of a block). Adapters without LIEM ignore it.",
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
