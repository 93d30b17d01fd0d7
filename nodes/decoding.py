"""Nodes from the fused latent to frames."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.errors import PatchVSRError
from ..patchvsr_core.finish.color_fix import match_colors
from ..patchvsr_core.hosts.comfy import Progress, as_canvas, codec_of, connected, plan_in, timed_stage, vae_of
from ..patchvsr_core.run.alpha import with_matte
from ..patchvsr_core.stages.families import family_of_codec
from ..patchvsr_core.vae.decode import blend_tiles, decode_tiles
from ..patchvsr_core.vae.encode import check_frames
from .sockets import Plan, Stage, Tiles
from .validation import in_order
from .widgets import setting_widget, tile_widgets


class PatchDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_PatchDecoder",
            display_name="Patch Decoder",
            category=Stage.FINISH,
            description="Decodes the fused latent on a tile grid of its own, far cheaper than patch by patch.",
            search_aliases=["patchvsr", "tiled decode"],
            inputs=[
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model, the same everywhere."),
                io.Latent.Input("latent", optional=True, tooltip="The sampled latent of the whole canvas."),
                Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
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
        tile_px: int,
        overlap_px: int,
        vae: io.Vae.Type | None = None,
        latent: io.Latent.Type | None = None,
        plan: Plan.Type | None = None,
    ) -> io.NodeOutput:
        latent = connected("latent", latent)
        plan = connected("plan", plan, plan_in(latent))
        codec = codec_of(vae_of(vae, plan))
        with timed_stage("decode", plan.canvas.frames, plan.canvas.target, family_of_codec(codec)):
            tiles = decode_tiles(
                codec,
                as_canvas(latent["samples"]),
                plan.canvas,
                tile_px=tile_px,
                overlap_px=overlap_px,
                on_tile=Progress(),
            )
        return io.NodeOutput(tiles)


class Blender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_Blender",
            display_name="Blend Patches (Blender)",
            category=Stage.FINISH,
            description="Joins the tiles into frames of exactly the planned size, in the colours of the input.",
            search_aliases=["patchvsr", "blend tiles", "color fix"],
            inputs=[
                Tiles.Input("tiles", tooltip="From Patch Decoder."),
                io.Image.Input("image", optional=True, tooltip="The input clip, for the colour fix."),
                setting_widget("window"),
                setting_widget("color", "color_fix", default="wavelet"),
            ],
            outputs=[io.Image.Output(tooltip="Frames of the planned size.")],
        )

    @classmethod
    def execute(
        cls, tiles: Tiles.Type, window: str, color_fix: str, image: io.Image.Type | None = None
    ) -> io.NodeOutput:
        if image is None and color_fix != "none":
            raise PatchVSRError(f"Colour fix {color_fix} needs the input clip; connect it to image, or choose none.")
        frames = blend_tiles(tiles, window=window)
        if image is not None:
            check_frames(image[..., :3], tiles.canvas)
            frames = match_colors(frames, image[..., :3], color_fix, on_frames=Progress())
        frames = frames.clamp(0, 1)
        return io.NodeOutput(frames if image is None else with_matte(frames, image))
