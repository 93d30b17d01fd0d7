"""The ComfyUI host: native MODEL, VAE and MODEL_PATCH objects. The only importer of ``comfy``."""

from .adapter import attach_control
from .attention import attach_attention
from .carried import clip_of, connected, latent_with_plan, model_with_plan, plan_in, vae_of, with_clip
from .codec import codec_of, latent_of
from .image_upscaler import run_image_upscaler
from .input_guidance import EnhanceOptions, attach_enhancement
from .joint_modulation import FusionOptions, attach_joint_modulation
from .layout import as_canvas
from .loading import load_decoder, load_model_patch, prompt_conditioning
from .pipeline import NativeModels, upscale_native
from .progress import Progress, check_interrupt, running_node
from .propagation import attach_propagation, attach_rescale
from .realtime import run_fast
from .refiner import run_refiner, shipped_refiner
from .run_times import guessed_speed, shape_of, throughput_of, timed_stage
from .sampling import sample_focus, sample_latent
from .shipped import complete_models, shipped_models
from .strength_map import attach_strength
from .tiny import is_tiny, load_tiny
from .video import FileChoices, as_video, upscale_video

__all__ = [
    "EnhanceOptions",
    "FileChoices",
    "FusionOptions",
    "NativeModels",
    "Progress",
    "as_canvas",
    "as_video",
    "attach_attention",
    "attach_control",
    "attach_enhancement",
    "attach_joint_modulation",
    "attach_propagation",
    "attach_rescale",
    "attach_strength",
    "check_interrupt",
    "clip_of",
    "codec_of",
    "complete_models",
    "connected",
    "guessed_speed",
    "is_tiny",
    "latent_of",
    "latent_with_plan",
    "load_decoder",
    "load_model_patch",
    "load_tiny",
    "model_with_plan",
    "plan_in",
    "prompt_conditioning",
    "run_fast",
    "run_image_upscaler",
    "run_refiner",
    "running_node",
    "sample_focus",
    "sample_latent",
    "shape_of",
    "shipped_models",
    "shipped_refiner",
    "throughput_of",
    "timed_stage",
    "upscale_native",
    "upscale_video",
    "vae_of",
    "with_clip",
]
