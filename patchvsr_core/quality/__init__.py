"""Quality metrics: temporal consistency, seams, colours and detail, against the source or a ground truth."""

from .color_drift import ColourDrift, colour_drift, patch_colour_variance
from .frame_pairs import detail_energy
from .report import FULL_SCALE, Measures, QualityReport, check_kind, measure_quality
from .seams import seam_energy, seam_ratio
from .temporal import Motion, brightness_flicker, clip_motion, flicker, temporal_error, warping_error

__all__ = [
    "FULL_SCALE",
    "ColourDrift",
    "Measures",
    "Motion",
    "QualityReport",
    "brightness_flicker",
    "check_kind",
    "clip_motion",
    "colour_drift",
    "detail_energy",
    "flicker",
    "measure_quality",
    "patch_colour_variance",
    "seam_energy",
    "seam_ratio",
    "temporal_error",
    "warping_error",
]
