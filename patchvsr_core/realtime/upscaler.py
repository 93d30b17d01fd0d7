"""Both real-time networks as one thing that upscales streams: clips, pieces of clips, chunks of files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import MediaError, ModelError
from ..files import explain_read_errors, sha256
from ..optical_flow.estimators import dis
from ..optical_flow.flow import ClipFlows
from ..plan.chunks import ChunkState
from ..progress import OnDone, OnProgress
from ..resample import resize
from ..weights import shipped
from .dap import DAP, SCALE, DAPState, load_dap
from .dap import FORMAT as DAP_FORMAT
from .gbuffers import RenderPasses, check_surfaces, make_gbuffers
from .optimize import prepare
from .rdg import RDG, load_rdg

SHIPPED = {"dap": "dap_small.safetensors", "rdg": "rdg_small.safetensors"}
"""Networks that come with PatchVSR, by name."""

State = dict[str, Tensor]
"""What is remembered of the frame before, by name; nothing at the beginning of a shot."""


def load_fast(
    name_or_path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> FastUpscaler:
    """A real-time network, ready to work.

    Args:
        name_or_path: ``dap`` or ``rdg``, which ship; or a file of either, also of RDG's published weights.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    path = network_path(name_or_path)
    network = prepare(load_network(path), device=device, dtype=dtype)
    return FastUpscaler(network, device=device, dtype=dtype, identity=sha256(path))


def network_path(name_or_path: str | Path) -> Path:
    """Where the file of a network is, by its name or as it was said."""
    name = str(name_or_path)
    return shipped(SHIPPED[name]) if name in SHIPPED else Path(name_or_path)


def load_network(path: Path) -> DAP | RDG:
    """The network in a file, told apart by what is in it.

    Raises:
        ModelError: when it is neither.
    """
    if not path.is_file():
        raise ModelError(f"There is no file of a real-time network at {path}; choose dap, rdg, or such a file.")
    if path.suffix != ".safetensors":
        return load_rdg(path)
    with explain_read_errors(path), safe_open(str(path), framework="pt") as file:
        written, names = (file.metadata() or {}).get("format"), set(file.keys())
    if written == DAP_FORMAT:
        return load_dap(path)
    if "first_conv.weight" in names:
        return load_rdg(path)
    raise ModelError(f"{path.name} holds neither a DAP nor an RDG network; choose one made by PatchVSR's trainer.")


class FastUpscaler:
    """Upscales frame by frame; only the frame at work is where the network is.

    Args:
        network: on ``device`` when it is to work, and of ``dtype``.
        device, dtype: where and how it computes.
        identity: tells its weights from others.
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
    ) -> Tensor:
        """Upscale a clip, or the next piece of one.

        Args:
            frames: (T, h, w, 3) in [0, 1], on any device; not changed.
            size: (height, width) of the result; None: four times the input's. Another one is resampled from that.
            passes: what RDG need not estimate; DAP does not look at them. In a piece that goes on the motion begins
                with the frame before the piece, so that it is that of T + 1 frames.
            cuts: first frames of new shots, before which everything is forgotten.
            state: what the piece before left, which becomes what this one leaves; empty at the beginning. None: a clip
                of its own.
            on_frame: told (frames done, frames in all).

        Returns:
            (T, *size, 3) float32 in [0, 1] where ``frames`` are.

        Raises:
            MediaError: when a pass is not that of the frames.
        """
        count, height, width, _ = frames.shape
        size = size or (SCALE * height, SCALE * width)
        memory = {name: values.to(self.device) for name, values in (state or {}).items()}
        if self.name == "rdg":
            check_surfaces(frames, passes)
            _check_motion(frames, passes.flows, continues=bool(memory))
        result = torch.empty(count, *size, 3, device=frames.device)
        for index in range(count):
            if index in cuts:
                memory = {}
            image = frames[index : index + 1, ..., :3].to(self.device, torch.float32)
            upsampled, memory = self._step(image, passes, index - count, memory)
            result[index] = resize(upsampled.float().clamp(0, 1).movedim(1, -1), size)[0].clamp(0, 1)
            if on_frame is not None:
                on_frame(index + 1, count)
        if state is not None:
            state.clear()
            state.update(memory)
        return result

    def working_bytes(self, size: tuple[int, int]) -> int:
        """Memory that a frame of (height, width) takes while it is upscaled: the features alive at once."""
        if isinstance(self.network, DAP):
            config = self.network.config
            values = config.points * (2 * config.channels + config.keys) + 3 * config.channels
        else:
            values = 20 * self.network.channels
        picture = 3 * SCALE**2 * (self.dtype.itemsize + torch.float32.itemsize)
        return size[0] * size[1] * (values * self.dtype.itemsize + picture)

    def _step(self, image: Tensor, passes: RenderPasses, index: int, memory: State) -> tuple[Tensor, State]:
        """One (1, h, w, 3) frame; ``index`` counts from the end of the piece, as passes may begin before it."""
        if isinstance(self.network, DAP):
            levels = range(self.network.config.levels)
            before = None
            if memory:
                before = DAPState(tuple(memory[f"features {level}"] for level in levels), memory["hidden"])
            result, after = self.network.step(image.movedim(-1, 1), before)
            return result, {"hidden": after.hidden} | {f"features {k}": x for k, x in enumerate(after.features)}
        buffers = make_gbuffers(image, _of_frame(passes, index))
        if memory:
            buffers["Motion"] = _motion(image, memory["frame"], passes.flows, index)[None].to(self.device)
        guides = {name: values[0] for name, values in buffers.items()}
        result, kept = self.network.step(guides, [memory[f"level {k}"] for k in range(3)] if memory else None)
        return result, {"frame": image} | {f"level {k}": x for k, x in enumerate(kept)}


def upscale_chunk(
    frames: Tensor,
    target: tuple[int, int],
    upscaler: FastUpscaler,
    settings: None,
    report: OnProgress,
    *,
    noise: Any,
    chunk_state: ChunkState,
) -> Tensor:
    """Upscale a chunk of a file, see :mod:`run.video_job`; what is remembered makes it go on where the last ended.

    Args:
        settings, noise: there are no choices and no chance.

    Returns:
        (T, *target, 3) float32 in [0, 1].
    """
    chunk_state.after = dict(chunk_state.before or {})
    return upscaler.upscale(
        frames, target, state=chunk_state.after, on_frame=lambda done, total: report("upscale", done, total)
    )


def _check_motion(frames: Tensor, flows: ClipFlows | None, *, continues: bool) -> None:
    if flows is None:
        return
    count, height, width, _ = frames.shape
    if (flows.frames, *flows.size) != (count + continues, height, width):
        raise MediaError(
            f"The motion is that of {flows.frames} frames of {flows.size[1]}x{flows.size[0]}, and that of "
            f"{count + continues} of {width}x{height} is needed; give the motion of this very clip."
        )


def _of_frame(passes: RenderPasses, index: int) -> RenderPasses:
    """All but the motion, of one frame."""
    surfaces = (passes.depth, passes.normal, passes.albedo)
    return RenderPasses(None, *(None if values is None else values[[index]] for values in surfaces))


def _motion(image: Tensor, before: Tensor, flows: ClipFlows | None, index: int) -> Tensor:
    """(1, 2, h, w) from a frame to the one before, given or measured."""
    if flows is None:
        return dis()(image.movedim(-1, 1), before.movedim(-1, 1))
    return flows.to_previous[[index]]
