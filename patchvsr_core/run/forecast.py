"""What a run will make and take, from sizes alone: no model is loaded and nothing has run yet.

Memory and disk follow from sizes. Time does not: it is told only where earlier runs were timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from ..errors import PlanError
from ..finish.refine import Refiner, working_bytes
from ..plan.canvas import Canvas, PatchPlan
from ..plan.planner import count_windows, plan_patches, plan_tiles
from ..plan.positions import KINDS, Position, list_positions
from ..plan.target_size import target_size
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import TINY, WAN, WAN_PLAIN, Settings
from ..video.disk_space import file_bytes
from ..video.encoders import CODECS, CRF
from .memory import COPIES, FLOAT_BYTES, tokens_of

MOST_PLACES = 40_000
"""Of a plan: more would be far too slow to run, and slow to plan."""
STATES = 4
"""Latents of the canvas that sampling holds at once: its input, the state before and after a step, the prediction."""
SIMILAR = 2.0
"""Patches up to so many times larger or smaller than measured ones take time in proportion."""


@dataclass(frozen=True)
class Family:
    """Models that cut a clip in the same way."""

    channels: int
    """Latent channels."""
    stride_px: int
    stride_frames: int
    settings: Settings
    """Defaults with an adapter."""
    without_adapter: Settings
    sizes: Mapping[str, tuple[int, int]]
    """(width of the transformer, width of its feed-forward layer) by the name of a size."""
    item_bytes: int = 2
    """Of a number in the transformer."""


FAMILIES = {
    "tiny": Family(192, 8, 1, TINY, TINY, {"": (256, 768)}, item_bytes=4),
    "wan": Family(16, 8, 4, WAN, WAN_PLAIN, {"1.3B": (1536, 8960), "14B": (5120, 13824)}),
    "wan22": Family(48, 16, 4, WAN, WAN_PLAIN, {"5B": (3072, 14336)}),
}
"""The tiny default; Wan 2.1 and all of Wan 2.2 with the VAE of 2.1; Wan 2.2 with a VAE of its own."""


def family_of(channels: int) -> str:
    """The family whose latents have so many channels."""
    return next((name for name, family in FAMILIES.items() if family.channels == channels), "wan")


@dataclass(frozen=True)
class Request:
    """What is known before a run. Zeros, ``auto`` and None: what suits the family."""

    frames: int
    source: tuple[int, int]
    """(height, width) of the clip."""
    family: str
    scale: float = 4.0
    size: str = ""
    patch_px: int = 0
    layout: str = "auto"
    window_frames: int = 0
    overlap_frames: int | None = None
    steps: int = 0
    guidance: float = 1.0
    has_adapter: bool = True
    codec: str = "h264"
    """Of the file: one of :data:`video.encoders.CODECS`."""
    crf: int = CRF

    @property
    def settings(self) -> Settings:
        """All choices made.

        Raises:
            PlanError: for a value out of its range.
        """
        family = FAMILIES[self.family]
        settings = family.settings if self.has_adapter else family.without_adapter
        given = {"patch_px": self.patch_px, "window_frames": self.window_frames, "steps": self.steps}
        chosen: dict[str, object] = {name: value for name, value in given.items() if value}
        if self.layout != "auto":
            chosen["layout"] = self.layout
        if self.overlap_frames is not None:
            chosen["overlap_frames"] = self.overlap_frames
        return replace(settings, guidance=self.guidance, **chosen)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Throughput:
    """How fast this machine was."""

    patches: Mapping[int, float] = field(default_factory=dict)
    """Seconds per patch evaluation, by the tokens of a patch."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds per megapixel of all frames of the result, by stage."""

    def patch_seconds(self, tokens: int) -> float | None:
        """Of one evaluation; None when nothing of a similar size was measured."""
        near = min(self.patches, key=lambda other: max(other / tokens, tokens / other), default=0)
        if not near or not 1 / SIMILAR <= tokens / near <= SIMILAR:
            return None
        return self.patches[near] * tokens / near


@dataclass(frozen=True)
class Forecast:
    """What a run will make and take; sizes in bytes."""

    target: tuple[int, int]
    """(height, width)."""
    layout: str
    positions: tuple[Position, ...]
    counts: Mapping[str, int]
    """Patches of one window of time, by kind."""
    windows: int
    """Of time."""
    steps: int
    evaluations: int
    """Of patches, over all steps, windows and prompts."""
    result_bytes: int
    """The frames as an IMAGE."""
    working_bytes: int
    """All that single nodes hold at their peak, in main memory, with the result; an estimate."""
    patch_bytes: Mapping[str, int]
    """What a patch takes at work, beside the weights, by the size of the model; an estimate."""
    file_bytes: int
    """The video file; an estimate."""
    seconds: float | None
    """None when patches of this size were not timed yet."""
    warning: str | None
    """What would stop the sampler."""


def forecast(request: Request, pace: Throughput = Throughput(), refiner: Refiner | None = None) -> Forecast:
    """Look ahead.

    Args:
        refiner: what runs after decoding; it takes memory.

    Raises:
        PlanError: in the planner's words, for what it would refuse, and for far too many patches.
    """
    settings, family = request.settings, FAMILIES[request.family]
    target = target_size(request.source, scale=request.scale, size=request.size.strip() or None)
    canvas = Canvas(request.frames, request.source, target, family.stride_px, family.stride_frames)
    _check_number(canvas, settings.patch_px)
    one_window = replace(canvas, frames=min(canvas.frames, settings.window_frames))
    plan = plan_patches(
        one_window,
        patch_px=settings.patch_px,
        layout=settings.layout,
        window_frames=settings.window_frames,
        overlap_frames=settings.overlap_frames,
    )
    windows = count_windows(canvas, settings.window_frames, settings.overlap_frames)
    prompts = 1 if settings.guidance == 1 else 2
    by_phase = [len(plan.at_step(phase)) for phase in range(plan.phases)]
    evaluations = windows * prompts * sum(by_phase[step % plan.phases] for step in range(step_count(settings)))
    pixels = canvas.frames * target[0] * target[1]
    return Forecast(
        target=target,
        layout=settings.layout,
        positions=list_positions(plan),
        counts={kind: sum(patch.kind == kind for patch in plan.patches) for kind in KINDS},
        windows=windows,
        steps=step_count(settings),
        evaluations=evaluations,
        result_bytes=pixels * 3 * FLOAT_BYTES,
        working_bytes=_working_bytes(canvas, family, settings, refiner),
        patch_bytes=_patch_bytes(plan, family),
        file_bytes=file_bytes(pixels, CODECS[request.codec].library, request.crf),
        seconds=_seconds(evaluations, tokens_of(plan), pixels, pace),
        warning=_warning(plan, settings),
    )


def _check_number(canvas: Canvas, patch_px: int) -> None:
    """A live preview must not be kept busy for minutes."""
    rows, columns = (ceil(side / max(patch_px, 1)) for side in canvas.target)
    if 4 * rows * columns > MOST_PLACES:
        raise PlanError(
            f"Patches of {patch_px} px cut {canvas.target[1]}x{canvas.target[0]} into {rows * columns} pieces or more, "
            "which would take very long; choose a larger patch_px."
        )


def _working_bytes(canvas: Canvas, family: Family, settings: Settings, refiner: Refiner | None) -> int:
    """Single nodes keep what they made: clip, two latents, tiles, two batches of frames.

    Then the refiner works, or the last stage makes a third batch.
    """
    frames, (height, width) = canvas.latent_frames, canvas.latent_size
    latent = family.channels * frames * height * width * FLOAT_BYTES
    out, clip = (canvas.frames * side[0] * side[1] * 3 * FLOAT_BYTES for side in (canvas.target, canvas.source))
    tiles = plan_tiles(canvas, settings.tile_px, settings.tile_overlap_px)
    cells = sum(len(row.weight) for row in tiles.rows) * sum(len(column.weight) for column in tiles.columns)
    decoded = canvas.padded_frames * cells * canvas.stride_px**2 * 3 * FLOAT_BYTES
    refining = 0 if refiner is None else working_bytes(refiner, canvas.frames, canvas.target)
    return clip + max((1 + STATES) * latent, 2 * latent + decoded + 2 * out + max(refining, out))


def _patch_bytes(plan: PatchPlan, family: Family) -> dict[str, int]:
    tokens = tokens_of(plan)
    sizes = family.sizes.items()
    return {name: tokens * (COPIES * width + 2 * ffn) * family.item_bytes for name, (width, ffn) in sizes}


def _seconds(evaluations: int, tokens: int, pixels: int, pace: Throughput) -> float | None:
    """Denoising, and the other stages that were ever timed here."""
    each = pace.patch_seconds(tokens)
    return None if each is None else evaluations * each + pixels / 1e6 * sum(pace.stages.values())


def _warning(plan: PatchPlan, settings: Settings) -> str | None:
    try:
        check_steps(plan, step_count(settings))
    except PlanError as error:
        return str(error)
    return None
