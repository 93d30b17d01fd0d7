"""A node pack without nodes, for tests: core's own loaders find small random files under the names of published ones.

Core reads most widths from the file; those that it takes for granted are narrowed here, before anything is loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.ldm.lightricks.vae.causal_video_autoencoder as lightricks
import comfy.ldm.seedvr.vae as seedvr
import comfy.ldm.wan.vae2_2 as wan22
import comfy.model_detection as detection
import comfy.ops
import comfy.sd
import comfy.supported_models as supported
import folder_paths
import torch
from comfy.text_encoders import t5
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from small_bases import BASES, SmallBase, fill

NODE_CLASS_MAPPINGS: dict[str, type] = {}
TEXT = 8
"""Features of a token."""
POOLED = 32
UNET = "small_unet"
"""Under which a file's metadata holds the sizes of its diffusion model."""
T5 = {"d_model": TEXT, "d_kv": TEXT, "num_heads": 1}
"""The 24 layers and their inner width stay: by them core recognises the encoder."""
CLIP = {"hidden_size": POOLED, "intermediate_size": POOLED, "num_attention_heads": 1, "num_hidden_layers": 2}
LTX_VAE = {
    "dims": 3, "in_channels": 3, "out_channels": 3, "latent_channels": 128, "norm_layer": "pixel_norm",
    "patch_size": 4, "latent_log_var": "uniform", "encoder_base_channels": 16, "decoder_base_channels": 16,
    "blocks": [["res_x", 1], ["compress_all", 1], ["compress_all", 1], ["compress_all", 1], ["res_x", 1]],
}  # fmt: skip
VAE_WIDTH = 32
Weights = dict[str, torch.Tensor]


def narrow_core() -> None:
    """Sizes that core knows by heart: those of SeedVR2, of text encoders and of VAEs."""
    detect = detection.detect_unet_config

    def by_metadata(weights: Weights, prefix: str, metadata: dict[str, str] | None = None) -> Any:
        sizes = (metadata or {}).get(UNET)
        return json.loads(sizes) if sizes else detect(weights, prefix, metadata=metadata)

    detection.detect_unet_config = by_metadata
    _with_sizes(t5.T5, T5)
    _with_sizes(comfy.clip_model.CLIPTextModel, CLIP)
    seedvr.BYTEDANCE_BLOCK_OUT_CHANNELS = (VAE_WIDTH,) * 4
    wan22.WanVAE = _narrow(wan22.WanVAE, dim=VAE_WIDTH // 2, dec_dim=VAE_WIDTH // 2)
    image_vae = comfy.sd.AutoencodingEngine
    comfy.sd.AutoencodingEngine = lambda **configs: image_vae(
        **{name: {**config, "params": {**config["params"], "ch": VAE_WIDTH}} if "params" in config else config
           for name, config in configs.items()}
    )  # fmt: skip


def _with_sizes(encoder: type, sizes: dict[str, int]) -> None:
    begin = encoder.__init__

    @wraps(begin)
    def narrowed(self: Any, config: dict[str, Any], *others: Any) -> None:
        begin(self, {**config, **sizes}, *others)

    encoder.__init__ = narrowed


def _narrow(network: type, **sizes: int) -> Callable[..., Any]:
    return lambda **config: network(**{**config, **sizes})


def unet(base: SmallBase, **sizes: Any) -> tuple[Weights, dict[str, str]]:
    """(weights, metadata) of a file with a diffusion model."""
    base = replace(base, unet={**base.unet, **sizes})
    return base.load().model.diffusion_model.state_dict(), {UNET: json.dumps(base.unet)}


def text_encoder(kind: str) -> Weights:
    """T5 or UMT5 without its tokenizer."""
    folder = Path(t5.__file__).parent
    config = json.loads((folder / f"{kind}_config_xxl.json").read_text())
    return fill(t5.T5(config, torch.float16, "cpu", comfy.ops.disable_weight_init)).state_dict()


def clip_text_encoder() -> Weights:
    config = json.loads(Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json").read_text())
    network = comfy.clip_model.CLIPTextModel(config, torch.float16, "cpu", comfy.ops.disable_weight_init)
    return fill(network).state_dict()


def image_vae() -> Weights:
    """That of Flux."""
    sizes = {"double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": VAE_WIDTH,
             "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}  # fmt: skip
    modules = "comfy.ldm.modules.diffusionmodules.model"
    network = comfy.sd.AutoencodingEngine(
        regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
        encoder_config={"target": f"{modules}.Encoder", "params": sizes},
        decoder_config={"target": f"{modules}.Decoder", "params": sizes},
    )
    return fill(network).state_dict()


def ltx_vae() -> Weights:
    network = fill(lightricks.VideoVAE(config=LTX_VAE))
    network.per_channel_statistics.get_buffer("std-of-means").fill_(1)
    return network.state_dict()


def write(name: str, weights: Weights, metadata: dict[str, str] | None = None) -> None:
    """A file under the folder of models, by its name from there."""
    path = Path(folder_paths.models_dir) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.clone().contiguous() for key, tensor in weights.items()}, str(path), metadata=metadata)


def under(prefix: str, weights: Weights) -> Weights:
    return {prefix + key: tensor for key, tensor in weights.items()}


def write_files() -> None:
    """All that the examples with other bases name."""
    write("diffusion_models/seedvr2_3b_fp8_e4m3fn.safetensors", *unet(BASES["seedvr2"]))
    write("vae/seedvr2_ema_vae_fp16.safetensors", fill(seedvr.VideoAutoencoderKLWrapper()).state_dict())

    write("diffusion_models/wan2.2_ti2v_5B_fp16.safetensors", *unet(BASES["wan22_5b"], text_dim=TEXT))
    sizes = {"z_dim": 48, "dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]}
    write("vae/wan2.2_vae.safetensors", fill(wan22.WanVAE(**sizes)).state_dict())
    pieces = (Path(t5.__file__).parent / "t5_pile_tokenizer" / "tokenizer.model").read_bytes()
    tokenizer = {"spiece_model": torch.frombuffer(bytearray(pieces), dtype=torch.uint8)}
    write("text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors", {**text_encoder("umt5"), **tokenizer})

    weights, metadata = unet(BASES["ltx"], caption_channels=TEXT)
    whole = {**under("model.diffusion_model.", weights), **under("vae.", ltx_vae())}
    write("checkpoints/ltx-video-2b-v0.9.safetensors", whole, {**metadata, "config": json.dumps({"vae": LTX_VAE})})
    write("text_encoders/t5xxl_fp16.safetensors", text_encoder("t5"))

    schnell = replace(BASES["flux"], config=supported.FluxSchnell)
    weights, metadata = unet(schnell, guidance_embed=False, context_in_dim=TEXT, vec_in_dim=POOLED)
    encoders = {"t5xxl": text_encoder("t5"), "clip_l": clip_text_encoder()}
    whole = {**under("model.diffusion_model.", weights), **under("vae.", image_vae())}
    for name, encoder in encoders.items():
        whole |= under(f"text_encoders.{name}.transformer.", encoder)
    write("checkpoints/flux1-schnell-fp8.safetensors", whole, metadata)


narrow_core()
write_files()
