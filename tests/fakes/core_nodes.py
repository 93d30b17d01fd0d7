"""``/object_info`` entries of ComfyUI's own nodes that the example workflows use, cut down to what matters here."""

from __future__ import annotations

from typing import Any

Sockets = dict[str, tuple[Any, dict[str, Any]]]
MAX_SEED = 2**64 - 1


def _entry(
    name: str,
    outputs: dict[str, str],
    required: Sockets,
    optional: Sockets | None = None,
    *,
    title: str | None = None,
    is_output: bool = False,
) -> dict[str, Any]:
    groups = {"required": required} | ({"optional": optional} if optional else {})
    return {
        "input": {group: {key: list(value) for key, value in sockets.items()} for group, sockets in groups.items()},
        "input_order": {group: list(sockets) for group, sockets in groups.items()},
        "is_input_list": False,
        "output": list(outputs.values()),
        "output_is_list": [False] * len(outputs),
        "output_name": list(outputs),
        "output_tooltips": [None] * len(outputs),
        "name": name,
        "display_name": title or name,
        "description": "",
        "python_module": "nodes",
        "category": "core",
        "output_node": is_output,
        "deprecated": False,
        "experimental": False,
    }


def _combo(*options: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "COMBO", {"options": list(options), "multiselect": False, **more}


def _choice(**branches: Sockets) -> tuple[str, dict[str, Any]]:
    """A combo whose choice brings inputs of its own."""
    options = [{"key": key, "inputs": {"required": inputs}} for key, inputs in branches.items()]
    return "COMFY_DYNAMICCOMBO_V3", {"options": options}


def _socket(io_type: str) -> tuple[str, dict[str, Any]]:
    return io_type, {}


def _number(io_type: str, default: float, low: float, high: float, **more: Any) -> tuple[str, dict[str, Any]]:
    return io_type, {"default": default, "min": low, "max": high, **more}


_CODECS = _choice(auto={}, h264={})

_ENTRIES = [
    _entry(
        "LoadVideo",
        {"VIDEO": "VIDEO"},
        {"file": _combo("patchvsr_sample.mp4", video_upload=True)},
        title="Load Video",
    ),
    _entry(
        "GetVideoComponents",
        {"images": "IMAGE", "audio": "AUDIO", "fps": "FLOAT", "bit_depth": "INT", "color_space": "COMBO"},
        {"video": _socket("VIDEO")},
        title="Get Video Components",
    ),
    _entry(
        "CreateVideo",
        {"VIDEO": "VIDEO"},
        {"images": _socket("IMAGE"), "fps": _number("FLOAT", 30.0, 1.0, 120.0, step=1.0)},
        {"audio": _socket("AUDIO"), "bit_depth": _number("INT", 8, 8, 10, step=2, display="number")},
        title="Create Video",
    ),
    _entry(
        "SaveVideo",
        {"video": "VIDEO"},
        {
            "video": _socket("VIDEO"),
            "filename_prefix": ("STRING", {"default": "video/ComfyUI", "multiline": False}),
            "format": _choice(auto={"codec": _CODECS}, mp4={"codec": _CODECS}),
        },
        {"codec": (_CODECS[0], {**_CODECS[1], "hidden": True})},
        title="Save Video",
        is_output=True,
    ),
    _entry(
        "ImageScale",
        {"IMAGE": "IMAGE"},
        {
            "image": _socket("IMAGE"),
            "upscale_method": (["nearest-exact", "bilinear", "area", "bicubic", "lanczos"], {}),
            "width": _number("INT", 512, 0, 16384, step=1),
            "height": _number("INT", 512, 0, 16384, step=1),
            "crop": (["disabled", "center"], {}),
        },
        title="Upscale Image",
    ),
    _entry(
        "ImageSharpen",
        {"IMAGE": "IMAGE"},
        {
            "image": _socket("IMAGE"),
            "sharpen_radius": _number("INT", 1, 1, 31, step=1, advanced=True),
            "sigma": _number("FLOAT", 1.0, 0.1, 10.0, step=0.01, advanced=True),
            "alpha": _number("FLOAT", 1.0, 0.0, 5.0, step=0.01, advanced=True),
        },
        title="Sharpen Image",
    ),
    _entry(
        "ImageFromBatch",
        {"IMAGE": "IMAGE"},
        {
            "image": _socket("IMAGE"),
            "batch_index": _number("INT", 0, -16384, 16384),
            "length": _number("INT", 1, 1, 4096),
        },
        title="Get Image from Batch",
    ),
    _entry(
        "SaveImage",
        {"images": "IMAGE"},
        {"images": _socket("IMAGE"), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
        title="Save Image",
        is_output=True,
    ),
    _entry("PreviewAny", {"STRING": "STRING"}, {"source": _socket("*")}, title="Preview as Text", is_output=True),
    _entry("PreviewImage", {"images": "IMAGE"}, {"images": _socket("IMAGE")}, title="Preview Image", is_output=True),
    _entry(
        "UNETLoader",
        {"MODEL": "MODEL"},
        {
            "unet_name": (
                [
                    "wan2.1_t2v_1.3B_fp16.safetensors",
                    "wan2.2_ti2v_5B_fp16.safetensors",
                    "seedvr2_3b_fp8_e4m3fn.safetensors",
                ],
                {},
            ),
            "weight_dtype": (["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"], {"advanced": True}),
        },
        title="Load Diffusion Model",
    ),
    _entry(
        "UpscaleModelLoader",
        {"UPSCALE_MODEL": "UPSCALE_MODEL"},
        {"model_name": ("COMBO", {"options": ["4x-ClearReality.safetensors"]})},
        title="Load Upscale Model",
    ),
    _entry(
        "VAELoader",
        {"VAE": "VAE"},
        {"vae_name": (["wan_2.1_vae.safetensors", "wan2.2_vae.safetensors", "seedvr2_ema_vae_fp16.safetensors"], {})},
        title="Load VAE",
    ),
    _entry(
        "CLIPLoader",
        {"CLIP": "CLIP"},
        {
            "clip_name": (["umt5_xxl_fp8_e4m3fn_scaled.safetensors", "t5xxl_fp16.safetensors"], {}),
            "type": (["stable_diffusion", "wan", "ltxv"], {}),
        },
        {"device": (["default", "cpu"], {"advanced": True})},
        title="Load CLIP",
    ),
    _entry(
        "CheckpointLoaderSimple",
        {"MODEL": "MODEL", "CLIP": "CLIP", "VAE": "VAE"},
        {"ckpt_name": (["flux1-schnell-fp8.safetensors", "ltx-video-2b-v0.9.safetensors"], {})},
        title="Load Checkpoint",
    ),
    _entry(
        "LoadImage",
        {"IMAGE": "IMAGE", "MASK": "MASK"},
        {"image": (["example.png"], {"image_upload": True})},
        title="Load Image",
    ),
    _entry(
        "LTXVConditioning",
        {"positive": "CONDITIONING", "negative": "CONDITIONING"},
        {
            "positive": _socket("CONDITIONING"),
            "negative": _socket("CONDITIONING"),
            "frame_rate": _number("FLOAT", 25.0, 0.0, 1000.0, step=0.01),
        },
    ),
    _entry(
        "SeedVR2Conditioning",
        {"positive": "CONDITIONING", "negative": "CONDITIONING"},
        {"model": _socket("MODEL"), "vae_conditioning": _socket("LATENT")},
        title="Apply SeedVR2 Conditioning",
    ),
    _entry(
        "CLIPTextEncode",
        {"CONDITIONING": "CONDITIONING"},
        {"text": ("STRING", {"multiline": True, "dynamicPrompts": True}), "clip": _socket("CLIP")},
        title="CLIP Text Encode (Prompt)",
    ),
    _entry(
        "ModelSamplingSD3",
        {"MODEL": "MODEL"},
        {"model": _socket("MODEL"), "shift": _number("FLOAT", 3.0, 0.0, 100.0, step=0.01)},
    ),
    _entry(
        "BasicGuider",
        {"GUIDER": "GUIDER"},
        {"model": _socket("MODEL"), "conditioning": _socket("CONDITIONING")},
        title="Basic Guider",
    ),
    _entry(
        "CFGGuider",
        {"GUIDER": "GUIDER"},
        {
            "model": _socket("MODEL"),
            "positive": _socket("CONDITIONING"),
            "negative": _socket("CONDITIONING"),
            "cfg": _number("FLOAT", 8.0, 0.0, 100.0, step=0.1, round=0.01),
        },
        title="CFG Guider",
    ),
    _entry(
        "RandomNoise",
        {"NOISE": "NOISE"},
        {"noise_seed": _number("INT", 0, 0, MAX_SEED, control_after_generate=True)},
    ),
    _entry("KSamplerSelect", {"SAMPLER": "SAMPLER"}, {"sampler_name": _combo("euler", "heun", "dpmpp_2m")}),
    _entry(
        "BasicScheduler",
        {"SIGMAS": "SIGMAS"},
        {
            "model": _socket("MODEL"),
            "scheduler": _combo("simple", "sgm_uniform", "normal"),
            "steps": _number("INT", 20, 1, 10000),
            "denoise": _number("FLOAT", 1.0, 0.0, 1.0, step=0.01),
        },
    ),
    _entry(
        "SplitSigmas",
        {"high_sigmas": "SIGMAS", "low_sigmas": "SIGMAS"},
        {"sigmas": _socket("SIGMAS"), "step": _number("INT", 0, 0, 10000)},
    ),
    _entry("DisableNoise", {"NOISE": "NOISE"}, {}),
    _entry(
        "SamplerCustomAdvanced",
        {"output": "LATENT", "denoised_output": "LATENT"},
        {
            "noise": _socket("NOISE"),
            "guider": _socket("GUIDER"),
            "sampler": _socket("SAMPLER"),
            "sigmas": _socket("SIGMAS"),
            "latent_image": _socket("LATENT"),
        },
    ),
]

CORE_NODES: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in _ENTRIES}
