"""What saved workflows know of the nodes stays: ids, inputs, the order of widgets, choices, outputs."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from frozen import COMMAND, all_losses, entry_of, read, unfrozen

NAME = "PatchVSR_PatchPlanner"
OLD = "PatchVSR_Planner"


@pytest.fixture(scope="module")
def object_info(pack: Any) -> dict[str, Any]:
    return json.loads(json.dumps(pack.object_info()))


@pytest.fixture
def changed(object_info: dict[str, Any]) -> dict[str, Any]:
    """Entries to spoil."""
    return copy.deepcopy(object_info)


def inputs_of(info: dict[str, Any], group: str = "required") -> dict[str, Any]:
    return info[NAME]["input"][group]


def first(group: dict[str, Any], name: str, spec: list[Any]) -> None:
    """Put an input before all others."""
    others = dict(group)
    group.clear()
    group.update({name: spec, **others})


def test_nothing_that_was_frozen_is_lost(pack: Any, object_info: dict[str, Any]) -> None:
    assert all_losses(read(), object_info, pack.part("nodes.renames").RENAMES) == []


def test_everything_is_frozen(object_info: dict[str, Any]) -> None:
    assert unfrozen(read(), object_info) == [], f"run {COMMAND} and commit what it adds"


def test_what_may_be_added(changed: dict[str, Any]) -> None:
    inputs_of(changed, "optional")["new"] = ["INT", {"default": 0}]
    inputs_of(changed, "optional")["mask"] = ["MASK", {}]
    inputs_of(changed)["layout"][1]["options"].append("spiral")
    changed[NAME]["output"].append("MASK")
    changed[NAME]["output_name"].append("mask")
    changed["PatchVSR_New"] = changed["PatchVSR_Blender"]
    assert all_losses(read(), changed) == []
    assert unfrozen(read(), changed) == [NAME, "PatchVSR_New"]


def spoil_input_gone(info: dict[str, Any]) -> None:
    del inputs_of(info)["patch_px"]


def spoil_socket_gone(info: dict[str, Any]) -> None:
    del inputs_of(info)["vae"]


def spoil_input_type(info: dict[str, Any]) -> None:
    inputs_of(info)["patch_px"][0] = "FLOAT"


def spoil_choice_gone(info: dict[str, Any]) -> None:
    inputs_of(info)["layout"][1]["options"].remove("uniform")


def spoil_order_of_inputs(info: dict[str, Any]) -> None:
    first(inputs_of(info), "vae", inputs_of(info).pop("vae"))


def spoil_new_widget_first(info: dict[str, Any]) -> None:
    first(inputs_of(info, "optional"), "new", ["INT", {"default": 0}])


def spoil_new_widget_required(info: dict[str, Any]) -> None:
    inputs_of(info)["new"] = ["INT", {"default": 0}]


def spoil_new_socket_required(info: dict[str, Any]) -> None:
    inputs_of(info)["mask"] = ["MASK", {}]


def spoil_widget_becomes_socket(info: dict[str, Any]) -> None:
    inputs_of(info)["scale"][1]["forceInput"] = True


def spoil_seed_control(info: dict[str, Any]) -> None:
    inputs_of(info)["patch_px"][1]["control_after_generate"] = True


def spoil_new_output_first(info: dict[str, Any]) -> None:
    info[NAME]["output"].insert(0, "MASK")
    info[NAME]["output_name"].insert(0, "mask")


def spoil_output_type(info: dict[str, Any]) -> None:
    info[NAME]["output"][2] = "FLOAT"


def spoil_id(info: dict[str, Any]) -> None:
    info["PatchVSR_Renamed"] = info.pop(NAME)


@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (spoil_input_gone, "patch_px is gone; keep it"),
        (spoil_socket_gone, "vae is gone; keep it"),
        (spoil_input_type, "add another input instead"),
        (spoil_choice_gone, "no longer has the choice 'uniform'"),
        (spoil_order_of_inputs, "leave them where they were"),
        (spoil_new_widget_first, "put new widgets last"),
        (spoil_new_widget_required, "saved prompts do not have the input new; make it optional"),
        (spoil_new_socket_required, "saved prompts do not have the input mask; make it optional"),
        (spoil_widget_becomes_socket, "put new widgets last"),
        (spoil_seed_control, "put new widgets last"),
        (spoil_new_output_first, "put new outputs last"),
        (spoil_output_type, "put new outputs last"),
        (spoil_id, "add an io.NodeReplace to RENAMES"),
    ],
)
def test_a_loss_is_seen_and_the_remedy_named(changed: dict[str, Any], spoil: Any, remedy: str) -> None:
    spoil(changed)
    found = all_losses(read(), changed)
    assert any(line.startswith(NAME) and remedy in line for line in found), found


def renaming(**changes: Any) -> Any:
    """Patch Planner under a made-up older name, its input ``vae`` under another name too."""
    from comfy_api.latest import io

    frozen = read()[NAME]
    mapping = [{"new_id": key, "old_id": "codec" if key == "vae" else key} for key in frozen["inputs"]]
    outputs = [{"old_idx": index, "new_idx": index} for index in range(len(frozen["outputs"]))]
    options = {"old_widget_ids": frozen["widgets"], "input_mapping": mapping, "output_mapping": outputs} | changes
    return io.NodeReplace(new_node_id=NAME, old_node_id=OLD, **options)


@pytest.fixture
def with_old() -> dict[str, Any]:
    """What would be frozen had Patch Planner had another name."""
    frozen = read()
    old = json.loads(json.dumps(frozen[NAME]))
    old["inputs"] = {"codec" if key == "vae" else key: kind for key, kind in old["inputs"].items()}
    return {**frozen, OLD: old}


def test_a_complete_renaming_loses_nothing(with_old: dict[str, Any], object_info: dict[str, Any]) -> None:
    assert all_losses(with_old, object_info, [renaming()]) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"input_mapping": None}, "input_mapping leads its input codec"),
        ({"output_mapping": None}, "output_mapping leads its output 0"),
        ({"old_widget_ids": ["scale"]}, "old_widget_ids must be"),
        ({"output_mapping": [{"old_idx": i, "new_idx": 0} for i in range(4)]}, "output_mapping leads its output 1"),
    ],
)
def test_a_renaming_that_forgets_something_is_refused(
    with_old: dict[str, Any], object_info: dict[str, Any], change: dict[str, Any], complaint: str
) -> None:
    found = all_losses(with_old, object_info, [renaming(**change)])
    assert any(complaint in line for line in found), found


def test_a_renaming_to_no_node_is_refused(with_old: dict[str, Any], object_info: dict[str, Any]) -> None:
    without = {key: entry for key, entry in object_info.items() if key != NAME}
    assert f"{OLD}: there is no {NAME} to take its place" in all_losses(with_old, without, [renaming()])


def test_renamings_reach_comfyui(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfy_api.latest import ComfyAPI

    registered: list[Any] = []
    monkeypatch.setattr(ComfyAPI.NodeReplacement, "registered", registered)
    renames = pack.part("nodes.renames")
    asyncio.run(renames.register_renames([renaming()]))
    assert [entry.old_node_id for entry in registered] == [OLD]
    monkeypatch.setattr(renames, "RENAMES", (renaming(), renaming()))
    asyncio.run(load_again(pack))
    assert len(registered) == 3, "loading the extension registers the table"


async def load_again(pack: Any) -> None:
    extension = await pack.module.comfy_entrypoint()
    await extension.on_load()


def test_an_entry_says_what_a_saved_workflow_depends_on(object_info: dict[str, Any]) -> None:
    entry = entry_of(object_info[NAME])
    assert list(entry["inputs"])[:4] == ["image", "vae", "scale", "patch_px"]
    assert entry["inputs"]["layout"][0] == "auto"
    assert entry["widgets"] == ["scale", "patch_px", "layout", "window_frames", "overlap_frames", "size", "target"]
    assert entry["outputs"][2] == ["width", "INT"]
