"""Patches and diffusion as the command line runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..devices import precision_name
from ..distributed import SINGLE, ProcessGroup, check_divisible
from ..hosts.diffusers.models import Models, load_models
from ..hosts.diffusers.pipeline import upscale
from ..plan.chunks import Chunk
from ..run.memory import chunk_frames
from ..run.oom_backoff import OOMBackoff, Work
from ..sampling.schedules import step_count
from ..settings import BASE_LAYERS, MODEL_FILES, OPTIONS, RESTORER, UPSCALER, Settings, flag_of
from ..stages import carries_state, make_plan, runs_diffusion
from ..video.chunk_files import Encoding
from ..video.info import VideoInfo
from .engine import Cost
from .flags import chosen_settings
from .timed_estimate import estimate

OF_THE_BASE_LAYER = {"base_layer", "patch_detail", "fidelity_rounds", "fidelity_strength", "restore_strength"}
"""Settings that count where nothing is denoised."""


@dataclass(frozen=True, eq=False)
class DiffusionEngine:
    """See :class:`engine.Engine`."""

    info: VideoInfo
    target: tuple[int, int]
    models: Models
    settings: Settings
    group: ProcessGroup = SINGLE
    given: tuple[str, ...] = ()
    """Settings that the user chose."""
    adds_to_result: bool = False
    """Whether frames of the result are final only when their chunk is."""

    @property
    def identity(self) -> str:
        """Of all files that were loaded."""
        return self.models.identity

    @property
    def precision(self) -> str:
        """See :attr:`engine.Engine.precision`."""
        return precision_name(self.models.dtype)

    @cached_property
    def work(self) -> Work:
        """The pipeline, with less when memory runs out; a group of processes would have to do so all at once."""
        return OOMBackoff(upscale) if self.group.size == 1 else partial(upscale, group=self.group)

    @property
    def carries_state(self) -> bool:
        """See :attr:`engine.Engine.carries_state`."""
        return carries_state(self.settings)

    def chunks(self, frames: int, length: int | None, overlap: int | None) -> tuple[int, int]:
        """See :meth:`engine.Engine.chunks`."""
        if length is None:
            source, together = (self.info.height, self.info.width), self.group.local_size
            length = self.group.all_reduce_min(
                chunk_frames(
                    frames,
                    source,
                    self.target,
                    self.models,
                    self.settings,
                    together=together,
                    keeps_result=self._keeps_result,
                )
            )
        return length, min(2, length // 3) if overlap is None else overlap

    def cost(self, chunks: Sequence[Chunk], output: Path, encoding: Encoding) -> Cost:
        """See :meth:`engine.Engine.cost`; writing takes next to nothing beside the rest."""
        longest = max(chunk.length for chunk in chunks)
        plan = make_plan(longest, (self.info.height, self.info.width), self.target, self.models, self.settings)
        cost = estimate(plan, self.models, self.settings, keeps_result=self._keeps_result)
        seconds = cost.seconds * len(chunks) / self.group.size
        if not runs_diffusion(self.settings, is_lossless=self.models.codec.is_lossless):
            work = (("work", f"the {_network_of(self.settings)} alone"),)
            return Cost(seconds, cost.memory_bytes, work, _idle_note(self.given, self.settings))
        kinds = [patch.kind for patch in plan.patches]
        frames, height, width = plan.patch_size
        details = [
            ("canvas", f"{' x '.join(map(str, plan.canvas.latent_shape))} latent cells (T x H x W) a chunk"),
            ("patches", f"{len(kinds)} of {frames} x {height} x {width}, layout {plan.layout}"),
            *(("", f"{kinds.count(kind):6d} {kind}") for kind in ("primary", "auxiliary", "corner")),
            ("work", f"{cost.evaluations} patch evaluations a chunk in {step_count(self.settings)} steps"),
        ]
        return Cost(seconds, cost.memory_bytes, tuple(details))

    @property
    def _keeps_result(self) -> bool:
        """See :func:`run.cost.run_memory`; a group gathers its frames."""
        return self.adds_to_result or self.info.picture.alpha or self.group.size > 1


def diffusion_engine(
    info: VideoInfo, target: tuple[int, int], options: Mapping[str, Any], group: ProcessGroup = SINGLE
) -> DiffusionEngine:
    """Load what the options of the command line name; where a setting is None, the model's own default counts.

    Raises:
        ModelError, AdapterError, PlanError: in one sentence.
    """
    files = {name: options[name] for name in MODEL_FILES}
    device = options["device"] if group.device is None else str(group.device)
    base_layer = options.get("base_layer")
    upscaler = None if base_layer in (None, *BASE_LAYERS) else base_layer
    models = load_models(
        options["model"] or "tiny", **files, upscaler=upscaler, device=device, precision=options["precision"]
    )
    given = chosen_settings(options)
    settings = replace(models.defaults, **given)
    check_divisible(settings, group)
    adds_to_result = options.get("strength_map") is not None
    return DiffusionEngine(info, target, models, settings, group, tuple(given), adds_to_result)


def _network_of(settings: Settings) -> str:
    """What makes the base layer, in words."""
    return {RESTORER: "restorer", UPSCALER: "image upscaler"}.get(settings.base_layer, settings.base_layer.upper())


def _idle_note(given: Iterable[str], settings: Settings) -> str:
    """Which of the settings that were given have no effect, as the base layer is the whole picture."""
    in_use = OF_THE_BASE_LAYER | ({"detail"} if settings.base_layer == RESTORER else set())
    idle = [flag_of(name, OPTIONS[name]) for name in given if name not in in_use]
    if not idle:
        return ""
    return (
        f"The {_network_of(settings)} makes the whole picture and {', '.join(idle)} "
        f"{'has' if len(idle) == 1 else 'have'} no effect; "
        "add --patch-detail 0.5 or --base-layer bicubic to denoise patches."
    )
