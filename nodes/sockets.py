"""Socket types of our own; everything else is native."""

from comfy_api.latest import io

CATEGORY = "PatchVSR"

Plan = io.Custom("PATCHVSR_PLAN")
PatchCond = io.Custom("PATCHVSR_PATCH_COND")
GlobalContext = io.Custom("PATCHVSR_GLOBAL_CONTEXT")
Tiles = io.Custom("PATCHVSR_TILES")
