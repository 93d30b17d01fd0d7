"""Nodes after the blender."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.fidelity import AGREED, back_project, check_pair
from ..patchvsr_core.hosts.comfy import Progress, run_refiner, shipped_damage
from .sockets import CATEGORY


class RefineFidelity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_RefineFidelity",
            display_name="Refine & Fidelity",
            category=CATEGORY,
            description="A small network adds detail from the input; back-projection makes the result agree with it.",
            search_aliases=["patchvsr", "back-projection", "refiner"],
            inputs=[
                io.Image.Input("image", tooltip="The upscaled frames."),
                io.Image.Input("source", tooltip="The input clip."),
                io.Float.Input(
                    "refine_strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip="0 turns the refiner off."
                ),
                io.Int.Input(
                    "rounds",
                    default=8,
                    min=0,
                    max=32,
                    tooltip="Rounds of back-projection, at most; 0 turns it off.",
                ),
                io.Float.Input(
                    "fidelity",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="1: the result, shrunk again, is the input. Lower keeps more of what the model made.",
                ),
                io.Float.Input(
                    "detail",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="What the refiner aims at: the most probable picture (0) or one as crisp as the original "
                    "may have been (1). 0.5 is a good choice for viewing. It costs no time.",
                ),
                io.Float.Input(
                    "cleanup",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Noise and compression are measured and removed. 1: as measured. Higher removes more. "
                    "0 keeps them, film grain too: the result, shrunk again, is exactly the input.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(
        cls,
        image: io.Image.Type,
        source: io.Image.Type,
        refine_strength: float,
        rounds: int,
        fidelity: float,
        detail: float,
        cleanup: float,
    ) -> io.NodeOutput:
        frames, source = image[..., :3], source[..., :3]
        check_pair(frames, source)
        damage = shipped_damage(source, cleanup)
        if refine_strength > 0:
            frames = run_refiner(frames, source, refine_strength, detail, damage, Progress())
        frames = back_project(
            frames,
            source,
            rounds=rounds,
            strength=fidelity,
            damage=damage,
            agreed=AGREED if cleanup else 0.0,
            on_frames=Progress(),
        )
        return io.NodeOutput(frames.clamp(0, 1))
