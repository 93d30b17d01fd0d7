"""Grades of the metrics in plain words.

The thresholds were calibrated on three clips upscaled by 2 and 4: originals, as the upper bound, are
"good"; new noise of 2 levels in every frame gives "fair" flicker, of 5 levels "poor"; seams between patches
whose colours differ by 1 to 2 levels are "fair" or "poor", depending on whether the picture is busy or flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isnan, sqrt

from ..errors import phrase, say

LEVELS = 255
Numbers = Mapping[str, float]


GRADES = (phrase("good"), phrase("fair"), phrase("poor"))
WORDS = {"source": phrase("source"), "levels": phrase("levels"), "frames": phrase("frames")}
"""What stands among numbers."""


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    label: str
    number_format: str
    """Format string of the number; :func:`add_display_units` and ``WORDS`` add some names."""
    graded_value: Callable[[Numbers], float]
    """The value that is compared with the limits of ``bands``."""
    bands: tuple[tuple[float, str, str], ...]
    """(upper limit, grade, sentence), ascending."""
    missing_note: str
    """Why there is no number, where there is none."""

    def line(self, numbers: Numbers) -> str:
        """Format label, number, grade and sentence as one line."""
        value = self.graded_value(numbers)
        if isnan(value):
            return f"{say(self.label):<16}{'-':<34}{say(self.missing_note)}"
        grade, sentence = next((grade, sentence) for limit, grade, sentence in self.bands if value <= limit)
        said = self.number_format.format(**numbers, **{name: say(word) for name, word in WORDS.items()})
        return f"{say(self.label):<16}{said:<34}{say(grade)}: {say(sentence)}"


TEMPORAL_ADVICE = "add Flow Propagation, raise window_frames and overlap_frames, or lower detail and noise_level."
COLOUR_ADVICE = "set the Blender's color_fix to wavelet, or run Refine & Fidelity with 8 rounds."
NO_MOTION = phrase("needs 2 frames or more, and motion that can be estimated reliably.")

RULES = (
    Rule(
        phrase("Flicker"),
        "{flicker:.2f}",
        lambda n: n["flicker"],
        (
            (5, "good", phrase("added detail moves along with the content.")),
            (
                10,
                "fair",
                phrase(f"fine detail shimmers, or there is grain; if it is visible at full speed, {TEMPORAL_ADVICE}"),
            ),
            (inf, "poor", phrase(f"detail changes from frame to frame; {TEMPORAL_ADVICE}")),
        ),
        NO_MOTION,
    ),
    Rule(
        phrase("Brightness"),
        "{brightness_flicker:.2f} ({source} {source_brightness_flicker:.2f})",
        lambda n: n["brightness_flicker"] - n["source_brightness_flicker"],
        (
            (2, "good", phrase("as steady as the source.")),
            (6, "fair", phrase(f"brightness varies slightly between frames; {COLOUR_ADVICE}")),
            (inf, "poor", phrase(f"brightness pumps visibly; {COLOUR_ADVICE}")),
        ),
        phrase("needs 3 frames or more."),
    ),
    Rule(
        phrase("Warping error"),
        "{warping_error:.3f} ({source} {source_warping_error:.3f})",
        lambda n: n["warping_error"] - 2 * n["source_warping_error"],
        (
            (
                0.04,
                "good",
                phrase("consecutive frames are consistent; sharp results have higher values than soft ones."),
            ),
            (0.2, "fair", phrase(f"consecutive frames differ by more than sharpness explains; {TEMPORAL_ADVICE}")),
            (inf, "poor", phrase(f"consecutive frames contradict each other; {TEMPORAL_ADVICE}")),
        ),
        NO_MOTION,
    ),
    Rule(
        phrase("Seams"),
        "{seam_energy:.3f}",
        lambda n: n["seam_energy"],
        (
            (1.06, "good", phrase("patch borders are invisible.")),
            (
                1.25,
                "fair",
                phrase(f"some borders may be visible in flat areas; choose the layout corner, and {COLOUR_ADVICE}"),
            ),
            (inf, "poor", phrase(f"patch borders are visible; choose the layout corner, and {COLOUR_ADVICE}")),
        ),
        phrase("connect the plan (with more than one patch) to measure it."),
    ),
    Rule(
        phrase("Patch colours"),
        "{patch_colours:.2f} {levels}",
        lambda n: n["patch_colours"],
        (
            (0.3, "good", phrase("all patches have the same colours.")),
            (1, "fair", phrase(f"the differences may be visible in flat areas; {COLOUR_ADVICE}")),
            (inf, "poor", phrase(f"patches differ in colour; {COLOUR_ADVICE}")),
        ),
        phrase("connect the plan to measure it."),
    ),
    Rule(
        phrase("Colour drift"),
        "{colour_drift:.2f} {levels}, {drift_per_hundred:+.2f}/100 {frames}",
        lambda n: n["colour_drift"],
        (
            (1, "good", phrase("the colours match the source throughout.")),
            (3, "fair", phrase(f"whole frames have a colour cast; {COLOUR_ADVICE}")),
            (inf, "poor", phrase(f"the colours do not match the source; {COLOUR_ADVICE}")),
        ),
        phrase("needs a frame."),
    ),
    Rule(
        phrase("Detail"),
        "{detail_energy:.2f} x {source}",
        lambda n: n["detail_energy"],
        (
            (
                0.95,
                "poor",
                phrase(
                    "softer than the upsampled source; raise refine_strength and detail, lower the restore strength."
                ),
            ),
            (1.05, "fair", phrase("no more detail than the upsampled source; raise refine_strength and detail.")),
            (4, "good", phrase("more detail than the upsampled source.")),
            (8, "fair", phrase("very sharp; check for halos and noise, and lower detail if there are any.")),
            (inf, "poor", phrase("sharper than real footage: noise or halos; lower detail and noise_level.")),
        ),
        phrase("the source has no detail to compare with."),
    ),
    Rule(
        phrase("Mismatch"),
        "{mismatch:.2f} {levels}",
        lambda n: n["mismatch"],
        (
            (0.5, "good", phrase("the downsampled result matches the source.")),
            (
                1.5,
                "fair",
                phrase("it deviates slightly from the source; expected where noise was removed, else raise rounds."),
            ),
            (
                inf,
                "poor",
                phrase("it deviates from the source; unless that was noisy, run Refine & Fidelity with 8 rounds."),
            ),
        ),
        phrase("needs a frame."),
    ),
)


def add_display_units(measures: Numbers) -> dict[str, float]:
    """The metrics, plus those that are displayed in other units."""
    return {
        **measures,
        "patch_colours": LEVELS * sqrt(measures["patch_colour_variance"]),
        "drift_per_hundred": 100 * measures["colour_slope"],
    }


def grade_lines(measures: Numbers) -> list[str]:
    """Format one line per metric, with its grade and what to do."""
    numbers = add_display_units(measures)
    return [rule.line(numbers) for rule in RULES]
