"""Names that settings choose from; the rooms have functions for them, and a test sees that none is missing."""

BICUBIC, RESTORER, UPSCALER = "bicubic", "restorer", "upscaler"
BASE_LAYERS = (BICUBIC, RESTORER, "dap", "rdg", UPSCALER)
COLOR_FIXES = ("wavelet", "adain", "none", "lab")
LAYOUT_NAMES = ("corner", "pairwise", "uniform", "alternating", "overlapping", "gaussian")
NOISE_FORMS = ("latent", "lr_pixels")
SCHEDULES = ("shifted", "star")
SOLVER_NAMES = ("euler", "heun", "dpmpp_2m_sde")
WINDOWS = ("linear", "cosine")
