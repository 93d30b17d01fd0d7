"""What the user may choose. Range checks, command-line flags and ComfyUI's widgets are made from these declarations."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError
from .names import BASE_LAYERS, BICUBIC, COLOR_FIXES, LAYOUT_NAMES, NOISE_FORMS, SCHEDULES, SOLVER_NAMES, WINDOWS
from .option import fraction, noise_level_option, option, options_of

SEEDS = 2**63


@dataclass(frozen=True)
class Settings:
    """Choices of one run.

    Raises:
        PlanError: for a value out of its range, and for settings that contradict each other.
    """

    layout: str = option(
        "corner",
        "corner: no seams at any number of steps. overlapping: half as many patches as corner, for a "
        "single step. alternating: a third as many, needs at least 2 steps. pairwise: the paper's "
        "layout, 20 % fewer than corner. gaussian: DC-VSR's tiles, which overlap by half. "
        "uniform: for comparison.",
        group="patches",
        choices=LAYOUT_NAMES,
    )
    patch_px: int = option(
        256, "Side of a patch in pixels. Larger needs more memory.", group="patches", widget=(64, 2048), step=16
    )
    window_frames: int = option(
        8, "Frames that the model sees at once.", group="patches", low=1, widget=(1, 257), step=1
    )
    overlap_frames: int = option(
        2,
        "Frames shared by neighbouring windows; more gives smoother transitions between them.",
        group="patches",
        low=0,
        widget=(0, 128),
        step=1,
    )
    patches_at_once: int = option(
        0,
        "Patches per model call (batch size). 0: as many as fit in memory and save time.",
        group="patches",
        low=0,
        widget=(0, 64),
        step=1,
    )
    skip_interval: int = option(
        1,
        "Patches that are empty (black bars, clear sky) or static run only every n-th step, where n is "
        "this value; in a run that starts from the input, empty ones are skipped altogether. 1: all "
        "patches run at every step. 2 saves time on such clips.",
        group="patches",
        low=1,
        high=100,
        step=1,
        title="Patch skipping",
        formerly="economy",
        advanced=True,
    )
    auxiliary_start: float = noise_level_option(
        1.0, "Noise level from which the auxiliary patches, which lie over borders, run.", group="patches"
    )
    auxiliary_end: float = noise_level_option(
        0.0, "Noise level down to which they run; outside this range only the primary grid runs.", group="patches"
    )
    steps: int = option(1, "Denoising steps.", group="sampling", low=1, high=1000, step=1, advanced=True)
    solver: str = option(
        "euler",
        "How a step is computed; heun takes two model calls. dpmpp_2m_sde: STAR's, which draws noise at every step.",
        group="sampling",
        choices=SOLVER_NAMES,
    )
    schedule: str = option(
        "shifted",
        "Noise levels. shifted: evenly spaced, then moved by the shift. star: STAR's own, which also "
        "set the number of steps.",
        group="sampling",
        choices=SCHEDULES,
    )
    shift: float = option(
        1.0, "Spends more steps at high noise when above 1.", group="sampling", low=0.01, high=100.0, step=0.1
    )
    start: float = noise_level_option(
        1.0, "First noise level; below 1 a run starts from the noised input. 0: nothing is denoised.", group="sampling"
    )
    seed: int = option(
        0, "Seed of the noise; the tiny default hardly depends on it.", group="sampling", low=0, high=SEEDS - 1, step=1
    )
    noise_level: float = noise_level_option(
        0.0,
        "Noise added to the condition: 0 stays close to the input, 0.2 to 0.3 lets the model invent detail.",
        group="sampling",
    )
    noise_form: str = option(
        NOISE_FORMS[0],
        "Where that noise is added. latent: in the latent, as adapters are trained. lr_pixels: in the pixels of the "
        "input, as in Upscale-A-Video, where 0.12 is usual.",
        group="sampling",
        choices=NOISE_FORMS,
        advanced=True,
    )
    eta: float = fraction(
        0.0,
        "Fraction of the noise that is replaced with fresh noise at every step, so that errors do not "
        "build up. 0.2 suits a Wan without an adapter. It adds no time, but needs the euler sampler; "
        "not for the tiny default.",
        group="sampling",
        title="eta",
        formerly="churn",
        advanced=True,
    )
    guidance: float = option(
        1.0,
        "Classifier-free guidance; 1 is off and saves half the work.",
        group="guidance",
        low=0.0,
        high=100.0,
        step=0.1,
        advanced=True,
    )
    guidance_rescale: float = fraction(
        0.0,
        "Rescales guidance to the contrast of the positive branch, against oversaturated colours. STAR "
        "uses 0.2; 0 is off.",
        group="guidance",
    )
    softening: float = option(
        1.0,
        "Detail guidance (DSSAG): softness of the negative branch's attention at the last step. Higher "
        "gives more detail, and more of it is invented. 1 is off, 1.5 is usual; guidance must be on.",
        group="guidance",
        low=1.0,
        high=100.0,
        step=0.05,
    )
    low_frequency_guidance: float = fraction(
        0.0,
        "Pulls low frequencies (large shapes, colours) towards the input while there is noise. 0.5 "
        "suits a Wan without an adapter; the tiny default needs none.",
        group="guidance",
        title="Low-frequency guidance",
        formerly="structure_lock",
        advanced=True,
    )
    projection_steps: int = option(
        0,
        "Number of final steps at which the result is made consistent with the input in pixel space. 1 "
        "suits a Wan without an adapter. Each of these steps decodes the whole video once and encodes "
        "it twice.",
        group="guidance",
        low=0,
        widget=(0, 100),
        step=1,
        advanced=True,
    )
    patch_strength: float = option(
        1.0,
        "How closely each patch follows its own content; 0 turns the patch branch off.",
        group="guidance",
        low=0.0,
        high=2.0,
        step=0.05,
    )
    global_strength: float = option(
        1.0,
        "How closely each patch follows the video as a whole; 0 turns the global branch off.",
        group="guidance",
        low=0.0,
        high=2.0,
        step=0.05,
    )
    propagation: float = fraction(
        0.0,
        "Blends every frame with its neighbours along the motion: less flicker. 0 is off; 0.5 is usual "
        "for a Wan, 0.25 for the tiny default.",
        group="consistency",
    )
    propagation_start: float = noise_level_option(
        0.4, "Noise level from which frames are blended.", group="consistency"
    )
    propagation_end: float = noise_level_option(
        0.0,
        "Noise level down to which they are blended; a step counts if it passes through levels between the two.",
        group="consistency",
    )
    spatial_attention: bool = option(
        False,
        "SAP: every patch also attends to the whole frame, subsampled to as many tokens as a patch has. For colours "
        "and textures that differ between patches.",
        group="consistency",
    )
    temporal_attention: bool = option(
        False,
        "TAP: every patch also attends to the previous and the next temporal window, in turn. For long "
        "clips whose windows differ; no effect if one window covers the clip.",
        group="consistency",
    )
    lazy_attention: bool = option(
        False,
        "SAP reuses what the previous step recorded instead of running the patches twice: a step takes "
        "1.5 times as long instead of 2.3, but all temporal windows are kept in memory. No effect on a "
        "single-step run.",
        group="consistency",
    )
    attention_frames: int = option(
        4,
        "Latent frames of the neighbouring window that TAP attends to. DC-VSR has 4, of a VAE with a latent for every "
        "frame; of a Wan each stands for 4 frames.",
        group="consistency",
        low=1,
        widget=(1, 16),
        step=1,
        advanced=True,
    )
    attention_layers: str = option(
        "all",
        "Transformer blocks in which SAP and TAP act, such as 0-9, 20. Fewer take less time and memory.",
        group="consistency",
        advanced=True,
    )
    attention_offload: bool = option(
        False,
        "Keep the keys and values of SAP and TAP in system RAM: slower, but takes no GPU memory.",
        group="consistency",
        advanced=True,
    )
    base_layer: str = option(
        BICUBIC,
        "What upsamples the input before patches are denoised. restorer: a network that takes detail from the "
        "neighbouring frames, for everything. dap: faster, frame by frame. rdg: for renders. upscaler: an image "
        "upscaler of yours (ESRGAN, SPAN, DAT and the like). bicubic: no network. With the tiny default a network "
        "makes the whole picture; with bicubic patches do.",
        group="finishing",
        choices=BASE_LAYERS,
        advanced=True,
    )
    tile_px: int = option(
        512, "Side of a tile. Smaller tiles need less memory.", group="finishing", widget=(128, 4096), step=64
    )
    tile_overlap_px: int = option(
        64, "Pixels that neighbouring tiles share.", group="finishing", widget=(16, 512), step=16
    )
    window: str = option(
        "linear", "Shape of the cross-fade between tiles.", group="finishing", choices=WINDOWS, flag="--tile-window"
    )
    color: str = option(
        "none",
        "wavelet: the input's colours under the result's detail. adain: mean and contrast of whole frames. lab: for "
        "SeedVR2; takes over all colours and part of the lightness. none: for the tiny default, whose colours are "
        "exact.",
        group="finishing",
        choices=COLOR_FIXES,
    )
    refine_strength: float = fraction(
        1.0,
        "Strength of the refiner, which makes the soft frames of the tiny default sharp. 0 with any other model: its "
        "frames are sharp already, and would get halos.",
        group="finishing",
    )
    detail: float = fraction(
        0.5,
        "What to aim for: the most probable image (0) or one as crisp as the original may have been (1). 0.5 is for "
        "viewing, 0 for measuring and compositing.",
        group="finishing",
    )
    patch_detail: float = fraction(
        0.0,
        "With the restorer as base layer: how much of the detail that denoised patches find is added to its frames. 0: "
        "no patches are denoised.",
        group="finishing",
    )
    fidelity_rounds: int = option(
        8, "Maximum number of back-projection iterations; 0 turns it off.", group="finishing", low=0, high=100, step=1
    )
    fidelity_strength: float = fraction(
        1.0,
        "1: the result, downscaled, matches the input. Lower keeps more of what the model added.",
        group="finishing",
    )
    restore_strength: float = option(
        1.0,
        "How much of the measured noise and compression is removed. 1: as much as was measured; higher "
        "removes more. 0 keeps everything, film grain included: the result, downscaled, is exactly the "
        "input.",
        group="finishing",
        low=0.0,
        high=2.0,
        step=0.05,
        title="Restore strength",
        formerly="cleanup",
    )

    def __post_init__(self) -> None:
        for name, chosen in options_of(self).items():
            chosen.check(name, getattr(self, name), getattr(type(self), name))
        if self.softening != 1 and self.guidance <= 1:
            raise PlanError("Detail guidance softens the negative branch; it needs a guidance above 1.")
