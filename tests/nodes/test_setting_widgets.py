"""Widgets that set a setting agree with its declaration: range, step, choices, text."""

from __future__ import annotations

import math

import pytest

from patchvsr_core.settings import OPTIONS, Settings

WIDGETS = [
    ("PatchPlanner", "patch_px", "patch_px"),
    ("PatchPlanner", "layout", "layout"),
    ("PatchPlanner", "window_frames", "window_frames"),
    ("PatchPlanner", "overlap_frames", "overlap_frames"),
    ("PatchEncoder", "noise_level", "noise_level"),
    ("PatchEncoder", "noise_form", "noise_form"),
    ("ApplyPatchVSR", "patch_strength", "patch_strength"),
    ("ApplyPatchVSR", "global_strength", "global_strength"),
    ("ApplyPatchVSR", "structure_lock", "low_frequency_guidance"),
    ("ApplyPatchVSR", "projection_steps", "projection_steps"),
    ("ApplyPatchVSR", "churn", "eta"),
    ("AttentionPropagation", "spatial", "spatial_attention"),
    ("AttentionPropagation", "temporal", "temporal_attention"),
    ("AttentionPropagation", "lazy", "lazy_attention"),
    ("AttentionPropagation", "frames", "attention_frames"),
    ("AttentionPropagation", "layers", "attention_layers"),
    ("AttentionPropagation", "offload", "attention_offload"),
    ("DetailGuidance", "softening_end", "softening"),
    ("DetailGuidance", "rescale", "guidance_rescale"),
    ("FlowPropagation", "weight", "propagation"),
    ("JointModulationMerger", "patches_at_once", "patches_at_once"),
    ("JointModulationMerger", "economy", "skip_interval"),
    ("PatchDecoder", "tile_px", "tile_px"),
    ("PatchDecoder", "overlap_px", "tile_overlap_px"),
    ("Blender", "window", "window"),
    ("Blender", "color_fix", "color"),
    ("RefineFidelity", "refine_strength", "refine_strength"),
    ("RefineFidelity", "rounds", "fidelity_rounds"),
    ("RefineFidelity", "fidelity", "fidelity_strength"),
    ("RefineFidelity", "detail", "detail"),
    ("RefineFidelity", "cleanup", "restore_strength"),
    ("ConditionalRefiner", "strength", "refine_strength"),
    ("PatchPreview", "cleanup", "restore_strength"),
    ("UpscaleVideo", "seed", "seed"),
    ("UpscaleVideo", "steps", "steps"),
    ("UpscaleVideo", "guidance", "guidance"),
    ("UpscaleVideo", "guidance_rescale", "guidance_rescale"),
    ("UpscaleVideo", "patch_px", "patch_px"),
    ("UpscaleVideo", "layout", "layout"),
    ("UpscaleVideo", "patches_at_once", "patches_at_once"),
    ("UpscaleVideo", "propagation", "propagation"),
    ("UpscaleVideo", "base_layer", "base_layer"),
    ("UpscaleVideo", "economy", "skip_interval"),
    ("UpscaleVideo", "detail", "detail"),
    ("UpscaleVideo", "cleanup", "restore_strength"),
]
OTHER_TEXT = {"softening_end", "weight"} | {"layout"}
"""Widgets whose node says it in words of its own, or more of it."""
WITHOUT_WIDGET = {
    *("solver", "schedule", "shift", "start"),  # ComfyUI's own samplers and schedulers choose them
    *("auxiliary_start", "auxiliary_end", "propagation_start", "propagation_end"),  # nodes take parts of the run
    "patch_detail",  # the quality of Upscale Video sets it
}


def test_every_setting_has_a_widget_or_a_reason() -> None:
    assert {name for _, _, name in WIDGETS} | WITHOUT_WIDGET == OPTIONS.keys()


@pytest.mark.parametrize(("node", "widget", "name"), WIDGETS)
def test_a_widget_agrees_with_the_setting(pack, node, widget, name):
    option, field = OPTIONS[name], getattr(Settings(), name)
    (socket,) = (socket for socket in pack[node].define_schema().inputs if socket.id == widget)
    facts = socket.as_dict()
    assert facts.get("display_name") == (option.title or None)
    if widget not in OTHER_TEXT:
        assert facts["tooltip"].startswith(option.help)
    if option.choices:
        assert tuple(choice for choice in facts["options"] if choice != "auto") == option.choices
        assert ("auto" in facts["options"]) == (name in ("layout", "base_layer"))
    elif isinstance(field, (int, float)) and not isinstance(field, bool):
        low, high = option.limits
        own = facts["default"] == 0 != field  # 0 leaves it to the model
        assert (facts["min"], facts["max"], facts["step"]) == (0 if own else low, high, option.step)
        assert math.isfinite(high) and type(facts["default"]) is type(field)
        assert option.low <= (low if own else facts["min"]) and facts["max"] <= option.high


def test_the_route_takes_what_the_widgets_give(pack):
    numbers = pack.part("nodes.desk").NUMBERS
    for node in ("PatchPlanner", "UpscaleVideo"):
        for socket in pack[node].define_schema().inputs:
            if socket.id in numbers and (node, socket.id) != ("UpscaleVideo", "overlap_frames"):
                facts, (low, high) = socket.as_dict(), numbers[socket.id]
                assert low <= facts["min"] and high == facts["max"], (node, socket.id)
