"""A small hand-written ComfyUI: enough to load this pack as ComfyUI does and to run its nodes on a CPU.

``comfyui/`` takes the place of ComfyUI's own folder on ``sys.path`` and has just the names that the
pack uses, with the real signatures. ``pack`` loads the pack, ``graph`` runs nodes and prompts,
``workflow`` reads saved workflows, ``core_nodes`` and ``core_behaviour`` are ComfyUI's own nodes.
"""

from .graph import Rejected, check_inputs, run_node, run_prompt
from .pack import ROOT, Pack, fake_comfyui, load_pack

__all__ = ["ROOT", "Pack", "Rejected", "check_inputs", "fake_comfyui", "load_pack", "run_node", "run_prompt"]
