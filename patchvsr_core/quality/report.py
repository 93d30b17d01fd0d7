"""Computes all metrics of a result in one pass over its frames, with heat maps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isnan

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError, phrase, say
from ..plan.canvas import PatchPlan
from ..progress import OnDone
from .color_drift import LEVELS, ColourDrift, mean_colour, patch_colours, patch_windows, variance_of
from .frame_pairs import check_lengths, downsampled_difference, gradient_energy, luma, pair_with_source
from .grading import grade_lines
from .heatmap import CELL_PX, overlay_heatmap, pool_cells
from .seams import SeamEnergies, check_size, seam_map
from .temporal import MeanAlongMotion, brightness_jitter, compensated_difference, estimate_motion

FULL_SCALE = {"flicker": 16 / LEVELS, "seams": 8 / LEVELS, "mismatch": 16 / LEVELS}
"""Kinds of heat maps, and the difference at the top of their scale, which is the same for every clip."""
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Measures:
    """The metrics; NaN where one cannot be measured, such as flicker of one frame or seams without a plan."""

    flicker: float
    """See :func:`temporal.flicker`."""
    brightness_flicker: float
    """See :func:`temporal.brightness_flicker`."""
    source_brightness_flicker: float
    """That of the upsampled source."""
    warping_error: float
    """E_warp, see :func:`temporal.warping_error`."""
    source_warping_error: float
    """That of the upsampled source."""
    seam_energy: float
    """See :func:`seams.seam_energy`."""
    patch_colour_variance: float
    """Mean over channels of :func:`color_drift.patch_colour_variance`."""
    colour_drift: float
    """Largest difference of a frame's mean colour from the source's, in 8-bit levels."""
    colour_slope: float
    """Linear drift of the mean colour, in 8-bit levels per frame."""
    detail_energy: float
    """See :func:`frame_pairs.detail_energy`."""
    mismatch: float
    """Mean absolute difference of the downsampled result from the source, in 8-bit levels."""


@dataclass(frozen=True, eq=False)
class QualityReport:
    """Quality of a result without a ground truth; :func:`measure_quality` creates it."""

    measures: Measures
    frames: Tensor = field(repr=False)
    """(T, H, W, 3) result, not copied."""
    maps: dict[str, Tensor] = field(repr=False)
    """(T, 1, rows, columns) float16 heat maps in units of [0, 1], by kind."""

    def as_dict(self) -> dict[str, float | None]:
        """The metrics by name; None where one could not be measured."""
        return {name: None if isnan(value) else value for name, value in asdict(self.measures).items()}

    def as_text(self) -> str:
        """A table of the metrics with their grades, and what to do where they are not good."""
        count, height, width = self.frames.shape[:3]
        title = say(phrase(f"Quality of {count} frames of {width}x{height}"))
        return "\n".join([title, "", *grade_lines(asdict(self.measures))])

    def heat_map(self, kind: str) -> Tensor:
        """Draw a heat map over the dimmed frames: (T, H, W, 3) in [0, 1].

        Args:
            kind: ``flicker`` (against the next frame), ``seams`` or ``mismatch``.

        Raises:
            PlanError: for an unknown kind, or for seams when they were measured without a plan.
        """
        check_kind(kind, has_plan="seams" in self.maps)
        out = torch.empty_like(self.frames, dtype=torch.float32)
        for k, heatmap in enumerate(self.maps[kind]):
            out[k : k + 1] = overlay_heatmap(self.frames[k : k + 1], heatmap[None].float() / FULL_SCALE[kind])
        return out


def check_kind(kind: str, has_plan: bool) -> None:
    """Raise unless a heat map of this kind is available.

    Raises:
        PlanError: for an unknown kind, and for seams without a plan.
    """
    if kind not in FULL_SCALE:
        raise PlanError(f"Unknown heat map {kind!r}; choose one of {', '.join(FULL_SCALE)}.")
    if kind == "seams" and not has_plan:
        raise PlanError("Seams can only be measured with a plan; connect the plan, or choose another heat map.")


def measure_quality(
    frames: Tensor, source: Tensor, plan: PatchPlan | None = None, *, on_frames: OnDone | None = None
) -> QualityReport:
    """Measure a result against its source.

    Needs memory for a few frames besides the inputs, and for maps of a thirtieth of the result.

    Args:
        frames: (T, H, W, 3) result in [0, 1].
        source: (T, h, w, 3) input of any size.
        plan: of the result, for the metrics that concern patches.

    Raises:
        PlanError: when the lengths differ, or the plan is for another size.
    """
    check_lengths(frames, source)
    if plan is not None:
        check_size(frames, plan)
    tally = _Accumulator(frames, plan)
    for k, (frame, large) in enumerate(pair_with_source(frames, source)):
        tally.add_frame(frame, large, source[k : k + 1])
        if on_frames:
            on_frames(k + 1, len(frames))
    return QualityReport(tally.measures(), frames, tally.maps)


class _Accumulator:
    """Accumulates all metrics frame by frame."""

    def __init__(self, frames: Tensor, plan: PatchPlan | None) -> None:
        self.plan, self.seams = plan, None if plan is None else SeamEnergies(plan)
        self.flicker, self.warping, self.source_warping = (MeanAlongMotion() for _ in range(3))
        self.brightness: list[tuple[float, float]] = []
        self.energies: list[tuple[float, float]] = []
        self.mismatch: list[float] = []
        count, self.cells = len(frames), [-(-side // CELL_PX) for side in frames.shape[1:3]]
        kinds = [kind for kind in FULL_SCALE if kind != "seams" or plan is not None]
        # Allocated at once: small tensors that outlive large ones would fragment memory.
        self.colours = torch.zeros(count, 3, dtype=torch.float64)
        self.patches = torch.zeros(count, len(patch_windows(plan)) if plan else 0, 3, dtype=torch.float64)
        self.maps = {kind: frames.new_zeros(count, 1, *self.cells, dtype=torch.float16) for kind in kinds}
        self.previous: tuple[Tensor, Tensor] | None = None

    def add_frame(self, frame: Tensor, large: Tensor, small: Tensor) -> None:
        """Add a frame, the upsampled source's and the source's own; (1, H, W, 3) each."""
        if self.previous is not None:
            self._add_pair(*self.previous, frame, large)
        self.previous = frame, large
        difference = frame - large
        self.brightness.append((_mean(luma(frame)), _mean(luma(large))))
        self.energies.append((gradient_energy(frame), gradient_energy(large)))
        now, apart = len(self.mismatch), downsampled_difference(frame, small)
        self.mismatch.append(_mean(apart))
        self.colours[now] = mean_colour(difference)
        self.maps["mismatch"][now] = F.interpolate(apart, size=self.cells, mode="area")[0]
        if self.plan is not None and self.seams is not None:
            self.seams.add(frame, large)
            self.patches[now] = patch_colours(difference, self.plan)
            self.maps["seams"][now] = seam_map(frame, large, self.plan, CELL_PX)[0]

    def _add_pair(self, frame: Tensor, large: Tensor, next_frame: Tensor, next_large: Tensor) -> None:
        motion = estimate_motion(large, next_large)
        self.warping.add(compensated_difference(frame, next_frame, motion).square(), motion)
        self.source_warping.add(compensated_difference(large, next_large, motion).square(), motion)
        flicker = self.flicker.add(compensated_difference(frame - large, next_frame - next_large, motion).abs(), motion)
        self.maps["flicker"][len(self.mismatch) - 1 :][:2] = pool_cells(flicker)  # the last frame shows the last pair's

    def measures(self) -> Measures:
        """The metrics so far."""
        drift = ColourDrift(LEVELS * self.colours)
        (brightness, source_brightness) = (
            brightness_jitter(list(values)) for values in zip(*self.brightness, strict=True)
        )
        detail, plain = (sum(values) for values in zip(*self.energies, strict=True))
        return Measures(
            flicker=self.flicker.per_mille,
            brightness_flicker=brightness,
            source_brightness_flicker=source_brightness,
            warping_error=self.warping.per_mille,
            source_warping_error=self.source_warping.per_mille,
            seam_energy=self.seams.ratio if self.seams else UNKNOWN,
            patch_colour_variance=float(variance_of(self.patches).mean()) if self.plan else UNKNOWN,
            colour_drift=drift.largest,
            colour_slope=drift.slope,
            detail_energy=detail / plain if plain else UNKNOWN,
            mismatch=LEVELS * sum(self.mismatch) / len(self.mismatch),
        )


def _mean(values: Tensor) -> float:
    return float(values.mean(dtype=torch.float64))
