"""What a run will make and take, before any model is loaded: memory, disk and time by the model of :mod:`.cost`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from ..errors import PlanError
from ..finish.refine import Refiner
from ..plan.canvas import TOKEN_CELLS, Canvas, PatchPlan
from ..plan.planner import count_windows
from ..plan.positions import KINDS, Position, list_positions
from ..plan.target_size import target_size
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import BICUBIC, Settings
from ..stages import plan_canvas
from ..stages.families import FAMILIES
from ..video.disk_space import file_bytes
from ..video.encoders import CODECS, CRF
from .cost import PIXEL_BYTES, Networks, node_memory, patch_bytes
from .guess import least_seconds
from .throughput import Throughput, run_seconds, work_of

MOST_PLACES = 40_000
"""Of a plan: more would be far too slow to run, and slow to plan."""


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
    detail: float | None = None
    """None: what single nodes make, which always denoise and leave the base layer to the graph."""
    patch_detail: float = 0.0
    """Beside ``detail``."""
    base_layer: str = "auto"
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
        if self.detail is None:
            chosen["base_layer"] = BICUBIC
        else:
            chosen |= {"detail": self.detail, "patch_detail": self.patch_detail}
            if self.base_layer != "auto":
                chosen["base_layer"] = self.base_layer
        return replace(settings, guidance=self.guidance, **chosen)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Forecast:
    """What a run will make and take; sizes in bytes."""

    source: tuple[int, int]
    """(height, width) of the clip."""
    target: tuple[int, int]
    """(height, width)."""
    layout: str
    positions: tuple[Position, ...]
    counts: Mapping[str, int]
    """Patches of one temporal window, by kind."""
    windows: int
    """Temporal windows."""
    steps: int
    base_layer: str
    """What makes it: one of :data:`settings.BASE_LAYERS`."""
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
    """None until a run was timed on this machine."""
    guess: float | None
    """Seconds that it takes at least, where nothing was timed; None where that is unknown too."""
    warning: str | None
    """What would stop the sampler."""


def forecast(
    request: Request,
    throughput: Throughput = Throughput(),
    refiner: Refiner | None = None,
    *,
    speed: float | None = None,
) -> Forecast:
    """Plan a run and count what it takes.

    Args:
        throughput: measured by earlier runs on this machine.
        refiner: what runs after decoding; it takes memory.
        speed: of the device in operations per second, by which the time is guessed where nothing was measured.

    Raises:
        PlanError: in the planner's words, for what it would refuse, and for far too many patches.
    """
    settings, family = request.settings, FAMILIES[request.family]
    target = target_size(request.source, scale=request.scale, size=request.size.strip() or None)
    canvas = Canvas(request.frames, request.source, target, family.stride_px, family.stride_frames)
    _check_number(canvas, settings.patch_px)
    one_window = replace(canvas, frames=min(canvas.frames, settings.window_frames))
    plan = plan_canvas(one_window, settings)
    windows = count_windows(canvas, settings.window_frames, settings.overlap_frames)
    work = work_of(plan, settings, is_lossless=family.is_lossless)
    work = replace(work, evaluations=windows * work.evaluations, pixels=canvas.frames * target[0] * target[1])
    networks = Networks(family.channels, refiner=refiner)
    tokens = (TOKEN_CELLS // family.token_cells) ** 2
    seconds, guess = run_seconds(work, throughput), None
    if seconds is None and speed is not None:
        guess = least_seconds(replace(work, tokens=tokens * work.tokens), family.bases.values(), speed)
    return Forecast(
        source=request.source,
        target=target,
        layout=settings.layout,
        positions=list_positions(plan),
        counts={kind: sum(patch.kind == kind for patch in plan.patches) for kind in KINDS},
        windows=windows,
        steps=step_count(settings),
        base_layer=work.base_layer,
        evaluations=work.evaluations,
        result_bytes=work.pixels * PIXEL_BYTES,
        working_bytes=node_memory(canvas, networks, settings).peak,
        patch_bytes={name: tokens * patch_bytes(plan, base, family.item_bytes) for name, base in family.bases.items()},
        file_bytes=file_bytes(work.pixels, CODECS[request.codec].library, request.crf),
        seconds=seconds,
        guess=guess,
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


def _warning(plan: PatchPlan, settings: Settings) -> str | None:
    try:
        check_steps(plan, step_count(settings))
    except PlanError as error:
        return str(error)
    return None
