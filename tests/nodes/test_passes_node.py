"""Load Render Passes: multi-layer EXR files as pictures, motion and a mask."""

import math
import os
import sys

import pytest
import torch
from fakes import Rejected, check_inputs, run_node
from rendered import HEIGHT, WIDTH, channels_of, frame_values, write_exr, write_shot

OUTPUTS = ("image", "flow", "depth", "normal", "albedo", "mask")


@pytest.fixture(scope="module")
def node(pack):
    return pack.part("nodes.passes").LoadRenderPasses


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """ComfyUI's input folder."""
    import folder_paths

    monkeypatch.setitem(folder_paths.folders, "input", tmp_path)
    return tmp_path


def load(node, path, **widgets):
    return dict(zip(OUTPUTS, run_node(node, path=str(path), **widgets), strict=True))


def test_every_pass_on_its_socket(node, folder, caplog):
    from patchvsr_core.realtime.exr_passes import read_passes
    from patchvsr_core.realtime.gbuffers import normalise_depth

    write_shot(folder / "render", 3)
    frames, alpha, passes = read_passes(folder / "render")
    loaded = load(node, "render")
    assert torch.equal(loaded["image"], frames) and torch.equal(loaded["mask"], 1 - alpha)
    assert torch.equal(loaded["flow"].to_next, passes.flows.to_next) and loaded["flow"].frames == 3
    for name in ("image", "depth", "normal", "albedo"):
        assert loaded[name].shape == (3, HEIGHT, WIDTH, 3) and loaded[name].is_contiguous(), name
        assert loaded[name].min() >= 0 and loaded[name].max() <= 1, name
    assert torch.equal(loaded["depth"][..., 1], normalise_depth(passes.depth)[:, 0])
    assert torch.equal(loaded["normal"] * 2 - 1, passes.normal)
    assert torch.equal(loaded["albedo"], passes.albedo.clamp(max=1)) and "empty" not in caplog.text


def test_what_the_files_lack_is_empty_but_the_mask(node, folder, caplog):
    color = frame_values(0)["Combined"][..., :3]
    write_exr(folder / "a.exr", {name: color[..., index].copy() for index, name in enumerate("RGB")})
    loaded = load(node, "a.exr")
    assert [name for name, value in loaded.items() if value is None] == ["flow", "depth", "normal", "albedo"]
    assert "a.exr holds nothing for flow, depth, normal, albedo;" in caplog.text
    assert loaded["mask"].shape == (1, HEIGHT, WIDTH) and not loaded["mask"].any()


def test_widgets_say_which_frames_and_how_bright(node, folder):
    write_shot(folder, 5, begin=20)
    every = load(node, folder / "%04d.exr")
    some = load(node, folder, first_frame=21, frame_count=2)
    assert torch.equal(some["image"], every["image"][1:3]) and some["flow"].frames == 2
    assert load(node, folder, exposure=-3.0)["image"].mean() < every["image"].mean() / 2
    (folder / "0022.exr").unlink()
    assert len(load(node, folder, frame_count=2)["image"]) == 2
    layers = channels_of(frame_values(0), "A.") | channels_of({"Combined": frame_values(1)["Combined"]}, "B.")
    write_exr(folder / "two" / "a.exr", layers)
    assert load(node, "two")["depth"] is not None and load(node, "two", view_layer=" B ")["depth"] is None


@pytest.mark.parametrize("form", ["{}", ' "{}" ', "'{}'", "{}/0001.exr", "{}/####.exr"])
def test_paths_as_they_are_pasted(node, folder, tmp_path, form):
    write_shot(folder / "a shot", 1)
    assert len(load(node, form.format("a shot"))["image"]) == 1
    assert len(load(node, form.format(tmp_path / "a shot"))["image"]) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "The path is empty"), (' "" ', "The path is empty"), ("nowhere", "There is no .*nowhere"), (".", "no .exr")],
)
def test_a_wrong_path_is_refused_before_the_run(node, folder, path, words):
    with pytest.raises(Rejected, match=words):
        load(node, path)


def test_so_is_a_missing_package(node, folder, monkeypatch):
    write_shot(folder, 1)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(Rejected, match="pip install OpenEXR"):
        load(node, folder)


def test_a_linked_path_is_checked_when_it_is_known(pack, node, folder):
    defaults = {socket.id: socket.default for socket in node.GET_SCHEMA().inputs}
    assert check_inputs(node, defaults, linked={"path"}) == []
    with pytest.raises(pack.part("patchvsr_core.errors").MediaError, match="The path is empty"):
        node.execute(**defaults)


def test_files_that_were_rendered_again_run_again(node, folder):
    write_shot(folder / "shot", 3)

    def print_of(first=0, count=0):
        return node.fingerprint_inputs(path="shot", first_frame=first, frame_count=count, exposure=0.0, view_layer="")

    before = print_of(), print_of(1, 2)
    assert before == (print_of(), print_of(1, 2)) and before[0] != before[1]
    os.utime(folder / "shot" / "0003.exr", (1, 1))
    assert print_of() != before[0] and print_of(1, 2) == before[1]
    write_exr(folder / "shot" / "0004.exr", channels_of(frame_values(5)))
    assert len(print_of()) == 4


def test_what_comes_through_a_link_runs_every_time(node, folder):
    assert math.isnan(node.fingerprint_inputs(path=None, first_frame=0, frame_count=0))
    assert math.isnan(node.fingerprint_inputs(path="shot", first_frame=None, frame_count=0))


def test_loading_can_be_cancelled(node, folder):
    import comfy.model_management as management

    write_shot(folder, 2)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        load(node, folder)


def test_every_socket_explains_itself(node):
    schema = node.GET_SCHEMA()
    sockets = [(output.display_name, output.io_type) for output in schema.outputs]
    types = ("IMAGE", "PATCHVSR_FLOW", "IMAGE", "IMAGE", "IMAGE", "MASK")
    assert sockets == list(zip(OUTPUTS, types, strict=True))
    assert all(socket.tooltip.endswith(".") for socket in [*schema.inputs, *schema.outputs])
    for output in schema.outputs:
        assert ("Empty if the files lack this pass" in output.tooltip) == (output.display_name not in ("image", "mask"))


@pytest.mark.parametrize("form", ["{}", "../{name}", "~/../..{}"])
def test_paths_stay_in_comfyuis_folders_unless_the_server_was_started_with_others(
    node, folder, tmp_path_factory, monkeypatch, form
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_shot(elsewhere, 1)
    path = form.format(elsewhere, name=os.path.relpath(elsewhere, folder.parent))
    with pytest.raises(Rejected, match=r"outside ComfyUI's .* PATCHVSR_FOLDERS set to its folder"):
        load(node, path)
    monkeypatch.setenv("PATCHVSR_FOLDERS", os.pathsep.join(["", str(folder), str(elsewhere)]))
    if form == "{}":
        assert len(load(node, path)["image"]) == 1


@pytest.mark.parametrize(
    "path", ["\\\\server\\share", "//server/share/%04d.exr", "\\/server/share", "'//server'", "\\\\?\\UNC"]
)
def test_a_path_on_a_server_is_refused_before_anything_looks_there(node, folder, monkeypatch, path):
    monkeypatch.setenv("PATCHVSR_FOLDERS", "/")
    with pytest.raises(Rejected, match="is on a server; map it"):
        load(node, path)
