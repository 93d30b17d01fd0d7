"""The memory that a run needs: with :mod:`throughput`, the one model that planning, chunking and refusing ask.

It follows from sizes alone. Arrays over the whole clip (latents, frames) are counted one by one; what networks hold
while they work on a patch or a tile is counted in features, with the factors below. ``benchmarks/cost.py`` compares it
with measured peaks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from ..adapter import BaseSpec
from ..finish.refine import CHUNK_FRAMES, Refiner, working_bytes
from ..plan.canvas import Canvas, PatchPlan
from ..plan.planner import plan_tiles
from ..propagation.attention import cache_bytes
from ..propagation.canvas import MEASURED_PX
from ..resample import PIXELS_PER_BATCH
from ..restorer.restore import WINDOW_FRAMES
from ..restorer.restore import working_bytes as restoring_bytes
from ..sampling.conditions import CACHE_BYTES
from ..sampling.schedules import step_count
from ..sampling.solvers import SOLVERS
from ..settings import BICUBIC, RESTORER, Settings
from ..stages import attention_options, runs_diffusion
from ..video.encode_beside import WAITING_FRAMES
from .malloc import KEPT_BYTES
from .throughput import tokens_of

FLOAT_BYTES = 4
PIXEL_BYTES = 3 * FLOAT_BYTES
"""Of a frame, per pixel."""
AHEAD_BYTES = 6
"""Of a frame that was read ahead, per pixel: integers of up to 16 bits."""
HANDED_ON_FRAMES = WAITING_FRAMES + 2
"""Of a result that is encoded while it is made: those that wait, the one that is encoded and the one that is made."""
HANDED_ON_WINDOWS = 2
"""Of the restorer: the one whose frames wait or are encoded, and its copy that is finished."""
OVERHEAD_BYTES = 32 * 2**20
"""What libraries and the allocator add to any run."""
UNTUNED_BYTES = 128 * 2**20
"""Holes that arrays leave in the heap where :func:`malloc.tune_malloc` was not called, as in ComfyUI."""

BLOCK_COPIES = 16
"""Features of a token that a block of the base holds at once, beside those of its feed-forward layer."""
ADAPTER_BRANCHES = 2
"""Branches of an adapter whose features are kept from step to step."""
VAE_WIDTH = 96
"""Features of a pixel at the full resolution of Wan's VAE."""
VAE_ENCODING, VAE_DECODING = 10, 14
"""Features of ``stride_frames`` frames of a tile that a VAE holds at once."""
ENCODED_TILE, DECODED_TILE = 4, 2
"""Pictures of a tile that are alive while it is cut and encoded, and while it is decoded."""
PROJECTION_COPIES = 3
"""Pictures of the frames that back-projection works on at a time, beside its input and output."""
STATES, SOLVED_STATES = 4, 5
"""Latents alive in a model call (condition, noise, state, prediction), and after it (the next state too)."""
LOOK_AHEAD_STATES = 3
"""What a solver that looks ahead adds: the first prediction, its slope, the state ahead."""
GUIDED_STATES, BLENDED_STATES = 1, 3
"""What guidance adds: the second prediction, and after the call the two differences."""
PROPAGATION_STATES = 4
"""What propagation along the motion adds after a call: the prediction opened, mixed, corrected and closed again."""
MOTION_PICTURES = 7
"""Numbers of a pixel at which motion is measured: flow both ways, and the clip at that size."""


@dataclass(frozen=True)
class Networks:
    """Sizes of the networks of a run, as far as memory depends on them."""

    channels: int
    """Of a latent."""
    base: BaseSpec | None = None
    """None where the base works in other memory than the one in question."""
    item_bytes: int = FLOAT_BYTES
    """Of a number in base, adapter and VAE."""
    adapter_width: int = 0
    """Features of a token in an adapter's branches; 0: there is none."""
    has_vae: bool = False
    """Whether a network encodes and decodes tiles."""
    refiner: Refiner | None = None
    working: Callable[[tuple[int, int, int]], int] | None = None
    """Bytes that a patch of (T, H, W) takes at work, as estimated by its host; instead of ``base``."""


@dataclass(frozen=True)
class Memory:
    """Peak of every stage in bytes, without weights; with all that earlier stages still hold."""

    encode: int
    denoise: int
    decode: int
    refine: int
    finish: int
    """Base layer, back-projection and the finished frames."""

    @property
    def peak(self) -> int:
        return max(getattr(self, stage.name) for stage in fields(self))


@dataclass(frozen=True)
class Stream:
    """A clip that a real-time network upscales frame by frame, as far as memory depends on it."""

    source: tuple[int, int]
    """(height, width) of the input."""
    target: tuple[int, int]
    """(height, width) of the result."""
    working_bytes: int
    """Of the frame at work."""
    has_alpha: bool = False
    pass_bytes: int = 0
    """Of the render passes of a frame."""
    adds_to_result: bool = False
    """Whether something is added to all frames of a chunk at its end, as a strength map is."""

    @property
    def frame_bytes(self) -> int:
        """Of a frame of the result; with transparency it exists a second time, with a fourth channel."""
        return math.prod(self.target) * (3 + 5 * self.has_alpha) * FLOAT_BYTES

    @property
    def keeps_result(self) -> bool:
        """Whether a chunk is final only as a whole; otherwise its frames are encoded as they are made."""
        return self.adds_to_result or self.has_alpha


def patch_bytes(plan: PatchPlan, base: BaseSpec, item_bytes: int) -> int:
    """What a patch takes while a Wan works on it, beside the weights."""
    return tokens_of(plan) * (BLOCK_COPIES * base.width + 2 * base.ffn) * item_bytes


def run_memory(
    plan: PatchPlan, networks: Networks, settings: Settings, patches_at_once: int = 1, *, keeps_result: bool = True
) -> Memory:
    """Of a whole run in one call, in which a stage frees what the next one does not need.

    Args:
        keeps_result: False where the restorer's frames are encoded as they are made, while the next chunk is read; of
            frames that are denoised all are kept.
    """
    sizes = _Sizes(plan.canvas, networks, settings)
    clip, latent, result = sizes.clip, sizes.latent, sizes.result
    base_layer = result if settings.base_layer != BICUBIC else 0
    held = clip + OVERHEAD_BYTES
    at_end = held + result + max(sizes.projecting, sizes.restoring)
    if not runs_diffusion(settings, is_lossless=not networks.has_vae):
        hands_on = settings.base_layer == RESTORER and not keeps_result
        return Memory(0, 0, 0, 0, finish=held + sizes.handing_on if hands_on else at_end)
    return Memory(
        encode=held + latent + base_layer + sizes.encoding,
        denoise=held + _denoising(plan, networks, settings, patches_at_once),
        decode=held + latent + sizes.tiles + max(result, sizes.decoding),
        refine=held + result + sizes.refining,
        finish=at_end + 2 * base_layer,
    )


def node_memory(canvas: Canvas, networks: Networks, settings: Settings) -> Memory:
    """Of single nodes of a graph, whose results are all kept; weights and patches at work lie elsewhere."""
    sizes = _Sizes(canvas, networks, settings)
    latent, result = sizes.latent, sizes.result
    held = sizes.clip + OVERHEAD_BYTES + UNTUNED_BYTES
    made = held + 2 * latent + sizes.tiles
    return Memory(
        encode=held + latent + sizes.encoding,
        denoise=held + (1 + STATES) * latent,
        decode=made + max(result, sizes.decoding),
        refine=made + result + sizes.refining,
        finish=made + 2 * result + sizes.projecting,
    )


def stream_memory(frames: int, stream: Stream) -> int:
    """Of a chunk of so many frames that a real-time network upscales, while the next one is read."""
    held = frames if stream.keeps_result else min(frames, HANDED_ON_FRAMES)
    read = math.prod(stream.source) * (PIXEL_BYTES + AHEAD_BYTES) + stream.pass_bytes
    holes = min(KEPT_BYTES, stream.working_bytes)  # freed arrays of a frame that the allocator keeps for the next one
    return OVERHEAD_BYTES + stream.working_bytes + holes + frames * read + held * stream.frame_bytes


def _denoising(plan: PatchPlan, networks: Networks, settings: Settings, patches_at_once: int) -> int:
    """Latents of the whole canvas, the patches at work, and what is kept from step to step."""
    latent, guides = _Sizes(plan.canvas, networks, settings).latent, settings.guidance != 1
    looks_ahead = settings.solver in SOLVERS and SOLVERS[settings.solver].look_ahead
    states = (settings.noise_level > 0) + LOOK_AHEAD_STATES * (looks_ahead and step_count(settings) > 1)
    calling = (STATES + states + guides * GUIDED_STATES) * latent
    solving = (SOLVED_STATES + states + guides * BLENDED_STATES) * latent
    kept = _kept_features(plan, networks, settings)
    if settings.propagation > 0:
        solving += PROPAGATION_STATES * latent
        shrink = min(1.0, MEASURED_PX / max(plan.canvas.target))
        kept += round(MOTION_PICTURES * plan.canvas.frames * math.prod(plan.canvas.target) * shrink**2) * FLOAT_BYTES
    return kept + max(calling + patches_at_once * _working(plan, networks), solving)


def _working(plan: PatchPlan, networks: Networks) -> int:
    """What one patch takes."""
    if networks.working is not None:
        return networks.working(plan.patch_size)
    return 0 if networks.base is None else patch_bytes(plan, networks.base, networks.item_bytes)


def _kept_features(plan: PatchPlan, networks: Networks, settings: Settings) -> int:
    """What an adapter made of the patches, for the next step; what patches attend to of one another."""
    if networks.base is None:
        return 0
    kept = 0
    if step_count(settings) > 1:
        features = len(plan.patches) * tokens_of(plan) * ADAPTER_BRANCHES * networks.adapter_width
        kept = min(features * networks.item_bytes, CACHE_BYTES)
    options, base = attention_options(settings), networks.base
    if options.spatial or options.temporal:
        one = cache_bytes(options, plan, base.width, base.layers, networks.item_bytes)
        kept += one * (1 if settings.guidance == 1 else 2)
    return kept


class _Sizes:
    """Bytes of the arrays of a run: those that last, and those of a stage at work."""

    def __init__(self, canvas: Canvas, networks: Networks, settings: Settings) -> None:
        self._canvas, self._networks, self._settings = canvas, networks, settings
        tiles = plan_tiles(canvas, settings.tile_px, settings.tile_overlap_px)
        row, column = next(iter(tiles))
        self._tile_px = len(row.weight) * len(column.weight) * canvas.stride_px**2
        self._tile = canvas.padded_frames * self._tile_px * PIXEL_BYTES
        self.latent = networks.channels * math.prod(canvas.latent_shape) * FLOAT_BYTES
        self.clip = canvas.frames * math.prod(canvas.source) * PIXEL_BYTES
        self.result = canvas.frames * math.prod(canvas.target) * PIXEL_BYTES
        self.tiles = len(tiles) * self._tile

    @property
    def encoding(self) -> int:
        """A tile of the upsampled input while it is encoded."""
        return ENCODED_TILE * self._tile + self._vae(VAE_ENCODING)

    @property
    def decoding(self) -> int:
        """A tile that is decoded; the last one is among those that are kept."""
        return DECODED_TILE * self._tile + self._vae(VAE_DECODING)

    @property
    def refining(self) -> int:
        """The refined frames, those of the chunk at work, and its tile; nothing without a refiner."""
        refiner, frames = self._networks.refiner, self._canvas.frames
        if refiner is None or self._settings.refine_strength == 0:
            return 0
        length = min(frames, CHUNK_FRAMES + 2 * refiner.reach_frames)
        flows = length * math.prod(self._canvas.source) * 4 * FLOAT_BYTES
        return (
            self.result + self.result * length // frames + flows + working_bytes(refiner, frames, self._canvas.target)
        )

    @property
    def restoring(self) -> int:
        """The restorer's tile at work, and the flow of the whole clip both ways."""
        if self._settings.base_layer != RESTORER:
            return 0
        flows = self._canvas.frames * math.prod(self._canvas.source) * 4 * FLOAT_BYTES
        return flows + restoring_bytes(self._canvas.frames, self._canvas.source)

    @property
    def handing_on(self) -> int:
        """The restorer at work, the windows that wait to be encoded, and the next chunk, which is read."""
        ahead = self._canvas.frames * math.prod(self._canvas.source) * AHEAD_BYTES
        share = min(1.0, HANDED_ON_WINDOWS * WINDOW_FRAMES / self._canvas.frames)
        return ahead + self.restoring + round(share * self.result)

    @property
    def projecting(self) -> int:
        """The projected frames, and those that are worked on at a time."""
        if self._settings.fidelity_rounds == 0 or self._settings.fidelity_strength == 0:
            return 0
        one = math.prod(self._canvas.target) * PIXEL_BYTES
        together = min(self.result, max(one, PIXELS_PER_BATCH * PIXEL_BYTES))
        return self.result + PROJECTION_COPIES * together

    def _vae(self, copies: int) -> int:
        """The features of a VAE, which works on the frames of one latent frame at a time."""
        if not self._networks.has_vae:
            return 0
        frames = self._canvas.stride_frames
        return copies * self._tile_px * frames * VAE_WIDTH * self._networks.item_bytes
