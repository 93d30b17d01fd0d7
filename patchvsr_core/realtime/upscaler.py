"""One interface to both real-time networks, for clips, segments of clips and chunks of files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MediaError, ModelError, phrase
from ..errors.finite import all_finite, check_finite
from ..files import SAFETENSORS, read_header, sha256
from ..optical_flow.estimators import dis
from ..optical_flow.flow import ClipFlows
from ..plan.chunks import ChunkState
from ..plan.target_size import SCALE
from ..progress import OnDone, OnProgress
from ..resample import resize
from ..weights import shipped
from .dap import DAP, DAPState, load_dap
from .dap import FORMAT as DAP_FORMAT
from .gbuffers import RenderPasses, check_surfaces, make_gbuffers
from .grain import measure_light_noise, restore_grain
from .optimize import prepare
from .rdg import RDG, load_rdg

if TYPE_CHECKING:
    from .exr_passes import PassFiles

log = logging.getLogger("patchvsr")

SHIPPED = {"dap": "dap_small.safetensors", "rdg": "rdg_small.safetensors"}
"""Files of the shipped networks by name."""

KEPT_EXACTLY = ("frame", "noise")
"""Parts of a state that do not go through the network."""
State = dict[str, Tensor]
"""Recurrent state by name; empty at the beginning of a shot."""
LIVE_COPIES = 5
"""Of DAP's features that its residual network holds at once."""
SAMPLE_VALUES = 16
"""Indices and weights of one sample point, and what they are made from."""
RDG_COPIES = 20
"""Of RDG's features at full resolution that it holds at once."""


def load_fast(
    name_or_path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> FastUpscaler:
    """Load a real-time network for inference.

    Args:
        name_or_path: ``dap`` or ``rdg`` for the shipped ones, or a file, such as RDG's published weights.

    Raises:
        ModelError: when the file is missing, damaged or of another network.
    """
    path = network_path(name_or_path)
    network = prepare(load_network(path), device=device, dtype=dtype)
    return FastUpscaler(network, device=device, dtype=dtype, identity=sha256(path))


def network_path(name_or_path: str | Path) -> Path:
    """The file of a shipped network, or the given path."""
    name = str(name_or_path)
    return shipped(SHIPPED[name]) if name in SHIPPED else Path(name_or_path)


def load_network(path: Path) -> DAP | RDG:
    """Load a DAP or RDG network, detected from the contents of the file.

    Raises:
        ModelError: when it is neither.
    """
    if not path.is_file():
        raise ModelError(f"There is no real-time network at {path}; choose dap or rdg, or check the path.")
    if path.suffix.lower() not in SAFETENSORS:
        return load_rdg(path)
    header = read_header(path)
    if header.metadata.get("format") == DAP_FORMAT:
        return load_dap(path)
    if "first_conv.weight" in header.shapes:
        return load_rdg(path)
    raise ModelError(f"{path.name} is neither a DAP nor an RDG network; choose one made by PatchVSR's trainer.")


class FastUpscaler:
    """Upscales frame by frame; only the current frame is moved to the network's device.

    Args:
        network: on ``device`` when it is used, and of ``dtype``.
        device, dtype: of the computation.
        identity: identifies the weights, such as their SHA-256.
    """

    def __init__(
        self,
        network: DAP | RDG,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        identity: str = "",
    ) -> None:
        self.network, self.device, self.dtype, self.identity = network, torch.device(device), dtype, identity

    @property
    def name(self) -> str:
        """``dap`` or ``rdg``."""
        return "dap" if isinstance(self.network, DAP) else "rdg"

    @torch.inference_mode()
    def upscale(
        self,
        frames: Tensor,
        size: tuple[int, int] | None = None,
        passes: RenderPasses = RenderPasses(),
        *,
        cuts: Collection[int] = (),
        state: State | None = None,
        on_frame: OnDone | None = None,
        on_final: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Upscale a clip, or the next segment of one.

        Args:
            frames: (T, h, w, 3) in [0, 1], on any device; not changed.
            size: (height, width) of the result; None for 4 times the input. Other sizes are resampled from that.
            passes: for RDG, which estimates missing ones; ignored by DAP. In a segment that continues a shot the
                motion starts with the frame before the segment, so it has T + 1 frames.
            cuts: first frames of new shots, where the state is reset.
            state: left by the previous segment, and updated in place; empty at the beginning. None for a clip on
                its own.
            on_frame: called with (frames done, total frames).
            on_final: takes each frame of the result, which is then not returned.

        Returns:
            (T, *size, 3) float32 in [0, 1] on the device of ``frames``; (0, *size, 3) with ``on_final``.

        Raises:
            MediaError: when a pass does not have the shape of the frames.
        """
        count, height, width, _ = frames.shape
        report = on_frame or (lambda done, total: None)
        size = size or (SCALE * height, SCALE * width)
        memory = {name: values.to(self.device) for name, values in (state or {}).items()}
        if self.name == "rdg":
            _check_passes(frames, passes, continues=bool(memory))
        result = torch.empty(0 if on_final else count, *size, 3, device=frames.device)
        for index in range(count):
            image = frames[index : index + 1, ..., :3].to(self.device, torch.float32)
            upsampled, memory = self._checked_step(image, passes, index - count, {} if index in cuts else memory)
            made = resize(upsampled.float().clamp(0, 1).movedim(1, -1), size)[0].clamp(0, 1).to(frames.device)
            if on_final is None:
                result[index] = made
            else:
                on_final(made)
            report(index + 1, count)
        if state is not None:
            state.clear()
            state.update(memory)
        return result

    def working_bytes(self, size: tuple[int, int]) -> int:
        """Bytes needed to upscale a frame of (height, width): the live feature maps."""
        if isinstance(self.network, DAP):
            config = self.network.config
            attending = config.channels + config.points * (config.keys + SAMPLE_VALUES)
            values = 2 * config.features + max(LIVE_COPIES * config.channels, attending)
        else:
            values = RDG_COPIES * self.network.channels
        picture = 3 * SCALE**2 * (self.dtype.itemsize + torch.float32.itemsize)
        return size[0] * size[1] * (values * self.dtype.itemsize + picture)

    def _checked_step(self, image: Tensor, passes: RenderPasses, index: int, memory: State) -> tuple[Tensor, State]:
        """See :meth:`_step`; where half precision does not suffice, this and all further frames are made in single.

        Raises:
            ModelError: when the network returns NaN or Inf all the same.
        """
        result, after = self._step(image, passes, index, memory)
        if next(self.network.parameters()).dtype == torch.float16 and not all_finite(result, *after.values()):
            log.warning("%s needs more than half precision: continuing in single precision.", self.name.upper())
            self.network.float()
            self.dtype = torch.float32
            result, after = self._step(image, passes, index, memory)
        return check_finite(result, phrase(f"{self.name.upper()} network"), self.network), after

    def _step(self, image: Tensor, passes: RenderPasses, index: int, memory: State) -> tuple[Tensor, State]:
        """Upscale one (1, h, w, 3) frame; ``index`` counts from the end, as motion may start earlier."""
        dtype = next(self.network.parameters()).dtype
        memory = {name: values if name in KEPT_EXACTLY else values.to(dtype) for name, values in memory.items()}
        if isinstance(self.network, DAP):
            return _step_dap(self.network, image, memory)
        return _step_rdg(self.network, image, passes, index, memory)


def _step_dap(network: DAP, image: Tensor, memory: State) -> tuple[Tensor, State]:
    before = None
    if memory:
        levels = range(network.config.levels)
        before = DAPState(tuple(memory[f"features {level}"] for level in levels), memory["hidden"])
    result, after = network.step(image.movedim(-1, 1), before)
    return result, {"hidden": after.hidden} | {f"features {k}": x for k, x in enumerate(after.features)}


def _step_rdg(network: RDG, image: Tensor, passes: RenderPasses, index: int, memory: State) -> tuple[Tensor, State]:
    """With the passes of the frame; those that are missing are estimated."""
    buffers = make_gbuffers(image, _of_frame(passes, index), published=network.published)
    if memory:
        buffers["Motion"] = _motion(image, memory["frame"], passes.flows, index)[None].to(image.device)
    guides = {name: values[0] for name, values in buffers.items()}
    result, kept = network.step(guides, [memory[f"level {k}"] for k in range(3)] if memory else None)
    state = {"frame": image} | {f"level {k}": x for k, x in enumerate(kept)}
    if memory and passes.flows is not None and not network.published:
        state["noise"] = measure_light_noise(image, memory["frame"], guides["Motion"], memory.get("noise"))
        result = restore_grain(result, image, state["noise"])
    return result, state


def upscale_chunk(
    frames: Tensor,
    target: tuple[int, int],
    upscaler: FastUpscaler,
    settings: None,
    report: OnProgress,
    *,
    noise: Any,
    chunk_state: ChunkState,
    pass_files: PassFiles | None = None,
) -> Tensor:
    """Upscale a chunk of a file, see :mod:`run.video_job`; the recurrent state continues from the previous chunk.

    Args:
        settings, noise: unused; real-time networks have no settings and are deterministic.
        pass_files: render passes of the whole file.

    Returns:
        (T, *target, 3) float32 in [0, 1]; none where ``chunk_state.on_final`` takes them.
    """
    chunk_state.after = dict(chunk_state.before or {})
    passes = RenderPasses()
    if pass_files is not None:
        passes = pass_files.read(chunk_state.first, len(frames), continues=bool(chunk_state.after))
    return upscaler.upscale(
        frames,
        target,
        passes,
        state=chunk_state.after,
        on_frame=lambda done, total: report("upscale", done, total),
        on_final=chunk_state.on_final,
    )


def _check_passes(frames: Tensor, passes: RenderPasses, *, continues: bool) -> None:
    """Raise unless the passes have the shape of the clip; the motion that of one more frame where a shot continues.

    Raises:
        MediaError: naming the pass.
    """
    check_surfaces(frames, passes)
    flows = passes.flows
    if flows is None:
        return
    count, height, width, _ = frames.shape
    if (flows.frames, *flows.size) != (count + continues, height, width):
        raise MediaError(
            f"The motion has {flows.frames} frames of {flows.size[1]}x{flows.size[0]} but "
            f"{count + continues} of {width}x{height} are needed; give the motion of the same clip."
        )


def _of_frame(passes: RenderPasses, index: int) -> RenderPasses:
    """All passes of one frame but the motion."""
    surfaces = (passes.depth, passes.normal, passes.albedo)
    return RenderPasses(None, *(None if values is None else values[[index]] for values in surfaces))


def _motion(image: Tensor, before: Tensor, flows: ClipFlows | None, index: int) -> Tensor:
    """(1, 2, h, w) motion from a frame to the previous one, given or estimated."""
    if flows is None:
        return dis()(image.movedim(-1, 1), before.movedim(-1, 1))
    return flows.to_previous[[index]]
