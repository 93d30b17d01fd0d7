"""The planner node."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import codec_of, with_clip
from ..patchvsr_core.plan.canvas import Canvas
from ..patchvsr_core.plan.planner import plan_patches
from ..patchvsr_core.plan.target_size import CUSTOM, resolve_target, target_size
from ..patchvsr_core.preview.draw import draw_plan
from ..patchvsr_core.settings import OPTIONS
from ..patchvsr_core.stages import layout_for
from ..patchvsr_core.stages.families import family_of_codec
from .bypass import check_matte
from .sockets import Plan, Stage
from .validation import in_order
from .widgets import AUTO, scale_widget, setting_widget, size_widget, target_widget


class PatchPlanner(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_PatchPlanner",
            display_name="Tile Planner (Patch Planner)",
            category=Stage.PLAN,
            description="Plans the patches: output size, patch size, layout and temporal windows.",
            search_aliases=["patchvsr", "tiles", "patch layout"],
            inputs=[
                io.Image.Input("image", tooltip="The clip to upscale, as a batch of frames."),
                io.Vae.Input(
                    "vae", tooltip="The VAE of the model you will use; it determines how pixels map to latents."
                ),
                scale_widget(),
                setting_widget("patch_px", more="256 for the tiny default, 512 for Wan."),
                setting_widget(
                    "layout",
                    own=True,
                    tooltip=f"auto: overlapping for the tiny default, corner for Wan. {OPTIONS['layout'].help}",
                ),
                setting_widget("window_frames", more="8 for the tiny default, 81 for Wan."),
                setting_widget("overlap_frames"),
                size_widget(),
                target_widget(),
            ],
            outputs=[
                Plan.Output(display_name="plan", tooltip="For every node that needs a plan."),
                io.Image.Output(display_name="preview", tooltip="The first frame with the patches drawn on it."),
                io.Int.Output(display_name="width", tooltip="Width of the result."),
                io.Int.Output(display_name="height", tooltip="Height of the result."),
            ],
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def validate_inputs(cls, window_frames: int | None, overlap_frames: int | None) -> bool | str:
        return in_order(cls, strictly=True, overlap_frames=overlap_frames, window_frames=window_frames)

    @classmethod
    def execute(
        cls,
        image: io.Image.Type,
        vae: io.Vae.Type,
        scale: float,
        patch_px: int,
        layout: str,
        window_frames: int,
        overlap_frames: int,
        size: str = "",
        target: str = CUSTOM,
    ) -> io.NodeOutput:
        check_matte(cls.hidden.prompt, image)
        codec = codec_of(vae)
        source = (int(image.shape[1]), int(image.shape[2]))
        factor, exact = resolve_target(target, scale, size)
        result = target_size(source, scale=factor, size=exact)
        canvas = Canvas(len(image), source, result, codec.stride_px, codec.stride_frames)
        plan = plan_patches(
            canvas,
            patch_px=patch_px,
            layout=layout_for(codec) if layout == AUTO else layout,
            window_frames=window_frames,
            overlap_frames=overlap_frames,
        )
        seen = {"frames": len(image), "width": source[1], "height": source[0], "family": family_of_codec(codec)}
        widgets = {"scale": scale, "patch_px": patch_px, "layout": layout, "size": size, "target": target}
        windows = {"window_frames": window_frames, "overlap_frames": overlap_frames}
        report = {"patchvsr_plan": [seen | widgets | windows]}
        return io.NodeOutput(with_clip(plan, image, vae), draw_plan(plan, image[0]), result[1], result[0], ui=report)
