"""The web server of which custom nodes may ask routes; nothing is served."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

Handler = Callable[[Any], Awaitable[Any]]


class _Routes:
    """Handlers by path."""

    def __init__(self) -> None:
        self.posted: dict[str, Handler] = {}
        self.got: dict[str, Handler] = {}

    def post(self, path: str) -> Callable[[Handler], Handler]:
        return self._adder(self.posted, path)

    def get(self, path: str) -> Callable[[Handler], Handler]:
        return self._adder(self.got, path)

    @staticmethod
    def _adder(handlers: dict[str, Handler], path: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            handlers[path] = handler
            return handler

        return add


class web:  # noqa: N801 - the real name
    """Of aiohttp's module of this name, what makes an answer."""

    @staticmethod
    def json_response(data: Any, status: int = 200) -> Any:
        return SimpleNamespace(text=json.dumps(data), status=status)


class PromptServer:
    """The one server of the process."""

    instance: PromptServer

    def __init__(self) -> None:
        self.routes = _Routes()


PromptServer.instance = PromptServer()
