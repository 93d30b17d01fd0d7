"""Nodes in which the input modulates what makes the frames."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..patchvsr_core.degradation import estimate_input_degradation
from ..patchvsr_core.finish.back_projection import check_pair
from ..patchvsr_core.hosts.comfy import Progress, as_canvas, codec_of, load_decoder, run_refiner
from ..patchvsr_core.run.alpha import with_matte
from ..patchvsr_core.vae.decode import InputCondition, decode_tiles
from ..patchvsr_core.weights import shipped
from .bypass import check_blended, check_matte
from .finishing import agreeing, sharp_frames_notice
from .sockets import Plan, Stage, Tiles
from .validation import in_order
from .widgets import finishing_widgets, setting_widget, tile_widgets

FOLDER = "model_patches"
SHIPPED = {"tiny (shipped)": "tiny_conditional.safetensors"}


class ConditionalRefiner(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_ConditionalRefiner",
            display_name="Conditional Refiner",
            category=Stage.FINISH,
            description="Refine & Fidelity with another network: features of the input modulate those of the "
            "decoded frames (as in Upscale-A-Video's decoder). Takes up to 1.4 times as long as the "
            "plain refiner. Use it instead of Refine & Fidelity when you raise detail (0.2 dB closer to "
            "the original at detail 0.53, and just as crisp), or with a refiner of your own; at detail "
            "0 the two are almost the same.",
            search_aliases=["patchvsr", "sft", "upscale-a-video", "conditional decoder", "refiner"],
            inputs=[
                io.Image.Input("decoded", tooltip="The upscaled frames."),
                io.Image.Input("source", tooltip="The input clip."),
                io.Combo.Input(
                    "refiner",
                    options=[*SHIPPED, *folder_paths.get_filename_list(FOLDER)],
                    tooltip="Put refiner files (.safetensors) into ComfyUI's models/model_patches folder.",
                ),
                setting_widget("refine_strength", "strength"),
                *finishing_widgets(),
            ],
            outputs=[io.Image.Output(tooltip="The finished frames.")],
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls,
        decoded: io.Image.Type,
        source: io.Image.Type,
        refiner: str,
        strength: float,
        rounds: int,
        fidelity: float,
        detail: float,
        cleanup: float,
    ) -> io.NodeOutput:
        check_blended(cls.hidden.prompt, "decoded")
        check_matte(cls.hidden.prompt, source)
        given, frames, source = source, decoded[..., :3], source[..., :3]
        check_pair(frames, source)
        path = _path(refiner)
        degradation = estimate_input_degradation(source, cleanup)
        notice = sharp_frames_notice(frames, source, strength)
        if strength > 0:
            frames = run_refiner(frames, source, strength, detail, degradation, Progress(), path=path)
        result = agreeing(frames, source, rounds, fidelity, cleanup, degradation)
        return io.NodeOutput(with_matte(result, given), ui=notice)


class ConditionalDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_ConditionalDecoder",
            display_name="Conditional Decoder",
            category=Stage.FINISH,
            description="Patch Decoder for Wan's VAE, guided by the input: a small trained network modulates the first "
            "features of the VAE's decoder (as in Upscale-A-Video). Needs a file from PatchVSR's trainer.",
            search_aliases=["patchvsr", "sft", "upscale-a-video", "vae decode"],
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan VAE that the file was trained with."),
                io.Latent.Input("latent", tooltip="The sampled latent of the whole canvas."),
                Plan.Input("plan", tooltip="From Patch Planner."),
                io.Image.Input("source", tooltip="The input clip."),
                io.Combo.Input(
                    "decoder_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="Put conditional decoders (.safetensors) into ComfyUI's models/model_patches folder.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip="0: the VAE alone; 1: as trained."
                ),
                *tile_widgets(),
            ],
            outputs=[Tiles.Output(display_name="tiles", tooltip="For Blender.")],
        )

    @classmethod
    def validate_inputs(cls, tile_px: int | None, overlap_px: int | None) -> bool | str:
        return in_order(cls, strictly=True, overlap_px=overlap_px, tile_px=tile_px)

    @classmethod
    def execute(
        cls,
        vae: io.Vae.Type,
        latent: io.Latent.Type,
        plan: Plan.Type,
        source: io.Image.Type,
        decoder_name: str,
        strength: float,
        tile_px: int,
        overlap_px: int,
    ) -> io.NodeOutput:
        decoder = load_decoder(folder_paths.get_full_path_or_raise(FOLDER, decoder_name))
        tiles = decode_tiles(
            codec_of(vae),
            as_canvas(latent["samples"]),
            plan.canvas,
            tile_px=tile_px,
            overlap_px=overlap_px,
            condition=InputCondition(decoder, source[..., :3], strength),
            on_tile=Progress(),
        )
        return io.NodeOutput(tiles)


def _path(name: str) -> Path:
    if name in SHIPPED:
        return shipped(SHIPPED[name])
    return Path(folder_paths.get_full_path_or_raise(FOLDER, name))
