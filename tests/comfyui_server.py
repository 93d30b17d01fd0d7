"""Starts a real ComfyUI and talks to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from fakes.subgraphs import flattened

START_SECONDS = 180
Graph = dict[str, Any]


class Server:
    """A ComfyUI process with a data folder of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.client = uuid.uuid4().hex

    def __enter__(self) -> Server:
        python = os.environ.get("COMFYUI_PYTHON", sys.executable)
        folder = Path(os.environ["COMFYUI_DIR"])
        command = [python, "main.py", "--cpu", "--port", str(self.port), "--base-directory", str(self.base)]
        command += ["--database-url", "sqlite:///:memory:"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.get("/system_stats")
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}") from None
                time.sleep(0.5)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> Any:
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read()

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text) if text else None

    def submit(self, graph: Graph) -> str:
        """Queue a graph in API form; gives its id."""
        answer = self.post("/prompt", {"prompt": graph, "client_id": self.client})
        assert "prompt_id" in answer and not answer.get("node_errors"), json.dumps(answer, indent=1)
        return answer["prompt_id"]

    def wait(self, prompt: str, seconds: float = 600) -> Any:
        """The history entry of a finished prompt."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get(f"/history/{prompt}").get(prompt)
            if entry and entry["status"]["status_str"] in ("success", "error"):
                return entry
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text()[-3000:])

    def run(self, graph: Graph) -> Any:
        return self.wait(self.submit(graph))


def messages(entry: Any, kind: str) -> list[Any]:
    """All messages of one kind in a history entry."""
    return [body for name, body in entry["status"]["messages"] if name == kind]


def api_graph(workflow: Graph, object_info: Graph) -> Graph:
    """A saved workflow in the form that /prompt takes, as the frontend converts it."""
    workflow = flattened(workflow)
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph: Graph = {}
    for node in workflow["nodes"]:
        if node["type"] not in object_info or node.get("mode") in (2, 4):
            continue
        schema = object_info[node["type"]]["input"]
        declared = {**schema.get("required", {}), **schema.get("optional", {})}
        named = node.get("widgets_values_named", {})
        widgets = {name: value for name, value in named.items() if name.split(".")[0] in declared}
        linked = {slot["name"]: sources[slot["link"]] for slot in node["inputs"] if slot.get("link") is not None}
        graph[str(node["id"])] = {
            "class_type": node["type"],
            "inputs": {**widgets, **node.get("promoted", {}), **linked},
        }
    return graph


def key(graph: Graph, kind: str) -> str:
    return next(name for name, entry in graph.items() if entry["class_type"] == kind)


def node(graph: Graph, kind: str) -> Graph:
    return graph[key(graph, kind)]


def changed(graph: Graph, kind: str, **inputs: object) -> Graph:
    copy = json.loads(json.dumps(graph))
    node(copy, kind)["inputs"].update(inputs)
    return copy


def pictures(server: Server, entry: Any, name: str = "png") -> torch.Tensor:
    files = [server.base / "output" / image["filename"] for image in entry["outputs"][name]["images"]]
    return torch.stack([torch.from_numpy(cv2.imread(str(f))[:, :, ::-1].astype(np.float32) / 255) for f in files])


def assert_success(entry: Any) -> Any:
    assert entry["status"]["status_str"] == "success", json.dumps(entry["status"], indent=1)[-3000:]
    return entry
