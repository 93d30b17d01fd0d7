"""What the numbers mean to somebody who looks at pictures.

The limits come from enlargements by 2 and 4 of three clips: originals, which nothing should beat, are
"good"; 2 levels of fresh noise in every frame flicker "fair", 5 "poor"; seams of patches whose colours
differ by 1 to 2 levels are "fair" or "poor", as they show on flat or on busy pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isnan, sqrt

LEVELS = 255
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Rule:
    """How one line of the table is made."""

    label: str
    number_format: str
    """Format of the number; :func:`add_display_units` adds some names."""
    graded_value: Callable[[Numbers], float]
    """What the limits of ``bands`` are for."""
    bands: tuple[tuple[float, str, str], ...]
    """(up to here, grade, sentence), upwards."""
    missing_note: str
    """Why there is no number."""

    def line(self, numbers: Numbers) -> str:
        """(label, number, grade and sentence) as one line."""
        value = self.graded_value(numbers)
        if isnan(value):
            return f"{self.label:<16}{'-':<34}{self.missing_note}"
        grade, sentence = next((grade, sentence) for limit, grade, sentence in self.bands if value <= limit)
        return f"{self.label:<16}{self.number_format.format(**numbers):<34}{grade}: {sentence}"


TEMPORAL_ADVICE = "add Flow Propagation, raise window_frames and overlap_frames, or lower detail and noise_level."
COLOUR_ADVICE = "set the Blender's color_fix to wavelet, or run Refine & Fidelity with 8 rounds."
NO_MOTION = "needs 2 frames or more with motion that can be followed."

RULES = (
    Rule(
        "Flicker",
        "{flicker:.2f}",
        lambda n: n["flicker"],
        (
            (5, "good", "what was added moves along with the picture."),
            (10, "fair", f"fine detail shimmers, or there is grain; if it shows at full speed, {TEMPORAL_ADVICE}"),
            (inf, "poor", f"detail changes from frame to frame; {TEMPORAL_ADVICE}"),
        ),
        NO_MOTION,
    ),
    Rule(
        "Brightness",
        "{brightness_flicker:.2f} (source {source_brightness_flicker:.2f})",
        lambda n: n["brightness_flicker"] - n["source_brightness_flicker"],
        (
            (2, "good", "as steady as the source."),
            (6, "fair", f"frames differ a little in brightness; {COLOUR_ADVICE}"),
            (inf, "poor", f"the picture pumps; {COLOUR_ADVICE}"),
        ),
        "needs 3 frames or more.",
    ),
    Rule(
        "Warping error",
        "{warping_error:.3f} (source {source_warping_error:.3f})",
        lambda n: n["warping_error"] - 2 * n["source_warping_error"],
        (
            (0.04, "good", "neighbouring frames agree; sharper pictures have more of it than soft ones."),
            (0.2, "fair", f"more change between frames than sharpness explains; {TEMPORAL_ADVICE}"),
            (inf, "poor", f"neighbouring frames contradict each other; {TEMPORAL_ADVICE}"),
        ),
        NO_MOTION,
    ),
    Rule(
        "Seams",
        "{seam_energy:.3f}",
        lambda n: n["seam_energy"],
        (
            (1.06, "good", "patch borders do not show."),
            (1.25, "fair", f"some borders may show on flat areas; choose the layout corner, and {COLOUR_ADVICE}"),
            (inf, "poor", f"patch borders show; choose the layout corner, and {COLOUR_ADVICE}"),
        ),
        "connect the plan, of more than one patch, to have it measured.",
    ),
    Rule(
        "Patch colours",
        "{patch_colours:.2f} levels",
        lambda n: n["patch_colours"],
        (
            (0.3, "good", "all patches have the same colours."),
            (1, "fair", f"patches differ by what shows on flat areas; {COLOUR_ADVICE}"),
            (inf, "poor", f"patches differ in colour; {COLOUR_ADVICE}"),
        ),
        "connect the plan to have it measured.",
    ),
    Rule(
        "Colour drift",
        "{colour_drift:.2f} levels, {drift_per_hundred:+.2f}/100 frames",
        lambda n: n["colour_drift"],
        (
            (1, "good", "the colours are the source's throughout."),
            (3, "fair", f"whole frames are off in colour; {COLOUR_ADVICE}"),
            (inf, "poor", f"the colours are not the source's; {COLOUR_ADVICE}"),
        ),
        "needs a frame.",
    ),
    Rule(
        "Detail",
        "{detail_energy:.2f} x source",
        lambda n: n["detail_energy"],
        (
            (0.95, "poor", "softer than the source enlarged; raise refine_strength and detail, lower cleanup."),
            (1.05, "fair", "no more detail than the source enlarged; raise refine_strength and detail."),
            (4, "good", "more detail than the source enlarged."),
            (8, "fair", "very sharp; look for halos and noise, and lower detail if there are any."),
            (inf, "poor", "sharper than originals are: noise or halos; lower detail and noise_level."),
        ),
        "the source has no detail to compare with.",
    ),
    Rule(
        "Mismatch",
        "{mismatch:.2f} levels",
        lambda n: n["mismatch"],
        (
            (0.5, "good", "the result, shrunk again, is the source."),
            (1.5, "fair", "it departs from the source a little; expected where noise was cleaned, else raise rounds."),
            (inf, "poor", "it departs from the source; unless that was noisy, run Refine & Fidelity with 8 rounds."),
        ),
        "needs a frame.",
    ),
)


def add_display_units(measures: Numbers) -> dict[str, float]:
    """The measures, and those that are shown in other units."""
    return {
        **measures,
        "patch_colours": LEVELS * sqrt(measures["patch_colour_variance"]),
        "drift_per_hundred": 100 * measures["colour_slope"],
    }


def grade_lines(measures: Numbers) -> list[str]:
    """One line for every number."""
    numbers = add_display_units(measures)
    return [rule.line(numbers) for rule in RULES]
