"""A server with just what ComfyUI's frontend asks for: its files, the pack's, ``object_info`` and empty lists."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT_FRAME, CLOSE = 0x81, 0x8
PACK = "/extensions/PatchVSR"
LISTS = {"/extensions", "/userdata", "/experiment/models", "/releases"}
"""Where the answer is an empty list."""
OBJECTS = {"/features", "/i18n", "/node_replacements", "/internal/folder_paths"}
"""Where the answer is an empty object."""
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")


class StubServer:
    """Serves on a free port of this machine while its ``with`` block runs.

    Args:
        static: folder of comfyui-frontend-package.
        object_info: answer to ``/object_info``.
        blueprints: files of a pack's subgraphs, offered as the real server offers them.
        web: the pack's WEB_DIRECTORY; its scripts are run in the page.
        posted: answers to what is posted, from its text, by path.
        inputs: files by the name that loaders have for them.
        templates: the pack's example workflows, listed in the template browser.
    """

    def __init__(
        self,
        static: Path,
        object_info: Mapping[str, Any],
        blueprints: Sequence[Path] = (),
        *,
        web: Path | None = None,
        posted: Mapping[str, Callable[[str], Any]] | None = None,
        inputs: Mapping[str, Path] | None = None,
        templates: Path | None = None,
    ) -> None:
        self.answers: dict[str, Any] = {
            "/object_info": object_info,
            "/users": {"storage": "server", "migrated": True},
            "/settings": {},
            "/system_stats": {
                "system": {"os": "linux", "comfyui_version": "0.33.0", "python_version": "3", "argv": []},
                "devices": [],
            },
            "/jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 0, "total": 0, "has_more": False}},
            "/queue": {"queue_running": [], "queue_pending": []},
            "/prompt": {"exec_info": {"queue_remaining": 0}},
            "/history": {},
        }
        self.answers |= {path: [] for path in LISTS} | {path: {} for path in OBJECTS}
        served = {f"{PACK}/{path.relative_to(web)}": path for path in web.rglob("*.*")} if web else {}
        if templates:
            files = [path for path in templates.iterdir() if path.is_file()]
            self.answers["/workflow_templates"] = {"PatchVSR": [path.stem for path in files if path.suffix == ".json"]}
            served |= {f"/api/workflow_templates/PatchVSR/{path.name}": path for path in files}
        self.answers["/extensions"] = [path for path in served if path.endswith(".js")]
        entries = {path.stem.lower().replace(" ", "-"): _blueprint(path) for path in blueprints}
        self.answers["/global_subgraphs"] = entries
        self.answers |= {
            f"/global_subgraphs/{number}": {**entry, "data": path.read_text()}
            for (number, entry), path in zip(entries.items(), blueprints, strict=True)
        }
        names = {"static": static.resolve(), "answers": self.answers, "served": served}
        handler = type("Handler", (_Handler,), names | {"posted": posted or {}, "inputs": inputs or {}})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> StubServer:
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _blueprint(path: Path) -> dict[str, Any]:
    return {"source": "custom_node", "name": path.stem, "info": {"node_pack": "custom_nodes.PatchVSR"}}


class _Handler(BaseHTTPRequestHandler):
    static: Path
    answers: dict[str, Any]
    served: dict[str, Path]
    posted: Mapping[str, Callable[[str], Any]]
    inputs: Mapping[str, Path]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/ws":
            self._websocket()
            return
        route = path.removeprefix("/api")
        if route in self.answers:
            self._send(json.dumps(self.answers[route]).encode(), "application/json")
            return
        file = self._viewed() if route == "/view" else self.served.get(path) or self._static(path)
        if file is None:
            self._send(b"{}", "application/json", status=404)
        else:
            self._send(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")

    def _static(self, path: str) -> Path | None:
        file = (self.static / path.lstrip("/")).resolve()
        file = file / "index.html" if file.is_dir() else file
        return file if file.is_file() and file.is_relative_to(self.static) else None

    def _viewed(self) -> Path | None:
        return self.inputs.get(parse_qs(urlsplit(self.path).query).get("filename", [""])[0])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        route = urlsplit(self.path).path.removeprefix("/api")
        if route in self.posted:
            self._send(json.dumps(self.posted[route](body.decode())).encode(), "application/json")
            return
        if route == "/settings":
            self.answers[route] |= json.loads(body)
        elif route.startswith("/settings/"):
            self.answers["/settings"][route.removeprefix("/settings/")] = json.loads(body)
        self._send(b"{}", "application/json")

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _websocket(self) -> None:
        """Shake hands, say that the queue is empty, and keep the line open until the page closes it."""
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + WEBSOCKET).digest()).decode())
        self.end_headers()
        status = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "test"}}
        text = json.dumps(status).encode()
        self.wfile.write(struct.pack("!BBH", TEXT_FRAME, 126, len(text)) + text)
        self.close_connection = True
        while header := self.rfile.read(2):
            if header[0] & 0x0F == CLOSE:
                return
            length = header[1] & 0x7F
            if length >= 126:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            self.rfile.read(length + 4)  # what the page says, and its mask

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
