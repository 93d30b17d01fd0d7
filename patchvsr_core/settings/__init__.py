"""What the user may choose, declared once, and the defaults of each kind of model."""

from .names import BASE_LAYERS, BICUBIC, RESTORER, UPSCALER
from .option import Option, flag_of, options_of, with_new_names
from .presets import MODEL_FILES, QUALITIES, TINY, WAN, WAN_PLAIN, with_quality
from .settings import Settings

OPTIONS = options_of(Settings)
"""How every setting was declared, by the name of its field."""

__all__ = [
    "BASE_LAYERS",
    "BICUBIC",
    "MODEL_FILES",
    "OPTIONS",
    "QUALITIES",
    "RESTORER",
    "TINY",
    "UPSCALER",
    "WAN",
    "WAN_PLAIN",
    "Option",
    "Settings",
    "flag_of",
    "options_of",
    "with_new_names",
    "with_quality",
]
