"""The toast of a failed run says what is wrong and what to do, in ComfyUI's own frontend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from frontend.browser import missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
OURS = "/home/me/ComfyUI/custom_nodes/PatchVSR.patchvsr_core.errors.PlanError"
LONG = "The size '1920y0' cannot be parsed; " + "write WIDTHxHEIGHT, such as 1920x1080, or 4K, " * 8 + "please."
TOAST = '[data-testid="error-overlay"]'
FAIL = """async ([type, message]) => {
    app.graph.clear()
    const node = LiteGraph.createNode('PatchVSR_UpscaleVideo')
    app.graph.add(node)
    const { api } = await import('/scripts/api.js')
    const failed = { prompt_id: 'p', node_id: String(node.id), node_type: node.type, executed: [], traceback: [] }
    api.dispatchCustomEvent('execution_start', { prompt_id: 'p' })
    api.dispatchCustomEvent('execution_error', { ...failed, exception_type: type, exception_message: message })
}"""
IS_WHOLE = "(text) => text.scrollHeight <= text.clientHeight + 1"


@pytest.fixture(scope="module")
def page(pack: Any) -> Iterator[Any]:
    info = {**CORE_NODES, **pack.object_info()}
    with StubServer(static_folder(), info, web=ROOT / "web") as server, open_frontend(server.address) as page:
        yield page
        assert page.script_errors == []


def toast_after(page: Any, kind: str, message: str) -> str:
    page.evaluate(FAIL, [kind, message])
    page.wait_for_selector(TOAST)
    page.wait_for_timeout(500)
    assert page.locator(TOAST).count() == 1
    return page.locator(f"{TOAST} p").inner_text()


def test_it_says_the_whole_sentence(page: Any) -> None:
    assert toast_after(page, OURS, f"{LONG}\n") == LONG
    assert page.locator(f"{TOAST} p").evaluate(IS_WHOLE), "nothing is cut off"


def test_it_says_the_next_one_when_that_fails_too(page: Any) -> None:
    assert (
        toast_after(page, OURS, "The clip has no frames; choose another.\n")
        == "The clip has no frames; choose another."
    )


def test_other_errors_are_left_to_the_frontend(page: Any) -> None:
    assert "division" not in toast_after(page, "ZeroDivisionError", "division by zero")
