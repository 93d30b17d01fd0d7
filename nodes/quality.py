"""The node that measures a result."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..patchvsr_core.hosts.comfy import Progress
from ..patchvsr_core.quality import FULL_SCALE, check_kind, measure_quality
from .sockets import CATEGORY, Plan


class QualityReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_QualityReport",
            display_name="Quality Report",
            category=CATEGORY,
            description="Measures flicker, seams, colours and detail of a result against its source, says in plain "
            "words what is good and what to change, and paints where the trouble is. Costs about 0.3 seconds a frame "
            "at 960x540 on two CPU cores, in proportion to the pixels; needs no model and no GPU.",
            search_aliases=["patchvsr", "quality", "flicker", "seams", "heat map", "metrics"],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The result, all frames."),
                io.Image.Input("source", tooltip="The clip that it was made from, at any size."),
                io.Combo.Input(
                    "heat_map",
                    options=list(FULL_SCALE),
                    default="flicker",
                    tooltip="flicker: where added detail does not move along with the picture. seams: where a patch "
                    "border shows; needs the plan. mismatch: where the result, shrunk again, is not the source.",
                ),
                Plan.Input("plan", optional=True, tooltip="The result's plan, to measure seams and patch colours."),
            ],
            outputs=[
                io.String.Output(
                    display_name="report", tooltip="A line for every number: good, fair or poor, and what to do."
                ),
                io.Image.Output(
                    display_name="heat_map",
                    tooltip="Grey: nothing. Violet, red, orange, white: more and more, white from 16 of 255 levels on "
                    "(seams: 8). The scale is the same for every clip.",
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
