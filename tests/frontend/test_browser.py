"""A browser that does not answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fakes.core_nodes import CORE_NODES
from frontend.browser import end_browsers, missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]


def test_a_call_without_an_answer_fails_when_the_browser_is_ended(pack: Any) -> None:
    from playwright.sync_api import Error

    info = {**CORE_NODES, **pack.object_info()}
    with StubServer(static_folder(), info) as server, open_frontend(server.address) as page:
        page.evaluate("() => { window.kept = new Promise(() => {}) }")
        ending = threading.Timer(1, end_browsers)
        ending.start()
        with pytest.raises(Error, match="closed"):
            page.evaluate("() => window.kept")
        ending.join()
