"""All measures of a result in one pass over its frames, with a picture of where the trouble lies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isnan

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..plan.canvas import PatchPlan
from ..progress import OnDone
from .color_drift import LEVELS, ColourDrift, mean_colour, patch_colours, patch_windows, variance_of
from .frame_pairs import check_lengths, downsampled_difference, gradient_energy, luma, pair_with_source
from .grading import grade_lines
from .heatmap import CELL_PX, overlay_heatmap, pool_cells
from .seams import SeamEnergies, check_size, seam_map
from .temporal import MeanAlongMotion, brightness_jitter, compensated_difference, estimate_motion

FULL_SCALE = {"flicker": 16 / LEVELS, "seams": 8 / LEVELS, "mismatch": 16 / LEVELS}
"""Heat maps by kind, and the difference that they show in the brightest colour; the same in every clip."""
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Measures:
    """Numbers; one that cannot be measured is no number (NaN): motion of one frame, seams without a plan."""

    flicker: float
    """See :func:`temporal.flicker`."""
    brightness_flicker: float
    """See :func:`temporal.brightness_flicker`."""
    source_brightness_flicker: float
    """The enlarged source's own."""
    warping_error: float
    """E_warp, see :func:`temporal.warping_error`."""
    source_warping_error: float
    """The enlarged source's own."""
    seam_energy: float
    """See :func:`seams.seam_energy`."""
    patch_colour_variance: float
    """Mean over channels of :func:`color_drift.patch_colour_variance`."""
    colour_drift: float
    """Largest difference of the mean colour from the source's, 8-bit levels."""
    colour_slope: float
    """How fast the mean colour drifts away, 8-bit levels per frame."""
    detail_energy: float
    """See :func:`frame_pairs.detail_energy`."""
    mismatch: float
    """Mean difference of the result, shrunk again, from the source, 8-bit levels."""


@dataclass(frozen=True, eq=False)
class QualityReport:
    """What can be said about a result without the original; :func:`measure_quality` makes it."""

    measures: Measures
    frames: Tensor = field(repr=False)
    """(T, H, W, 3) the result itself, not a copy."""
    maps: dict[str, Tensor] = field(repr=False)
    """(T, 1, rows, columns) half precision, in units of brightness, by the kinds that there are."""

    def as_dict(self) -> dict[str, float | None]:
        """The numbers by name; None for those that could not be measured."""
        return {name: None if isnan(value) else value for name, value in asdict(self.measures).items()}

    def as_text(self) -> str:
        """A short table: each number with what it means, and what to do if it is not good."""
        count, height, width = self.frames.shape[:3]
        return "\n".join([f"Quality of {count} frames of {width}x{height}", "", *grade_lines(asdict(self.measures))])

    def heat_map(self, kind: str) -> Tensor:
        """Where it is: (T, H, W, 3) in [0, 1], colours over the dimmed frames.

        Args:
            kind: ``flicker`` (against the next frame), ``seams`` or ``mismatch``.

        Raises:
            PlanError: for seams that were measured without a plan, or another kind.
        """
        check_kind(kind, has_plan="seams" in self.maps)
        out = torch.empty_like(self.frames, dtype=torch.float32)
        for k, heatmap in enumerate(self.maps[kind]):
            out[k : k + 1] = overlay_heatmap(self.frames[k : k + 1], heatmap[None].float() / FULL_SCALE[kind])
        return out


def check_kind(kind: str, has_plan: bool) -> None:
    """Raise unless there can be a heat map of this kind.

    Raises:
        PlanError: for an unknown kind, and for seams without a plan.
    """
    if kind not in FULL_SCALE:
        raise PlanError(f"A heat map of {kind!r} is unknown; choose one of {', '.join(FULL_SCALE)}.")
    if kind == "seams" and not has_plan:
        raise PlanError("Seams need to know where the patches are; connect the plan, or choose another heat map.")


def measure_quality(
    frames: Tensor, source: Tensor, plan: PatchPlan | None = None, *, on_frames: OnDone | None = None
) -> QualityReport:
    """Measure a result against the clip that it was made from.

    Memory beside the inputs is a few frames, and maps of a thirtieth of the result.

    Args:
        frames: (T, H, W, 3) result in [0, 1].
        source: (T, h, w, 3) input of any size.
        plan: the result's, for what concerns patches.

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
    """Sums of everything, frame by frame."""

    def __init__(self, frames: Tensor, plan: PatchPlan | None) -> None:
        self.plan, self.seams = plan, None if plan is None else SeamEnergies(plan)
        self.flicker, self.warping, self.source_warping = (MeanAlongMotion() for _ in range(3))
        self.brightness: list[tuple[float, float]] = []
        self.energies: list[tuple[float, float]] = []
        self.mismatch: list[float] = []
        count, self.cells = len(frames), [-(-side // CELL_PX) for side in frames.shape[1:3]]
        kinds = [kind for kind in FULL_SCALE if kind != "seams" or plan is not None]
        # All at once: small tensors kept between large ones that go would leave holes in memory.
        self.colours = torch.zeros(count, 3, dtype=torch.float64)
        self.patches = torch.zeros(count, len(patch_windows(plan)) if plan else 0, 3, dtype=torch.float64)
        self.maps = {kind: frames.new_zeros(count, 1, *self.cells, dtype=torch.float16) for kind in kinds}
        self.previous: tuple[Tensor, Tensor] | None = None

    def add_frame(self, frame: Tensor, large: Tensor, small: Tensor) -> None:
        """Add a frame, the enlarged source's and the source's own; (1, ., ., 3) each."""
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
        """The numbers so far."""
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
