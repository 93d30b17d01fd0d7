"""Reads bases and VAEs for the headless host, from diffusers folders or single files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from torch import Tensor, nn

from ...errors import ModelError
from ...errors.finite import mark_source
from ...files import MOST_CHANNELS, MOST_LAYERS, check_weights, read_header, read_tensors
from ...vae.codec import WanVAE
from ..wan import HEAD_DIM, Shapes, transformer_sizes
from .denoiser import Base, restore_positions

State = dict[str, torch.Tensor]
PREDICTIONS = ("velocity", "residual")
MOST_START_NOISE = 1000.0
MOST_TOKENS = 4096
"""Of a prompt; Wan's own have 512."""
PREFIXES = ("model.diffusion_model.", "diffusion_model.")


def load_base(path: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Load a Wan text-to-video transformer.

    Args:
        path: a diffusers folder (or its ``transformer`` folder), or one safetensors file in
            Wan's original layout, as ComfyUI uses it.

    Raises:
        ModelError: in one sentence, why it cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        folder = path / "transformer" if (path / "transformer").is_dir() else path
        if (path / "transformer_2").is_dir():
            raise ModelError(
                f"{path} holds two experts: name {path / 'transformer_2'} to enhance detail (low noise), "
                f"or {folder} to start from noise."
            )
        transformer = _from_folder(WanTransformer3DModel, folder, dtype)
        return Base(_ready(transformer, device))
    shapes, metadata = _header(path)
    config = _transformer_config(path, shapes)
    prediction, start_noise = _reading_of(path, metadata)
    state = _converted(path, convert_wan_transformer_to_diffusers)
    transformer = _filled(WanTransformer3DModel, config, state, path, dtype)
    return Base(_ready(transformer, device), prediction=prediction, start_noise=start_noise)


def _reading_of(path: Path, metadata: dict[str, str]) -> tuple[str, float | None]:
    """What a base predicts, and the noise that it starts with; see :class:`denoiser.Base`."""
    prediction, written = metadata.get("prediction", PREDICTIONS[0]), metadata.get("start_noise")
    try:
        start_noise = None if written is None else float(written)
    except ValueError:
        start_noise = math.nan
    if prediction not in PREDICTIONS or not (start_noise is None or 0 <= start_noise <= MOST_START_NOISE):
        raise ModelError(
            f"The metadata of {path.name} cannot be used (prediction {prediction[:20]!r}, start_noise "
            f"{str(written)[:20]!r}); get the file again."
        )
    return prediction, start_noise


def load_vae(path: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> WanVAE:
    """Load Wan's VAE from a diffusers folder (or its ``vae`` folder) or one safetensors file.

    Raises:
        ModelError: in one sentence, why it cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        folder = path / "vae" if (path / "vae").is_dir() else path
        vae = _from_folder(AutoencoderKLWan, folder, dtype)
    else:
        shapes, _ = _header(path)
        state = _converted(path, convert_wan_vae_to_diffusers)
        vae = _filled(AutoencoderKLWan, _vae_config(path, shapes), state, path, dtype)
    return WanVAE(_channels_last(_ready(vae, device)))


def _channels_last(vae: Any) -> Any:
    """Kernels lie in memory as convolutions read them fastest; a tenth of the time even on a CPU."""
    layouts = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
    for module in vae.modules():
        for kind, layout in layouts.items():
            if isinstance(module, kind):
                module.weight.data = module.weight.data.contiguous(memory_format=layout)
    return vae


def _ready(model: Any, device: str) -> Any:
    return model.to(device).requires_grad_(False).eval()


def _from_folder(model: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers folder, whole or in shards."""
    files = sorted(folder.glob("*.safetensors"))
    config = _folder_config(folder)
    if not files or config.get("_class_name") != model.__name__:
        raise ModelError(
            f"{folder} is no diffusers folder of a {model.__name__}; one has safetensors files and a config.json "
            "that names it."
        )
    with _one_sentence(folder):
        state = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    return _filled(model, config, state, folder, dtype)


def _converted(path: Path, convert: Callable[[State], State]) -> State:
    """The tensors of a file in the original layout, under diffusers' names (its own converter's)."""
    with _one_sentence(path):
        state = read_tensors(path)
        for prefix in PREFIXES:
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        return convert(state)


def _filled(model: Any, config: dict[str, Any], state: State, source: Path, dtype: torch.dtype) -> Any:
    """A model that holds these very tensors.

    ``from_pretrained`` and ``from_single_file`` are no use here: for Wan the one insists on accelerate, and without
    accelerate the other leaves what a file lacks at random. No weight is allocated before its tensor is there.
    """
    with _one_sentence(source):
        _check_sizes(config)
        with torch.device("meta"):
            loaded = model.from_config(config)
        result = loaded.load_state_dict(state, strict=False, assign=True)
    wrong = [*result.missing_keys, *result.unexpected_keys]
    if wrong:
        raise ModelError(
            f"{source} does not load as a Wan model: {len(wrong)} tensors are missing or unknown, "
            f"such as {wrong[0]!r}; download it again."
        )
    if isinstance(loaded, WanTransformer3DModel):
        restore_positions(loaded)
    return mark_source(_in_precision(loaded, dtype), source)


def _check_sizes(config: dict[str, Any]) -> None:
    """Raise before anything is built from numbers that no model has.

    Raises:
        ValueError: naming the number.
    """
    for name, value in config.items():
        most = MOST_LAYERS if "layers" in name or "blocks" in name else MOST_CHANNELS
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)) and not -most <= number <= most:
                raise ValueError(f"{name} is {number}")


def _folder_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _in_precision(model: Any, dtype: torch.dtype) -> Any:
    """All in ``dtype`` but what diffusers keeps in float32 for its accuracy."""
    kept = set(model._keep_in_fp32_modules or ())
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if kept & set(name.split(".")) else dtype)
    return model


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes diffusers raise, as one sentence."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # a file from a stranger may make diffusers raise anything
        reason = (str(error).partition("\n")[0] or type(error).__name__)[:160]
        raise ModelError(f"{path} does not load as a Wan model ({reason}); download it again.") from error


def _header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes by name (without a checkpoint's prefix) and metadata, without reading the weights."""
    if not path.is_file():
        raise ModelError(f"There is no model file at {path}; check the path.")
    try:
        header = read_header(path)
    except ModelError as error:
        raise ModelError(
            f"{path.name} is no readable safetensors file ({error.__cause__}); download it again."
        ) from error
    shapes = header.shapes
    for prefix in PREFIXES:
        shapes = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return shapes, header.metadata


def _transformer_config(path: Path, shapes: Shapes) -> dict[str, Any]:
    """The diffusers configuration that a checkpoint's shapes imply."""
    try:
        sizes = transformer_sizes(shapes)
    except KeyError as error:
        raise ModelError(
            f"{path.name} has no tensor {error.args[0]!r}, so it is no Wan video model in the original layout; "
            "choose a Wan 2.1 or 2.2 text-to-video file, or a diffusers folder."
        ) from error
    except (ValueError, IndexError) as error:
        raise ModelError(f"The tensors of {path.name} are not those of a Wan video model; get it again.") from error
    if "img_emb.proj.0.weight" in shapes or sizes.channels != sizes.out_channels:
        raise ModelError(
            f"{path.name} is a Wan with extra input channels (image-to-video, Fun, VACE); PatchVSR needs text-to-video."
        )
    return {
        "_class_name": "WanTransformer3DModel",
        "num_attention_heads": sizes.heads,
        "attention_head_dim": HEAD_DIM,
        "in_channels": sizes.channels,
        "out_channels": sizes.out_channels,
        "text_dim": sizes.text_dim,
        "freq_dim": sizes.frequencies,
        "ffn_dim": sizes.ffn,
        "num_layers": sizes.layers,
    }


def _vae_config(path: Path, shapes: Shapes) -> dict[str, Any]:
    if "encoder.conv1.weight" not in shapes or "conv2.weight" not in shapes:
        raise ModelError(f"{path.name} is no Wan VAE in the original layout; choose wan_2.1_vae.safetensors.")
    if not shapes["encoder.conv1.weight"] or not shapes["conv2.weight"]:
        raise ModelError(f"The tensors of {path.name} are not those of a Wan VAE; get it again.")
    latent_channels = shapes["conv2.weight"][0]
    if latent_channels != 16:
        raise ModelError(
            f"{path.name} has {latent_channels} latent channels; PatchVSR supports the VAE of Wan 2.1, which has 16."
        )
    return {"_class_name": "AutoencoderKLWan", "base_dim": shapes["encoder.conv1.weight"][0], "z_dim": 16}


def load_prompt(path: str | Path, text_dim: int) -> Tensor:
    """A prompt that a text encoder embedded: (1, tokens, text_dim) float32.

    Args:
        path: safetensors file with one tensor, (1, tokens, text_dim) or (tokens, text_dim).

    Raises:
        ModelError: when the file cannot be read, or was made with the encoder of another base.
    """
    path = Path(path)
    try:
        tensors = read_tensors(path)
        check_weights(tensors)
        prompt = next(iter(tensors.values())).float()
    except (ModelError, ValueError, StopIteration) as error:
        raise ModelError(
            f"{path} is no readable safetensors file with the embedding of a prompt ({error}); make it again."
        ) from error
    prompt = prompt[None] if prompt.ndim == 2 else prompt
    if prompt.ndim != 3 or len(prompt) != 1 or not 0 < prompt.shape[1] <= MOST_TOKENS:
        raise ModelError(
            f"The prompt in {path.name} has the shape {tuple(prompt.shape)} instead of (tokens, channels), with at "
            f"most {MOST_TOKENS} tokens; encode one prompt."
        )
    if prompt.shape[-1] != text_dim:
        raise ModelError(
            f"The prompt in {path.name} has {prompt.shape[-1]} channels, the base's text {text_dim}; "
            "encode it with the base's own text encoder."
        )
    return prompt.contiguous()
