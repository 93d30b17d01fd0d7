"""Which piece of a run takes how long: the pipeline's own functions, watched while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from diffusers import WanTransformer3DModel

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import Watch, replaced

from patchvsr_core.adapter import Adapter
from patchvsr_core.finish import refine
from patchvsr_core.finish.refine import Refiner
from patchvsr_core.hosts.diffusers import pipeline
from patchvsr_core.sampling.solvers import SOLVERS
from patchvsr_core.stages import frames, run, setup

BASE, ADAPTER, AROUND = "denoise: base model", "denoise: adapter", "denoise: outside model calls"
STEP = (BASE, ADAPTER, AROUND)
"""What a denoising step consists of: cutting patches, fusing, guidance and the solver are outside."""
REFINER, FLOW = "refine: network", "refine: optical flow"
NETWORKS = (BASE, ADAPTER, REFINER, FLOW)
"""What is spent in networks and the optical flow."""
PIECES: tuple[tuple[Any, str, str], ...] = (
    (run, "encode_input", "encode"),
    (setup, "encode_global", "encode"),
    (WanTransformer3DModel, "forward", BASE),
    (Adapter, "features", ADAPTER),
    (run, "decode_frames", "decode"),
    (Refiner, "forward", REFINER),
    (refine, "estimate_neighbour_flows", FLOW),
    (pipeline, "refine_frames", "refine: the rest"),
    (frames, "back_project", "fidelity"),
)
"""Where a function is looked up, its name there, and the piece that its time belongs to."""
ORDER = ("encode", *STEP, "decode", REFINER, FLOW, "refine: the rest", "fidelity")


@contextmanager
def watched_pipeline() -> Iterator[Watch]:
    """Runs of the pipeline within are watched."""
    watch = Watch()
    with replaced(PIECES, watch.timing) as stack:
        solvers = {name: replace(solver, solve=watch.timing(AROUND, solver.solve)) for name, solver in SOLVERS.items()}
        stack.enter_context(patch.dict(SOLVERS, solvers))
        yield watch


def overhead(seconds: dict[str, float]) -> float:
    """Share of the denoising steps that is spent outside model calls."""
    return seconds[AROUND] / sum(seconds[name] for name in STEP)
