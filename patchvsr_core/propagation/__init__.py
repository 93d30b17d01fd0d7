"""What frames and patches take from one another while they are denoised.

Latents are propagated along the motion of the clip; attention propagation lets patches attend to the whole frame
and to the window before or after them.
"""

from .attention import AttentionRun
from .attention_options import AttentionOptions
from .canvas import CanvasPropagation, PropagationOptions
from .latent import propagate

__all__ = ["AttentionOptions", "AttentionRun", "CanvasPropagation", "PropagationOptions", "propagate"]
