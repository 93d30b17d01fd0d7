"""The plan on the node before anything is queued, in ComfyUI's own frontend and before a server that plans."""

import base64
import copy
import json
import wave
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
import torch
from clips import write
from fakes import ROOT
from fakes.core_nodes import CORE_NODES
from frontend.browser import IS_READY, SETTINGS, missing, open_frontend, rest, settle, static_folder
from frontend.stub_server import StubServer
from PIL import Image

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
PLANNER, PREVIEW = "PatchVSR_PatchPlanner", "PatchVSR_PatchPreview"
FIND = "const planner = app.graph._nodes.find((n) => n.type === 'PatchVSR_PatchPlanner');"
OVERLAY = "planner.widgets.find((w) => w.name === 'patchvsr_forecast')"
SAYS = f"""(begins) => {{ {FIND} return {OVERLAY}.element.innerText.startsWith(begins) }}"""
PICTURE = f"{OVERLAY}.element.querySelector('image').getAttribute('href')"
HAS_PICTURE = f"() => {{ {FIND} return {PICTURE}?.length > 1000 }}"
FIRST, NOT_RUN = "960x400", "Queue once to see the plan."
LOOKS = 17
"""After so many, the picture of a clip is taken for the last time."""


class Overlay:
    """What a user sees of it and does with it."""

    def __init__(self, page):
        self.page = page

    def load(self, workflow, begins=FIRST):
        """Ready when the text is there that begins so."""
        self.page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
        self.wait(begins)

    def wait(self, begins):
        self.page.wait_for_function(SAYS, arg=begins)
        settle(self.page)

    def run(self, script, *values):
        return self.page.evaluate(f"(values) => {{ {FIND} {script} }}", list(values))

    def set(self, widget, value):
        self.run("planner.widgets.find((w) => w.name === values[0]).value = values[1]", widget, value)
        settle(self.page)

    @property
    def text(self):
        return self.run(f"return {OVERLAY}.element.innerText")

    @property
    def drawn(self):
        """Rectangles but for the ground."""
        return self.run(f"return {OVERLAY}.element.querySelectorAll('rect[stroke]').length")

    @property
    def is_shown(self):
        return self.run(f"return {OVERLAY}.element.querySelector('svg').getBoundingClientRect().height > 20")

    @property
    def highlighted(self):
        """Indices of the filled rectangles."""
        return self.run(
            f"return [...{OVERLAY}.element.querySelectorAll('rect[stroke]')]"
            ".map((r, index) => (r.getAttribute('fill') === 'none' ? -1 : index)).filter((index) => index >= 0)"
        )

    def look_at_the_planner(self):
        self.run("app.canvas.ds.scale = 1; app.canvas.ds.offset = [200 - planner.pos[0], 150 - planner.pos[1]]")
        self.run("app.canvas.setDirty(true, true)")
        rest(self.page)

    def middle_of(self, index):
        box = self.run(
            f"const r = {OVERLAY}.element.querySelectorAll('rect[stroke]')[values[0]].getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]",
            index,
        )
        return tuple(box)

    def prompt(self):
        return json.loads(self.page.evaluate("async () => JSON.stringify(await app.graphToPrompt())"))


def entries(pack):
    info = json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))
    if PREVIEW not in info:  # what the overlay relies on of that node
        sockets = {"plan": ["PATCHVSR_PLAN", {}], "patch": ["INT", {"default": 0, "min": 0, "max": 9999}]}
        info[PREVIEW] = info[PLANNER] | {
            "name": PREVIEW,
            "input": {"required": sockets},
            "input_order": {"required": list(sockets)},
        }
    return info


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A file without a picture."""
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return path


@pytest.fixture(scope="module")
def black(tmp_path_factory):
    """What a video that was never on a page paints."""
    return write(tmp_path_factory.mktemp("black") / "black.mp4", torch.zeros(8, 100, 240, 3))


@pytest.fixture(scope="module")
def server(pack, sound, black):
    desk = pack.part("nodes.desk")
    options = {
        "web": ROOT / "web",
        "posted": {desk.ROUTE: desk.answer_to},
        "inputs": {"patchvsr_sample.mp4": ROOT / "examples" / "sample.mp4", sound.name: sound, black.name: black},
    }
    with StubServer(static_folder(), entries(pack), **options) as server:
        yield server


@pytest.fixture(scope="module")
def workflow():
    """The tiny example, with nothing over the planner."""
    workflow = json.loads((ROOT / "example_workflows" / "patchvsr_tiny.json").read_text())
    for node in workflow["nodes"]:
        if node["type"] == "PreviewImage":
            node["pos"][1] += 3000
    return workflow


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "vue"])
def page(server, request):
    server.answers["/settings"]["Comfy.VueNodes.Enabled"] = request.param
    with open_frontend(server.address, width=1600) as page:
        yield page


@pytest.fixture
def overlay(page, workflow):
    overlay = Overlay(page)
    overlay.load(workflow)
    yield overlay
    assert page.script_errors == []


def test_the_plan_is_there_before_anything_is_queued(overlay):
    assert overlay.text.startswith("960x400 · 10 patches (10 primary) x ~7 windows")
    assert "time: known after the first run" in overlay.text
    assert overlay.drawn == 10 and overlay.is_shown
    overlay.page.wait_for_function(HAS_PICTURE)


@pytest.mark.parametrize("preview", ["", "detached", "folded"])
def test_the_picture_is_one_of_the_clip_and_not_black(overlay, preview):
    if preview:  # as Vue leaves it, and as it is on a folded node: never painted on a page
        overlay.run(
            "const holder = document.createElement('div'); const video = document.createElement('video');"
            "Object.assign(video, { preload: 'auto', muted: true });"
            "video.src = '/api/view?filename=black.mp4&of=patchvsr_sample.mp4';"
            "holder.append(video); app.graph._nodes.find((n) => n.type === 'LoadVideo').videoContainer = holder;"
            "holder.style.display = 'none'; if (values[0]) document.body.append(holder)",
            preview == "folded",
        )
        settle(overlay.page)
        overlay.set("scale", 2)
    overlay.page.wait_for_function(HAS_PICTURE)
    settle(overlay.page, LOOKS)
    href = overlay.run(f"return {PICTURE}")
    picture = np.asarray(Image.open(BytesIO(base64.b64decode(href.split(",")[1]))), dtype=float)
    assert picture.mean() > 20 and picture.std() > 20


def test_a_file_of_sound_alone_has_no_picture(overlay):
    choose = (
        "const [widget] = app.graph._nodes.find((n) => n.type === 'LoadVideo').widgets; widget.value = 'sound.wav';"
    )
    overlay.run(f"{choose} widget.callback?.('sound.wav')")
    overlay.wait("This file has no picture.")
    assert overlay.text == "This file has no picture."


@pytest.mark.parametrize(
    ("widget", "value", "text", "drawn"),
    [
        ("scale", 2, "480x200", 3),
        ("patch_px", 128, "960x400", 40),
        ("layout", "corner", "21 patches (8 primary, 10 auxiliary, 3 corner)", 21),
        ("window_frames", 16, "x ~3 windows", 10),
        ("size", "1920x0", "1920x800", 40),
    ],
)
def test_it_follows_the_widgets(overlay, widget, value, text, drawn):
    overlay.set(widget, value)
    assert text in overlay.text
    assert overlay.drawn == drawn


def test_what_the_planner_would_refuse_is_said_and_nothing_is_drawn(overlay):
    overlay.set("patch_px", 100)
    assert overlay.text == "Patch size 100 px must be a multiple of 16 px; try 96."
    assert overlay.drawn == 0 or not overlay.is_shown
    overlay.set("patch_px", 256)
    assert overlay.drawn == 10 and overlay.is_shown


def test_a_sampler_of_too_few_steps_is_warned_of(overlay):
    overlay.set("layout", "alternating")
    assert "needs 2 steps or more, not 1" in overlay.text and overlay.is_shown


def test_without_a_clip_it_says_so_and_assumes_nothing(overlay):
    overlay.run("planner.disconnectInput(planner.findInputSlot('image'))")
    settle(overlay.page)
    assert overlay.text == "Connect a clip to see the plan."
    assert not overlay.is_shown


def test_another_node_in_between_may_change_the_size(overlay):
    overlay.run(
        "const scale = LiteGraph.createNode('ImageScale'); app.graph.add(scale);"
        "const source = planner.getInputNode(planner.findInputSlot('image'));"
        "source.connect(0, scale, scale.findInputSlot('image'));"
        "scale.connect(0, planner, planner.findInputSlot('image'))"
    )
    settle(overlay.page)
    assert overlay.text == NOT_RUN
    told = {"frames": 12, "width": 100, "height": 50, "family": "tiny"}
    overlay.run("planner.onExecuted({ patchvsr_plan: [values[0]] })", told)
    settle(overlay.page)
    assert overlay.text.startswith("400x200 · ") and "x 2 windows" in overlay.text
    overlay.run("app.graph._nodes.find((n) => n.type === 'ImageScale').widgets[1].value = 77")
    settle(overlay.page)
    assert overlay.text == NOT_RUN, "what was told is of another size"


def test_a_click_chooses_the_patch_of_patch_preview(overlay):
    overlay.run(
        f"const made = LiteGraph.createNode('{PREVIEW}'); app.graph.add(made); made.pos = [planner.pos[0], 5000];"
        "planner.connect(0, made, made.findInputSlot('plan'))"
    )
    overlay.set("layout", "corner")
    overlay.look_at_the_planner()
    number = (
        f"return app.graph._nodes.find((n) => n.type === '{PREVIEW}').widgets.find((w) => w.name === 'patch').value"
    )
    place = overlay.middle_of(4)
    overlay.page.mouse.move(*place)
    overlay.page.wait_for_function(SAYS, arg="patch 5, primary")
    overlay.page.mouse.click(*place)
    settle(overlay.page)
    assert overlay.run(number) == 5 and overlay.highlighted == [4]
    overlay.page.mouse.click(*place)
    settle(overlay.page)
    assert overlay.run(number) == 0 and overlay.highlighted == []
    overlay.run(
        f"app.graph._nodes.find((n) => n.type === '{PREVIEW}').widgets.find((w) => w.name === 'patch').value = 9"
    )
    settle(overlay.page)
    assert overlay.highlighted == [8], "a number typed there is shown here"


def test_it_works_in_a_subgraph(overlay):
    overlay.run(
        "const encoder = app.graph._nodes.find((n) => n.type === 'PatchVSR_PatchEncoder');"
        "app.graph.convertToSubgraph(new Set([planner, encoder]))"
    )
    settle(overlay.page)
    inner = overlay.page.evaluate(
        "() => { const owner = app.graph._nodes.find((n) => n.subgraph);"
        f"const planner = owner.subgraph._nodes.find((n) => n.type === '{PLANNER}');"
        "return planner.widgets.find((w) => w.name === 'patchvsr_forecast').element.textContent }"
    )
    assert "960x400 · 10 patches" in inner


def test_prompt_and_workflow_know_nothing_of_it(overlay, workflow):
    saved = overlay.prompt()
    assert "patchvsr_forecast" not in json.dumps(saved)
    before = {node["id"]: node for node in workflow["nodes"]}
    for node in saved["workflow"]["nodes"]:
        assert node.get("widgets_values") == before[node["id"]].get("widgets_values")
        assert node.get("properties", {}).keys() == before[node["id"]].get("properties", {}).keys()
        assert [socket["name"] for socket in node["inputs"]] == [s["name"] for s in before[node["id"]]["inputs"]]


def test_a_graph_with_a_missing_node_is_no_error(overlay, workflow):
    broken = copy.deepcopy(workflow)
    next(node for node in broken["nodes"] if node["type"] == "GetVideoComponents")["type"] = "Nonsense"
    overlay.load(broken, NOT_RUN)
    assert overlay.text == NOT_RUN


def test_time_is_there_when_a_run_has_ended(overlay, pack, monkeypatch):
    speed = pack.part("patchvsr_core.run.throughput").Throughput({2048: 1.0}, {})
    monkeypatch.setattr(pack.part("nodes.desk"), "throughput_of", lambda family: speed)
    overlay.page.evaluate(
        "() => window.comfyAPI.api.api.dispatchEvent("
        "new CustomEvent('execution_success', { detail: { prompt_id: '' } }))"
    )
    settle(overlay.page)
    assert "time ~1 min 10 s for 1 step (measured here)" in overlay.text


def test_upscale_video_tells_sizes_too(overlay):
    workflow = (ROOT / "example_workflows" / "patchvsr_long_4k.json").read_text()
    overlay.page.evaluate("(workflow) => app.loadGraphData(workflow)", json.loads(workflow))
    told = (
        "app.graph._nodes.find((n) => n.type === 'PatchVSR_UpscaleVideo')"
        ".widgets.find((w) => w.name === 'patchvsr_forecast').element.innerText"
    )
    overlay.page.wait_for_function(f"() => {told}.startsWith('960x400 · restorer alone')")
    assert "disk while running" in overlay.page.evaluate(f"() => {told}")


@contextmanager
def beside(page, server):
    """Another server's frontend in a tab of the same browser."""
    server.answers["/settings"] |= SETTINGS
    with server:
        other = page.context.new_page()
        other.goto(server.address)
        other.wait_for_function(IS_READY, timeout=120_000)
        yield Overlay(other)
        other.close()


def test_without_the_script_the_same_prompt_comes_out(overlay, pack):
    """From what was saved with it; and with it from what was saved without it."""
    with_it = overlay.prompt()
    with beside(overlay.page, StubServer(static_folder(), entries(pack))) as bare:
        bare.page.evaluate("(workflow) => app.loadGraphData(workflow)", with_it["workflow"])
        rest(bare.page)
        without = bare.prompt()
    overlay.load(without["workflow"])
    for prompt in (with_it, without, again := overlay.prompt()):
        for entry in prompt["output"].values():
            entry["inputs"].pop("video-preview", None)  # the frontend's own
    assert without["output"] == with_it["output"] == again["output"]


def test_a_server_without_the_route_is_no_error(overlay, pack, workflow):
    with beside(overlay.page, StubServer(static_folder(), entries(pack), web=ROOT / "web")) as bare:
        bare.load(workflow, NOT_RUN)
        bare.run("planner.onExecuted({ patchvsr_plan: [{ frames: 3, width: 8, height: 8, family: 'tiny' }] })")
        settle(bare.page)
        assert bare.text == "Start ComfyUI again to see the plan here."


def test_it_speaks_the_language_of_the_page(overlay, pack, workflow):
    """The translations are those that ComfyUI serves."""
    server = StubServer(static_folder(), entries(pack), web=ROOT / "web")
    server.answers["/i18n"] = {"fr": {"patchvsr": {"no_clip": "Connecter un clip."}}}
    server.answers["/settings"] |= {"Comfy.Locale": "fr"}
    with beside(overlay.page, server) as french:
        french.load(workflow, "")
        french.run("planner.disconnectInput(planner.findInputSlot('image'))")
        settle(french.page)
        assert french.text == "Connecter un clip."
