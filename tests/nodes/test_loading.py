"""How ComfyUI gets at the nodes, and what it is told about them."""

import importlib.util
import re
import subprocess
import sys

import pytest
from fakes import ROOT, fake_comfyui, load_pack

NODES = [
    "LoadTinyDefault",
    "LoadAdapter",
    "PatchPlanner",
    "PatchEncoder",
    "GlobalContextEncoder",
    "ApplyPatchVSR",
    "JointModulationMerger",
    "PatchSampler",
    "PatchDecoder",
    "Blender",
    "RefineFidelity",
    "LoadRenderPasses",
    "OpticalFlow",
    "FlowPropagation",
    "AttentionPropagation",
    "DetailGuidance",
    "StarSchedule",
    "QualityReport",
    "ConditionalDecoder",
    "ConditionalRefiner",
    "SplitPatches",
    "JoinPatches",
]
TAKES_LISTS = {"PatchVSR_JoinPatches"}
"""Whose inputs come from all runs of the node before it."""
READS_FILES_BY_NAME = {"PatchVSR_LoadRenderPasses"}
"""Whose content ComfyUI cannot see change."""
TYPES_OF_OUR_OWN = {f"PATCHVSR_{name}" for name in ("PLAN", "PATCH_COND", "GLOBAL_CONTEXT", "TILES", "FLOW", "MODEL")}


def test_the_pack_loads_under_its_folder_as_its_name():
    with fake_comfyui():
        pack = load_pack()
        assert pack.module.__name__ == str(ROOT).replace(".", "_x_")
        assert set(pack.nodes) >= {f"PatchVSR_{name}" for name in NODES}


def test_importing_the_root_imports_no_node():
    with fake_comfyui():
        pack = load_pack()
        code = pack.module.__file__
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('pack', {code!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['pack'] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(sorted(name for name in sys.modules if name.startswith(('pack.', 'torch', 'comfy', 'diffusers'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("version", ["0.3.64", "0.17.9", "0.9"])
def test_an_old_comfyui_is_told_both_versions(version):
    with fake_comfyui(version), pytest.raises(ImportError, match="ComfyUI") as error:
        load_pack()
    assert version in str(error.value)
    assert "0.18" in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("version", ["0.18.0", "0.33.0", "1.0.0", "0.34.0-rc1"])
def test_a_new_enough_comfyui_is_accepted(version):
    with fake_comfyui(version):
        assert load_pack().nodes


def test_a_missing_package_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "einops" else find(name, *rest)
    )
    with fake_comfyui(), pytest.raises(ImportError, match="einops"):
        load_pack()


def test_object_info_has_the_form_of_the_server(pack):
    """The form was compared with the answer of a real server; this holds on to one whole entry."""
    assert pack.object_info()["PatchVSR_GlobalContextEncoder"] == {
        "input": {
            "required": {},
            "optional": {
                "vae": ["VAE", {"tooltip": "The VAE of the model, the same everywhere."}],
                "adapter": ["MODEL_PATCH", {"tooltip": "An adapter with a global branch, made for the model."}],
                "image": ["IMAGE", {"tooltip": "The same clip as in Patch Planner."}],
                "plan": ["PATCHVSR_PLAN", {"tooltip": "From Patch Planner."}],
            },
        },
        "input_order": {"required": [], "optional": ["vae", "adapter", "image", "plan"]},
        "is_input_list": False,
        "output": ["PATCHVSR_GLOBAL_CONTEXT"],
        "output_is_list": [False],
        "output_name": ["global_context"],
        "output_tooltips": ["For Apply PatchVSR."],
        "output_matchtypes": None,
        "name": "PatchVSR_GlobalContextEncoder",
        "display_name": "Global Context Encoder",
        "description": "Encodes the whole video at the size of one patch, to give every patch the context of the "
        "whole frame.",
        "python_module": "custom_nodes.PatchVSR",
        "category": "PatchVSR/plan & encode",
        "output_node": False,
        "deprecated": False,
        "experimental": False,
        "dev_only": False,
        "api_node": False,
        "price_badge": None,
        "search_aliases": ["patchvsr", "global branch"],
        "essentials_category": None,
        "has_intermediate_output": False,
    }


def test_every_node_introduces_itself(pack):
    for name, node in pack.nodes.items():
        schema = node.GET_SCHEMA()
        assert re.fullmatch(r"PatchVSR_[A-Z][A-Za-z0-9]+", schema.node_id) and schema.node_id == name
        assert schema.display_name and "PatchVSR_" not in schema.display_name
        assert schema.category.split("/")[0] == "PatchVSR"
        assert schema.description.endswith(".") and len(schema.description) > 30, name
        assert "patchvsr" in " ".join(schema.search_aliases).lower(), name
    titles = [node.GET_SCHEMA().display_name for node in pack.nodes.values()]
    assert len(set(titles)) == len(titles)


def test_every_widget_explains_itself_and_has_a_default(pack):
    for name, node in pack.nodes.items():
        for socket in node.GET_SCHEMA().inputs:
            if not socket.is_widget:
                continue
            where = f"{name}.{socket.id}"
            assert socket.tooltip and len(socket.tooltip) > 10 and socket.tooltip.endswith("."), where
            if socket.io_type in ("INT", "FLOAT"):
                low, high = socket.options["min"], socket.options["max"]
                assert low < high and low <= socket.default <= high, where
            if socket.io_type == "FLOAT":
                assert socket.options["step"] > 0, where
            if socket.io_type == "COMBO" and socket.options["options"]:
                assert (socket.default or socket.options["options"][0]) in socket.options["options"], where


def test_units_of_pixels_and_frames_are_in_the_names(pack):
    for node in pack.nodes.values():
        for socket in node.GET_SCHEMA().inputs:
            if socket.io_type == "INT" and re.search(r"(tile|patch|overlap|window)(?!es|$)", socket.id):
                assert socket.id.endswith(("_px", "_frames")), socket.id


def test_no_input_has_the_name_of_a_python_builtin_or_differs_from_execute(pack):
    """Where a node takes its choices as they come, each of them is a setting, or an optional part of a model."""
    import inspect

    from patchvsr_core.settings import Settings

    for name, node in pack.nodes.items():
        arguments = dict(inspect.signature(node.execute).parameters)
        sockets = {socket.id: socket for socket in node.GET_SCHEMA().inputs}
        if choices := [key for key, argument in arguments.items() if argument.kind is argument.VAR_KEYWORD]:
            del arguments[choices[0]]
            renamed, parts = inspect.getmodule(node).SETTING_OF, inspect.getmodule(node).PARTS
            assert all(sockets.pop(key).optional for key in parts), name
            rest = sockets.keys() - arguments.keys()
            assert rest and {renamed.get(key, key) for key in rest} <= Settings.__dataclass_fields__.keys(), name
            sockets = {key: socket for key, socket in sockets.items() if key not in rest}
        assert set(arguments) == set(sockets), name
        optional = {key for key, argument in arguments.items() if argument.default is not argument.empty}
        assert optional == {key for key, socket in sockets.items() if socket.optional}, name


def test_sockets_are_native_wherever_a_native_type_exists(pack):
    models = {
        "UPSCALE_MODEL",
        "MODEL",
        "VAE",
        "MODEL_PATCH",
        "CONDITIONING",
        "NOISE",
        "GUIDER",
        "SAMPLER",
        "SIGMAS",
        "OPTICAL_FLOW",
    }
    data = {"IMAGE", "MASK", "LATENT", "VIDEO", "AUDIO"}
    widgets = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
    for node in pack.nodes.values():
        schema = node.GET_SCHEMA()
        types = {socket.io_type for socket in [*schema.inputs, *schema.outputs]}
        assert types <= models | data | widgets | TYPES_OF_OUR_OWN, schema.node_id


def test_every_type_of_our_own_is_made_by_one_node_and_used_by_another(pack):
    schemas = [node.GET_SCHEMA() for node in pack.nodes.values()]
    made = {socket.io_type for schema in schemas for socket in schema.outputs}
    used = {socket.io_type for schema in schemas for socket in schema.inputs}
    assert made & TYPES_OF_OUR_OWN == used & TYPES_OF_OUR_OWN == TYPES_OF_OUR_OWN


def test_nothing_in_a_node_defeats_comfyuis_cache(pack):
    for name, node in pack.nodes.items():
        schema = node.GET_SCHEMA()
        assert {wanted.name for wanted in schema.hidden} <= {"prompt"}, f"{name}: others enter the key"
        assert not schema.not_idempotent, name
        assert schema.is_input_list == (name in TAKES_LISTS), name
        assert ("fingerprint_inputs" in node.__dict__) == (name in READS_FILES_BY_NAME), name


def test_adapters_are_listed_from_their_folder(pack, tmp_path, monkeypatch):
    import folder_paths

    (tmp_path / "some_adapter.safetensors").write_bytes(b"")
    monkeypatch.setitem(folder_paths.folders, "model_patches", tmp_path)
    entry = pack.object_info()["PatchVSR_LoadAdapter"]
    assert entry["input"]["required"]["adapter_name"][1]["options"] == ["some_adapter.safetensors"]


def test_operations_of_the_pack_and_of_an_installed_core_do_not_meet(pack):
    """Both are in this process; torch takes an operation away when its name is given to another one."""
    import sys

    import torch

    import patchvsr_core.kernels as installed

    name = f"{pack.module.__name__}.patchvsr_core.kernels"
    own = sys.modules[name] if name in sys.modules else __import__(name, fromlist=["blend_into"])
    assert own is not installed
    namespaces = {sys.modules[f"{kernels.__name__}.loading"].NAMESPACE for kernels in (own, installed)}
    assert len(namespaces) == 2 and "patchvsr" in namespaces
    for kernels in (own, installed):
        canvas, patch = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 2, 2)
        place = kernels.Placement((0, 0, 0), torch.ones(1), torch.ones(2, 2))
        torch.compile(kernels.blend_into, backend="aot_eager", fullgraph=True)(canvas, patch, [place])
        assert torch.equal(canvas, torch.ones_like(canvas))
