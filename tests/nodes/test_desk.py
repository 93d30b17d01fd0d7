"""What the browser is told before anything is queued, and the times of runs that are kept."""

import asyncio
import json
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain
from fakes.pack import load_pack

TINY = {"family": "tiny", "frames": 40, "width": 320, "height": 176}
PLANNER = {
    "node": "planner",
    "scale": 4.0,
    "patch_px": 256,
    "layout": "auto",
    "window_frames": 8,
    "overlap_frames": 2,
    "size": "",
    "guessed": True,
}
VIDEO = {"node": "video", "scale": 2, "layout": "corner", "codec": "auto", "crf": 16, "steps": 0, "has_adapter": True}


@pytest.fixture
def user(pack, tmp_path, monkeypatch):
    """ComfyUI's user folder."""
    import folder_paths

    monkeypatch.setitem(folder_paths.folders, "user", tmp_path)
    return tmp_path


class Body:
    """As aiohttp streams one: in parts."""

    def __init__(self, text):
        self.left, self.read_bytes = text, 0

    async def read(self, most):
        part, self.left = self.left[: min(most, 1000)], self.left[min(most, 1000) :]
        self.read_bytes += len(part)
        return part


@pytest.fixture
def ask(pack, user):
    """Ask as the browser does, through the server's route."""
    from server import PromptServer

    handler = PromptServer.instance.routes.posted["/patchvsr/plan"]

    def asked(question):
        text = question if isinstance(question, str) else json.dumps(question)

        answer = asyncio.run(handler(SimpleNamespace(content=Body(text.encode()))))
        assert answer.status == 200
        return json.loads(answer.text)

    return asked


def test_the_planner_is_told_what_it_will_make(ask):
    answer = ask(TINY | PLANNER)
    assert answer["target"] == [704, 1280]
    assert answer["counts"] == {"primary": len(answer["places"]), "auxiliary": 0, "corner": 0}
    assert len(answer["lines"]) == 3 and "~7 windows" in answer["lines"][0]
    assert answer["colors"]["primary"] == [255, 255, 255]
    assert set(answer["places"][0]) == {"number", "kind", "y", "x", "height", "width"}


@pytest.mark.parametrize(("layout", "scale"), [("auto", 4.0), ("corner", 2.0), ("alternating", 3.0)])
def test_the_answer_is_the_plan_that_the_node_makes(pack, tiny, ask, layout, scale):
    clip = a_clip(3, 40, 60)
    chosen = PLANNER | {"layout": layout, "scale": scale, "patch_px": 64}
    inputs = {name: chosen[name] for name in ("scale", "patch_px", "layout")}
    plan, _, width, height = run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae, **inputs)
    answer = ask(TINY | chosen | {"frames": 3, "width": 60, "height": 40})
    positions = pack.part("patchvsr_core.plan.positions").list_positions(plan)
    assert answer["target"] == [height, width]
    assert [place["number"] for place in answer["places"]] == [place.number for place in positions]
    assert [(p["y"], p["x"]) for p in answer["places"]] == [(place.y, place.x) for place in positions]


def test_upscale_video_is_told_sizes_and_nothing_to_draw(ask):
    answer = ask(TINY | VIDEO)
    assert answer["target"] == [352, 640] and answer["places"] == []
    assert "disk while running" in answer["lines"][1]


def test_lines_are_in_the_language_of_the_page(ask):
    english, german, unknown = (ask(TINY | PLANNER | {"locale": name})["lines"] for name in ("en", "de", "xx"))
    assert german[0].startswith("1280x704 · ") and "Patches" in german[0] and german != english
    assert unknown == english


def test_the_planner_reports_what_it_really_got(pack, tiny):
    node = pack["PatchPlanner"]
    clip = a_clip(3, 13, 17)
    values = {socket.id: socket.default for socket in node.GET_SCHEMA().inputs if socket.default is not None}
    (report,) = node.execute(image=clip, vae=tiny.vae, **values).ui["patchvsr_plan"]
    assert {name: report[name] for name in TINY} == {"family": "tiny", "frames": 3, "width": 17, "height": 13}
    assert report["scale"] == 4.0 and report["layout"] == "auto"


@pytest.mark.parametrize(
    "change",
    [{"patch_px": 100}, {"size": "wide"}, {"size": "20x20"}, {"window_frames": 2, "overlap_frames": 2}],
)
def test_what_the_node_would_refuse_is_refused_in_its_words(pack, tiny, ask, change):
    clip = a_clip(3, 176, 320)
    execute = pack["PatchPlanner"].execute
    widgets = {name: value for name, value in (PLANNER | change).items() if name not in ("node", "guessed")}
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError) as refused:
        execute(image=clip, vae=tiny.vae, **widgets)
    assert ask(TINY | PLANNER | change) == {"error": str(refused.value)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frames": 0}, "frames"),
        ({"frames": 1.5}, "frames"),
        ({"frames": True}, "frames"),
        ({"frames": 10**12}, "frames"),
        ({"width": "320"}, "width"),
        ({"scale": float("nan")}, "scale"),
        ({"scale": None}, "scale"),
        ({"family": "a painter"}, "family"),
        ({"family": ["tiny"]}, "family"),
        ({"layout": "hexagons"}, "layout"),
        ({"size": "9" * 100}, "size"),
        ({"guessed": 1}, "guessed"),
        ({"path": "/etc/passwd"}, "path"),
    ],
)
def test_strange_questions_get_one_sentence(ask, change, named):
    (error,) = ask(TINY | PLANNER | change).values()
    assert error.startswith(f"{named} is ")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a":' * 5000, "x" * 20_000, "[" * 10_000])
def test_what_is_no_question_gets_one_sentence_too(ask, text):
    assert ask(text) == {"error": "The question is no JSON object; reload the page."}


def test_a_question_without_the_clip_names_what_is_missing(ask):
    assert ask({"family": "tiny", "frames": 1, "width": 8})["error"].startswith("height is missing")


def test_a_fault_of_ours_does_not_reach_the_server(pack, ask, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(pack.part("nodes.desk"), "forecast", broken)
    assert ask(TINY | PLANNER) == {"error": "The plan could not be previewed; ComfyUI's log says why."}


def test_too_many_patches_are_counted_and_not_drawn(ask):
    answer = ask(TINY | PLANNER | {"patch_px": 64, "layout": "corner", "size": "3840x2160"})
    assert answer["places"] == [] and answer["total_places"] > 2500


def test_where_there_is_no_server_the_nodes_come_all_the_same(pack):
    """A pack of its own: the one of the other tests stays as it is."""
    kept = {name: module for name, module in sys.modules.items() if name.startswith(pack.module.__name__)}
    server = sys.modules["server"]
    sys.modules["server"] = None
    try:
        again = load_pack()
        assert again.part("nodes.desk").register() is False
        assert set(again.nodes) == set(pack.nodes)
    finally:
        sys.modules["server"] = server
        sys.modules.update(kept)


def test_time_is_known_after_a_run(pack, tiny, ask, user):
    clip = a_clip(3, 13, 17)
    question = TINY | PLANNER | {"frames": 3, "width": 17, "height": 13, "patch_px": 64, "layout": "corner"}
    times = pack.part("patchvsr_core.hosts.comfy.run_times")
    assert ask(question)["seconds"] is None
    run_chain(pack, tiny, clip)
    answer = ask(question)
    assert 0 < answer["seconds"] < 60 and "(measured here)" in answer["lines"][2]
    figures = json.loads((user / times.FILE).read_text())
    (by_device,) = figures.values()
    kinds = {key.rpartition("|")[0] if key.startswith("patch") else key for key in by_device}
    assert kinds == {"patch|tiny 256x6x768", "stage|encode|tiny", "stage|decode|tiny", "stage|refine", "stage|fidelity"}
    assert ask(question | {"family": "wan"})["seconds"] is None, "of another model nothing is known"


def test_back_projection_is_timed_while_it_works(pack, user, monkeypatch):
    """The time of the work, not of what prepares it."""
    finishing, times = pack.part("nodes.finishing"), pack.part("patchvsr_core.hosts.comfy.run_times")
    original = finishing.back_project_onto_input

    def slow(*args):
        time.sleep(0.2)
        return original(*args)

    monkeypatch.setattr(finishing, "back_project_onto_input", slow)
    finishing.agreeing(a_clip(2, 26, 34), a_clip(2, 13, 17), 2, 1.0, 1.0, 0.0)
    per_megapixel = times.throughput_of("tiny").stages["fidelity"]
    assert per_megapixel >= 0.2 / (2 * 26 * 34 / 1e6)


def test_a_prompt_is_counted_as_a_patch_of_its_own(pack, tiny, clip, user, monkeypatch):
    """Guidance runs every patch twice; what one run takes stays the same."""
    import comfy.samplers

    noted = []
    times = pack.part("patchvsr_core.hosts.comfy.run_times")
    monkeypatch.setattr(times.PatchTimer, "note", lambda timer, evaluations, seconds: noted.append(evaluations))
    chain = run_chain(pack, tiny, clip)
    guider = comfy.samplers.CFGGuider(chain.merged)
    guider.set_conds(tiny.prompt, tiny.prompt)
    guider.set_cfg(2.0)
    start = chain.start["samples"]
    guider.sample(start, start, comfy.samplers.sampler_object("euler"), pack_sigmas(), seed=0)
    assert noted == [len(chain.plan.patches), 2 * len(chain.plan.patches)]


def pack_sigmas():
    return torch.tensor([1.0, 0.0])


def test_a_stage_that_fails_is_not_timed(pack, user):
    times = pack.part("patchvsr_core.hosts.comfy.run_times")
    with pytest.raises(KeyError), times.timed_stage("broken", 1, (8, 8)):
        raise KeyError
    assert not (user / times.FILE).exists()


@pytest.mark.parametrize("content", ["[" * 100_000, '{"cpu x1": {"stage|refine": [Infinity, NaN, ' + "9" * 400 + "]}}"])
def test_a_tampered_file_of_times_stops_neither_preview_nor_run(pack, tiny, ask, user, content):
    times = pack.part("patchvsr_core.hosts.comfy.run_times")
    (user / times.FILE).write_text(content.replace("cpu x1", times._device()))
    question = TINY | PLANNER | {"frames": 3, "width": 17, "height": 13, "patch_px": 64}
    assert ask(question)["seconds"] is None
    run_chain(pack, tiny, a_clip(3, 13, 17))
    assert ask(question)["seconds"] > 0
    assert ask(question | {"patch_px": 128})["seconds"] > 0, "another patch size is scaled from the one that was timed"


def test_a_long_body_is_not_read_to_its_end(pack, user):
    from server import PromptServer

    body = Body(b"x" * 10_000_000)
    handler = PromptServer.instance.routes.posted["/patchvsr/plan"]
    answer = asyncio.run(handler(SimpleNamespace(content=body)))
    assert "no JSON object" in answer.text and body.read_bytes == pack.part("nodes.desk").LONGEST_BODY + 1


def test_no_number_of_languages_fills_the_memory(pack, ask):
    for number in range(100):
        ask(TINY | VIDEO | {"locale": "x" + "abcdefghij"[number // 10] + "abcdefghij"[number % 10]})
    language = pack.part("patchvsr_core.hosts.comfy.language")
    for cached in (language.words_of, language.sentences_of):
        assert cached.cache_info().currsize <= language.MOST_LANGUAGES


DEAREST = [
    {"width": 8192, "height": 8192, "scale": 4.0, "patch_px": 64, "layout": "corner"},
    {"width": 4096, "height": 4096, "scale": 1.0, "patch_px": 64, "layout": "corner"},
    {"width": 3200, "height": 3200, "scale": 1.0, "patch_px": 64, "layout": "corner"},
    {"width": 6000, "height": 6000, "scale": 2.0, "patch_px": 256, "layout": "alternating"},
    {"frames": 10_000_000, "window_frames": 2, "overlap_frames": 1, "width": 3200, "height": 3200, "scale": 1.0},
]


@pytest.mark.parametrize("change", DEAREST, ids=str)
def test_the_dearest_question_takes_seconds(ask, change):
    begun = time.perf_counter()
    ask(TINY | PLANNER | change)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    "network",
    [
        object(),
        torch.nn.Identity(),
        torch.nn.Sequential(torch.nn.ModuleList([torch.nn.Linear(8, 4) for _ in range(3)])),
    ],
    ids=["an engine", "no layers", "a transformer"],
)
def test_notes_of_times_never_stop_a_run_whatever_the_model_is(pack, tiny, user, network):
    """They are prepared before sampling, for models that show nothing of themselves too."""
    times = pack.part("patchvsr_core.hosts.comfy.run_times")
    layout = SimpleNamespace(latent_dimensions=2)
    shown = SimpleNamespace(latent_format=layout, model_config=None)
    model = SimpleNamespace(model=shown, get_model_object=lambda name: network)
    plan = SimpleNamespace(patch_size=(1, 4, 4))
    times.PatchTimer(model, plan).note(2, 1.0)
    (kind,) = times._times().typical(times._device())
    assert kind.startswith("patch|image ") and kind.endswith("|4")
