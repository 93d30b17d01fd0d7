"""Makes the README's picture: the same square of one frame of the sample, by every network and at 1:1.

    python tools/make_before_after.py FOLDER

FOLDER holds the networks of others, see ``benchmarks/other_networks.py``. Takes a minute or two on a CPU, most of it
for Real-ESRGAN's single frame.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from other_networks import FILES, others
from pairs import read_pair
from pictures import detailed_crops, labelled, middle
from quality import COMPARED, METHODS

from patchvsr_core.hosts.diffusers.models import load_models

ROOT = Path(__file__).resolve().parents[1]
CLIP, RESULT = ROOT / "examples" / "sample_original.mp4", ROOT / "docs" / "before_after.jpg"
SCALE, FRAMES = 4, 6
QUALITY = 90


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description="Make the README's picture.")
    parser.add_argument("folder", type=Path, help="with the networks of others")
    methods = METHODS | others(parser.parse_args().folder)
    torch.set_grad_enabled(False)
    pair, models = read_pair(CLIP, SCALE, FRAMES, "clean"), load_models("tiny")
    shown = pair.small[FRAMES // 2 : FRAMES // 2 + 1]  # all that networks for single images need
    versions = {
        label: middle(methods[name](shown if name in FILES else pair.small, pair.size, models))
        for name, label in COMPARED.items()
        if name in methods
    }
    crops = detailed_crops({**versions, COMPARED["original"]: middle(pair.truth)})
    picture = np.concatenate([labelled(crop, label) for label, crop in crops.items()], axis=1)
    cv2.imwrite(str(RESULT), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_PROGRESSIVE, 1])


if __name__ == "__main__":
    main()
