"""What the browser may ask or tell before anything is queued; no file of the user is touched.

``POST /patchvsr/plan`` answers with a forecast; ``POST /patchvsr/language`` tells in which language a page is read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict
from typing import Any

from ..patchvsr_core.errors import PatchVSRError
from ..patchvsr_core.hosts.comfy import guessed_speed, shipped_refiner, throughput_of
from ..patchvsr_core.hosts.comfy.language import LANGUAGE, LONGEST_PAGE, reading, set_language, words_of
from ..patchvsr_core.plan.planner import LAYOUTS
from ..patchvsr_core.plan.positions import COLORS
from ..patchvsr_core.plan.target_size import CUSTOM, MAX_SCALE, MAX_SIDE, TARGETS, resolve_target
from ..patchvsr_core.run.forecast import Forecast, Request, forecast
from ..patchvsr_core.run.forecast_text import planner_lines, video_lines, warning_line
from ..patchvsr_core.settings import BASE_LAYERS, QUALITIES, Settings, with_quality
from ..patchvsr_core.stages.families import FAMILIES
from ..patchvsr_core.video.encoders import CODECS, CRF, CRF_RANGE
from .widgets import AUTO, setting_limits

try:
    from server import PromptServer, web  # with the aiohttp that the server itself uses
except ImportError:
    PromptServer = web = None

log = logging.getLogger(__name__)

ROUTE = "/patchvsr/plan"
LANGUAGE_ROUTE = "/patchvsr/language"
LONGEST_BODY = 16_384
AT_ONCE = 2
"""Questions that are answered at the same time; all of ComfyUI shares the threads."""
MOST_DRAWN = 2_500
"""Positions; more would be indistinguishable on a node."""
REQUIRED = {"frames": (1, 10_000_000), "width": (1, MAX_SIDE), "height": (1, MAX_SIDE)}
NUMBERS = {
    "scale": (1.0, MAX_SCALE),
    **{name: setting_limits(name, own=True) for name in ("patch_px", "window_frames", "overlap_frames", "steps")},
    "guidance": setting_limits("guidance"),
    "detail": setting_limits("detail"),
    "crf": CRF_RANGE,
}
CHOICES = {
    "family": tuple(FAMILIES),
    "layout": (AUTO, *LAYOUTS),
    "codec": (AUTO, *CODECS),
    "base_layer": (AUTO, *BASE_LAYERS),
    "node": ("planner", "video", "frames"),
    "target": TARGETS,
    "quality": QUALITIES,
}
FLAGS = ("has_adapter", "guessed")
NOT_FORECAST = ("width", "height", "guessed", "node", "locale", "target", "quality")
LONGEST_SIZE = 32


def register() -> bool:
    """Add the routes to ComfyUI's server; False where there is none."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return False

    async def plan(request: Any) -> Any:
        text = await _read_body(request)
        async with turn:  # the others wait, and cost nothing while they do
            answer = await asyncio.to_thread(answer_to, text)  # planning a large frame must not stop the server
        return web.json_response(answer)

    async def language(request: Any) -> Any:
        return web.json_response({"known": keep_language(await _read_body(request))})

    turn = asyncio.Semaphore(AT_ONCE)

    server.routes.post(ROUTE)(plan)
    server.routes.post(LANGUAGE_ROUTE)(language)

    return True


async def _read_body(request: Any) -> str:
    """The body, or nothing where it is too long: no more of it is read, whatever length its header gives."""
    body = b""
    while len(body) <= LONGEST_BODY:
        part = await request.content.read(LONGEST_BODY + 1 - len(body))
        if not part:
            return body.decode("utf-8", "replace")
        body += part
    return ""


def answer_to(text: str) -> dict[str, Any]:
    """The forecast for a question in JSON, or ``error`` with one sentence."""
    question = _read_json(text)
    locale = question.get("locale") if isinstance(question, dict) else None
    with reading(locale if isinstance(locale, str) else "en"):
        return _forecast_for(question)


def keep_language(text: str) -> bool:
    """Keep in which language a page is read; False for what is no message of a page."""
    told = _read_json(text)
    if not isinstance(told, dict) or told.keys() != {"page", "language"}:
        return False
    page, language = told["page"], told["language"]
    if not isinstance(page, str) or len(page) > LONGEST_PAGE or not _is_allowed("locale", language):
        return False
    set_language(page, language)
    return True


def _forecast_for(question: Any) -> dict[str, Any]:
    try:
        question = _checked(question)
        throughput, speed = throughput_of(question["family"]), guessed_speed()
        return _answer(question, forecast(_request_of(question), throughput, shipped_refiner(), speed=speed))
    except PatchVSRError as error:
        return {"error": str(error)}
    except Exception as error:
        log.warning("PatchVSR: the plan could not be previewed", exc_info=error)
        return {"error": str(PatchVSRError("The plan could not be previewed; ComfyUI's log says why."))}


def _read_json(text: str) -> Any:
    """What a body holds; None for one that is too long or no JSON."""
    try:
        return json.loads(text) if len(text) <= LONGEST_BODY else None
    except (ValueError, RecursionError):
        return None


def _checked(question: Any) -> dict[str, Any]:
    """A question with nothing in it but what is known, of the right kind and in its range."""
    if not isinstance(question, dict):
        raise PatchVSRError("The question is no JSON object; reload the page.")
    known = {*REQUIRED, *NUMBERS, *CHOICES, *FLAGS, "size", "locale"}
    for name in ({*REQUIRED, "family"} - question.keys()) | (question.keys() - known):
        raise PatchVSRError(f"{name} is {'missing' if name in known else 'unknown'}; reload the page.")
    for name, value in question.items():
        if not _is_allowed(name, value):
            raise PatchVSRError(f"{name} is {str(value)[:40]!r}, which is not possible; choose another value.")
    return question


def _is_allowed(name: str, value: Any) -> bool:
    if name in CHOICES:
        return isinstance(value, str) and value in CHOICES[name]
    if name in FLAGS:
        return isinstance(value, bool)
    if name == "size":
        return isinstance(value, str) and len(value) <= LONGEST_SIZE
    if name == "locale":
        return isinstance(value, str) and LANGUAGE.fullmatch(value) is not None
    low, high = (REQUIRED | NUMBERS)[name]
    kinds = (int, float) if isinstance(low, float) else (int,)
    return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high


def _request_of(question: dict[str, Any]) -> Request:
    values = {name: value for name, value in question.items() if name not in NOT_FORECAST}
    if values.get("codec", AUTO) == AUTO:
        values["codec"] = "h264"
    values.setdefault("crf", CRF)
    factor, exact = resolve_target(
        question.get("target", CUSTOM), question.get("scale", Request.scale), question.get("size", "")
    )
    values |= {"scale": factor, "size": exact or ""}
    if question.get("quality") == "fast":
        values |= {"family": "tiny", "detail": Settings.detail, "base_layer": AUTO}
    elif "detail" in values:
        asked = with_quality(Settings(detail=values["detail"]), question.get("quality", ""))
        values |= {"detail": asked.detail, "patch_detail": asked.patch_detail}
    return Request(source=(question["height"], question["width"]), **values)


def _answer(question: dict[str, Any], found: Forecast) -> dict[str, Any]:
    """The forecast, what to write, and what to draw in which colours."""
    node = question.get("node", "planner")
    planner = node == "planner"
    words = words_of(question.get("locale", "en"))
    guessed = question.get("guessed", False)
    fast = question.get("quality") == "fast"
    lines = planner_lines(found, guessed=guessed, words=words) if planner else video_lines(found, words, fast=fast)
    lines = lines[:1] if node == "frames" else lines  # no file is written
    answer = asdict(found) | {"lines": lines, "warning": warning_line(found, words, fast=fast)}
    answer["places"] = answer.pop("positions") if planner and len(found.positions) <= MOST_DRAWN else ()
    answer["total_places"] = len(found.positions)
    answer["colors"] = {kind: [round(255 * part) for part in color] for kind, color in COLORS.items()}
    return answer
