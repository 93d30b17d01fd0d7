"""The node that measures a result."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..patchvsr_core.hosts.comfy import Progress
from ..patchvsr_core.quality import FULL_SCALE, check_kind, measure_quality
from .sockets import Plan, Stage


class QualityReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_QualityReport",
            display_name="Quality Report",
            category=Stage.LOOK,
            description="Measures flicker, seams, colours and detail of a result against its source, reports in "
            "plain words what is good and what to change, and shows the problem areas as a heat map. "
            "Takes about 0.3 seconds per frame at 960x540 on two CPU cores, in proportion to the number "
            "of pixels; needs no model and no GPU.",
            search_aliases=["patchvsr", "quality", "flicker", "seams", "heat map", "metrics"],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The result, all frames."),
                io.Image.Input("source", tooltip="The clip that it was made from, at any size."),
                io.Combo.Input(
                    "heat_map",
                    options=list(FULL_SCALE),
                    default="flicker",
                    tooltip="flicker: where added detail does not move with the image. seams: where patch "
                    "borders show; needs the plan. mismatch: where the result, downscaled, differs from "
                    "the source.",
                ),
                Plan.Input("plan", optional=True, tooltip="The result's plan, to measure seams and patch colours."),
            ],
            outputs=[
                io.String.Output(
                    display_name="report", tooltip="One line per measurement: good, fair or poor, and what to do."
                ),
                io.Image.Output(
                    display_name="heat_map",
                    tooltip="Grey: nothing. Violet, red, orange, white: more and more; white means 16 of 255 "
                    "levels or more (seams: 8). The scale is the same for every clip.",
                ),
                io.Float.Output(display_name="flicker", tooltip="Up to 5 is good, above 10 poor. NaN for one frame."),
                io.Float.Output(
                    display_name="seam_energy",
                    tooltip="1: borders do not show. Up to 1.06 is good, above 1.25 poor. NaN without a plan.",
                ),
                io.Float.Output(
                    display_name="colour_drift",
                    tooltip="Largest difference of a frame's mean colour from the source's, of 255 levels; up to 1 is "
                    "good.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image: io.Image.Type, source: io.Image.Type, heat_map: str, plan: Plan.Type | None = None
    ) -> io.NodeOutput:
        check_kind(heat_map, has_plan=plan is not None)
        report = measure_quality(image[..., :3], source[..., :3], plan, on_frames=Progress())
        text, numbers = report.as_text(), report.measures
        return io.NodeOutput(
            text,
            report.heat_map(heat_map),
            numbers.flicker,
            numbers.seam_energy,
            numbers.colour_drift,
            ui=ui.PreviewText(text),
        )
