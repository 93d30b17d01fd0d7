"""The stand-in says what a real ComfyUI says; needs one, named by COMFYUI_DIR."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import ROOT
from fakes.core_nodes import CORE_NODES
from fakes.pack import STAND_IN
from fakes.workflow import CHOICE, sockets_of

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(
        "COMFYUI_DIR" not in os.environ,
        reason="set COMFYUI_DIR to a ComfyUI checkout, and COMFYUI_PYTHON to its Python if it is another one",
    ),
]
OURS_ALONE = {
    "comfy.ldm.wan.model": {"WanBlock", "WanHead"},
    "comfy.model_base": {"FlowSampling"},
    "comfy.model_patcher": {"copied", "ModelPatcher.applied"},
    "comfy_api.latest._io": {"given"},
}
"""How the stand-in gets its work done; the pack does not use these."""
SHORTER = {
    "comfy.samplers": {"CFGGuider.set_conds"},
    "comfy.patcher_extension": {"WrapperExecutor"},
    "comfy_api.latest._io": {"WidgetInput"},
}
"""Where the stand-in's own tests call differently than ComfyUI does; again nothing that the pack calls."""


def public_names(path):
    """{qualified name: parameters} of a module's functions, classes and methods."""
    found = {}

    def visit(body, prefix=""):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[prefix + node.name] = None
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                found[prefix + node.name] = [argument.arg for argument in node.args.args + node.args.kwonlyargs]

    visit(ast.parse(path.read_text()).body)
    return found


def skipped(module, name, names):
    return any(name == other or name.startswith(f"{other}.") for other in names.get(module, ()))


@pytest.fixture(scope="module")
def stand_in():
    modules = {}
    for path in sorted(STAND_IN.rglob("*.py")):
        module = ".".join(path.relative_to(STAND_IN).with_suffix("").parts).removesuffix(".__init__")
        names = {key: value for key, value in public_names(path).items() if not skipped(module, key, OURS_ALONE)}
        if names:
            modules[module] = names
    return modules


@pytest.fixture(scope="module")
def real(stand_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    wanted = {"signatures": {module: list(names) for module, names in stand_in.items()}, "core": list(CORE_NODES)}
    (folder / "names.json").write_text(json.dumps(wanted))
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    script = Path(__file__).with_name("real_comfyui.py")
    arguments = [os.environ["COMFYUI_DIR"], str(ROOT), str(folder / "names.json"), str(folder / "out.json")]
    done = subprocess.run([python, str(script), *arguments], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


def test_every_name_exists_and_takes_the_same_arguments(stand_in, real):
    wrong = []
    for module, names in stand_in.items():
        for name, parameters in names.items():
            theirs = real["signatures"][module][name]
            if theirs is None:
                wrong.append(f"{module}.{name} does not exist")
            elif parameters is not None and not skipped(module, name, SHORTER):
                open_ended = any(parameter.startswith("*") for parameter in theirs)
                in_order = [parameter for parameter in theirs if parameter in parameters]
                if in_order != parameters and not open_ended:
                    wrong.append(f"{module}.{name}{parameters} is {theirs}")
    assert wrong == []


def test_the_entries_of_our_nodes_are_the_servers(pack, real):
    for name, entry in json.loads(json.dumps(pack.object_info())).items():
        theirs = real["pack"][name]
        assert entry | {"python_module": theirs["python_module"]} == theirs, name


@pytest.mark.parametrize("name", CORE_NODES)
def test_the_entries_of_core_nodes_fit_the_servers(real, name):
    entry, theirs = CORE_NODES[name], real["core"][name]
    assert entry["output"] == theirs["output"]
    assert entry["output_name"] == theirs["output_name"]
    ours, others = sockets_of(entry), sockets_of(theirs)
    assert list(ours) == list(others)
    for socket, (kind, options) in ours.items():
        their_kind, *rest = others[socket]
        their_options = rest[0] if rest else {}
        if isinstance(kind, list) or kind == "COMBO":
            assert isinstance(their_kind, list) == isinstance(kind, list), socket
            if socket.endswith("_name") or socket == "file":
                continue  # files that a user has
            choices = kind if isinstance(kind, list) else options["options"]
            known = their_kind if isinstance(their_kind, list) else their_options["options"]
            assert set(choices) <= set(known), socket
        else:
            assert kind == their_kind, socket
        if kind != CHOICE:
            for option in ("default", "min", "max", "step", "control_after_generate"):
                assert options.get(option) == their_options.get(option), (socket, option)
