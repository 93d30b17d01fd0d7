"""The restorer: a recurrent network that upscales a clip, guided by its optical flow, in both directions of time."""

from .network import Restorer, RestorerConfig, load_restorer, save_restorer

__all__ = ["Restorer", "RestorerConfig", "load_restorer", "save_restorer"]
