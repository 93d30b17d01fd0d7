"""Training settings, read from a small TOML file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from ..adapter import AdapterConfig, BaseSpec
from ..errors import PatchVSRError
from ..finish.refine import RefinerConfig
from ..realtime.dap import DAPConfig
from ..restorer import RestorerConfig
from ..settings import WAN
from ..vae.conditional_decoder import ConditionalDecoderConfig
from .frequency import BANDS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib


@dataclass(frozen=True)
class DataConfig:
    """What a batch is made of."""

    tokens: int = 1024
    """Tokens per step (16 x 16 pixels of one frame each); as many crops as fit make a batch."""
    crop_px: tuple[int, ...] = (128, 128, 192, 256)
    """Sides of a crop to draw from, one per step; up to the size of a patch."""
    frames: tuple[int, ...] = (2, 2, 4, 1, 8)
    """Clip lengths to draw from, one per step."""
    scales: tuple[int, ...] = (4, 4, 2, 3)
    """Scale factors to draw from, one per step."""
    photographs: float = 0.5
    """Share of clips that are photographs set in motion."""
    most_view_px: int = 720
    """Longest side of the clip that a crop is cut from."""
    variants: int = 1
    """Inputs that ``precompute`` makes of every clip, each degraded in its own way."""
    batch: int = 1
    """Precomputed samples in a batch."""
    occluders: float = 0.0
    """Share of moving photographs in front of which something passes."""
    line_work: float = 0.0
    """Share of photographs over which bars, grids, wires or letters are drawn; see :mod:`line_work`."""
    graphics: float = 0.0
    """Share of photographs in whose place there are titles and drawings; see :func:`line_work.draw_graphic`."""
    recoloured: float = 0.0
    """Share of clips whose colour channels change places: colours of all kinds, of which footage has few."""
    degraded: float = 0.0
    """Share of clips whose input is blurred, noisy or compressed."""
    compressed: float = 0.0
    """Share of these that H.264 alone degrades; see :func:`degrade.draw_degradation`."""
    noisy: float = 0.0
    """Share of the others of these that noise alone degrades."""
    second_order: float = 0.0
    """Share of these that are degraded twice over, as Real-ESRGAN does; see :mod:`second_order`."""
    kept_px: int = 256
    """Side of the clips that ``precompute`` keeps for a real-time network."""
    renders: float = 0.0
    """Share of them that are rendered, with photographs as textures."""
    light_noise: float = 0.0
    """Largest relative noise in the light of a render, see :func:`renders.light_noise`; the smallest is none."""
    noise_free: float = 0.0
    """Share of renders whose light has no noise at all."""
    grain: float = 0.0
    """Share of surfaces in renders with fine grain on them, which a network could take for noise."""
    leave_out: tuple[str, ...] = ()
    """Patterns of names of files that are not trained on."""

    def select_files(self, files: Sequence[Path]) -> list[Path]:
        """Those that are not left out."""
        return [path for path in files if not any(path.match(pattern) for pattern in self.leave_out)]


@dataclass(frozen=True)
class Objective:
    """Noise levels and loss weights."""

    start_noise: float = 0.1
    """Largest noise in the far end of the bridge; most draws are small. Pixels lie in [-1, 1]."""
    condition_noise: float = 0.1
    """Largest noise augmentation of the patch condition."""
    full_bridge: float = 0.75
    """Share of steps at the far end, sigma = 1."""
    base_weight: float = 0.5
    """Weight of the loss on the base's own output, before the refiner."""
    charbonnier_eps: float = 1e-3
    """Error of a real-time network below which its loss turns from absolute to squared; pixels lie in [0, 1]."""
    spectrum_weight: float = 0.05
    motion_weight: float = 0.5
    detail_weight: float = 0.006
    """Of the loss that makes a result as crisp as the truth, at detail = 1."""
    frequency_weight: float = 0.0
    """Of STAR's dynamic frequency loss on the base's frames; it only counts before the far end of the bridge."""
    adversarial_weight: float = 0.0
    """Of the adversarial loss on a refiner trained alone (at detail = 1) or a conditional decoder; 0: none."""
    align_weight: float = 0.0
    """Of the difference between a frame and what DAP's offsets fetch from the one before: without it they hardly learn
    where things went."""
    change_weight: float = 0.0
    """Of the squared error of what changes from frame to frame (RDG's loss), on a real-time network."""
    perceptual_weight: float = 0.0
    """Of LPIPS (VGG-16) between the frames of a restorer or a conditional decoder and the truth, beside the error of
    their pixels; 0: none."""
    compressed_perceptual_weight: float = 0.0
    """What is added to that for a restorer's clip that was compressed and nothing else."""
    detailed: float = 0.4
    """Share of steps that train the refiner for detail above 0."""


@dataclass(frozen=True)
class FlowObjective:
    """What the adapter of a frozen base learns from."""

    shift: float = WAN.shift
    """Moves the logit-normal noise levels towards noise; as the schedule of a run does."""
    condition_noise: tuple[float, float] = (0.2, 0.3)
    """Range of the noise augmentation of the patch condition: PatchVSR's, in the middle of which a run is."""
    null_prompt: float = 0.1
    """Share of steps without a prompt, for classifier-free guidance."""
    frequency_weight: float = 0.0
    """Of STAR's dynamic frequency loss, on latents; 0.01 is STAR's, 0 leaves it out."""
    frequency_bands: str = "radial"
    """``radial``, as in STAR's paper, or ``star_release``, the masks of its published code."""

    def __post_init__(self) -> None:
        if self.frequency_bands not in BANDS:
            raise PatchVSRError(
                f"There are no frequency bands {self.frequency_bands!r}; choose from {', '.join(BANDS)}."
            )


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on."""

    base: BaseSpec
    adapter: dict[str, Any]
    task: str = "tiny"
    """What is trained: the name of a task, see :mod:`registry`."""
    refiner: RefinerConfig = field(default=RefinerConfig())
    data: DataConfig = field(default=DataConfig())
    objective: Objective = field(default=Objective())
    flow: FlowObjective | None = None
    """Of the task ``adapter``: an adapter for a frozen base, on latents."""
    decoder: ConditionalDecoderConfig | None = None
    """Of the task ``decoder``: a conditional decoder for a frozen VAE, on pixels."""
    restorer: RestorerConfig | None = None
    """Of the task ``restorer``: a restorer, on packed footage."""
    dap: DAPConfig | None = None
    """Of the task ``dap``: a DAP, on packed footage."""
    rdg_channels: int = 0
    """Of the task ``rdg``: an RDG of this width, on kept clips; its motion is in cells of every size, and what it
    makes is added to bicubic."""
    guided: float = 0.75
    """Share of renders that an RDG sees with their G-buffers; of the others, and of footage, they are estimated."""
    partly_guided: float = 0.0
    """Share of renders that it sees with some of them: each is missing in half of these."""
    steps: int = 10000
    muon: bool = False
    """Kernels and matrices learn by orthogonalised steps, see :class:`muon.Muon`; False: AdamW throughout."""
    refiner_from: float = 0.5
    """Part of the steps after which the refiner joins; before, the base learns alone and fast."""
    frozen: tuple[str, ...] = ()
    """Parts of the tiny default that stay as they are: ``base``, ``adapter``, ``refiner``."""
    learning_rate: float = 5e-4
    head_rate: float = 0.1
    """Learning rate of the base's output layer, relative to the rest."""
    refiner_learning_rate: float = 6e-4
    warmup: int = 200
    ema: float = 0.999
    seed: int = 0
    accumulate: int = 1
    """Batches per step."""
    clip_gradients: float = 1.0
    checkpointing: bool = False
    """Compute the base's activations twice instead of keeping them."""
    save_every: int = 250
    validate_every: int = 500
    bfloat16: bool = True
    start_noise: float = 0.02
    """Noise in the start of a run with the trained model, stored in its file."""

    @property
    def joint(self) -> int:
        """The step at which the refiner joins."""
        return round(self.refiner_from * self.steps)

    @property
    def adapter_config(self) -> AdapterConfig:
        return AdapterConfig(self.base, **self.adapter)

    def section(self, name: str) -> Any:
        """A table of the configuration that the task cannot do without.

        Raises:
            PatchVSRError: when it is not there.
        """
        values = getattr(self, name)
        if values is None:
            raise PatchVSRError(f"Task {self.task!r} needs a table [{name}] in its configuration; add one.")
        return values


def load_config(path: str | Path) -> TrainConfig:
    """Read a configuration; names of shipped ones (``tiny``) need no path.

    One that begins with ``extends = "tiny"`` states only what differs.

    Raises:
        PatchVSRError: when there is no such file, or it is no TOML, lacks a key or has an unknown one.
    """
    path = _found(path)
    return _build(TrainConfig, _read(path), path.name)


def _found(path: str | Path) -> Path:
    shipped = Path(__file__).parent / "configs" / f"{path}.toml"
    path = shipped if shipped.is_file() else Path(path)
    if not path.is_file():
        raise PatchVSRError(
            f"There is no training configuration {path}; give a TOML file or a shipped name such as 'tiny'."
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    """The values of a file, over those of the one that it ``extends``."""
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PatchVSRError(f"{path.name} is no valid TOML ({error}).") from error
    values = _migrate(values)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    inherited = _read(_found(parent))
    tables = {name: {**inherited.get(name, {}), **table} for name, table in values.items() if isinstance(table, dict)}
    return {**inherited, **values, **tables}


_RENAMED = {
    "objective": {"critic_weight": "adversarial_weight"},
    "dap": {"places": "points"},
}
"""Keys of tables in earlier versions, and what they are now."""
_DROPPED = ("damage_weight", "degradation_weight")
"""Keys of tables in earlier versions that mean nothing now."""
_MARKS = {
    "restorer": "restorer",
    "dap": "dap",
    "rdg_channels": "rdg",
    "decoder": "decoder",
    "flow": "adapter",
    "refiner_alone": "refiner",
}
"""Keys that implied a task before there was ``task``; the first that is set counts."""
JOINT_TASK = "realtime"
"""That of DAP and RDG, in earlier versions."""


def _migrate(values: dict[str, Any]) -> dict[str, Any]:
    """The values of one file of any version as those of this one."""
    task = next((name for key, name in _MARKS.items() if values.get(key) or isinstance(values.get(key), dict)), None)
    values = {key: value for key, value in values.items() if key != "refiner_alone"}
    if task is not None and values.get("task", JOINT_TASK) == JOINT_TASK:
        values["task"] = task
    for table in _RENAMED.keys() & values.keys():
        kept = {key: value for key, value in values[table].items() if key not in _DROPPED}
        values[table] = {_RENAMED[table].get(key, key): value for key, value in kept.items()}
    return values


_NESTED = {
    "base": BaseSpec,
    "refiner": RefinerConfig,
    "data": DataConfig,
    "objective": Objective,
    "flow": FlowObjective,
    "decoder": ConditionalDecoderConfig,
    "dap": DAPConfig,
    "restorer": RestorerConfig,
}


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    known = {f.name for f in fields(kind)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise PatchVSRError(
            f"{where} sets {unknown[0]!r}, which {kind.__name__} does not have; it has {', '.join(sorted(known))}."
        )
    nested = {
        k: _build(_NESTED[k], v, where) if k in _NESTED and is_dataclass(_NESTED[k]) else v for k, v in values.items()
    }
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in nested.items()})
    except TypeError as error:
        raise PatchVSRError(f"{where} is incomplete: {error}.") from error
