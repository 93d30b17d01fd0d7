"""Socket types that ``comfy_api`` has no name for: our own but for one."""

from comfy_api.latest import io


class Stage:
    """Where nodes stand in the node library."""

    WHOLE = "PatchVSR"
    """Those that make the whole result."""
    LOAD = "PatchVSR/loaders"
    PLAN = "PatchVSR/plan & encode"
    MODEL = "PatchVSR/model"
    SAMPLE = "PatchVSR/sample"
    FINISH = "PatchVSR/decode & finish"
    LOOK = "PatchVSR/look"
    PATCHES = "PatchVSR/patches"


Plan = io.Custom("PATCHVSR_PLAN")
PatchCond = io.Custom("PATCHVSR_PATCH_COND")
GlobalContext = io.Custom("PATCHVSR_GLOBAL_CONTEXT")
Tiles = io.Custom("PATCHVSR_TILES")
Flow = io.Custom("PATCHVSR_FLOW")
ModelParts = io.Custom("PATCHVSR_MODEL")
"""Model, VAE, prompts and adapter that belong together: :class:`hosts.comfy.NativeModels`."""
FlowModel = io.Custom("OPTICAL_FLOW")
"""ComfyUI's own, since 0.33; it has no name in ``comfy_api`` yet."""
