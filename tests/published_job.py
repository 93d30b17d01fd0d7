"""Runs an unpacked archive as ComfyUI would, knowing nothing of the repository: ``python published_job.py FOLDER``.

Its own folder must hold a copy of ``fakes``. Writes a JSON object with what was found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from fakes.chain import a_clip, run_chain
from fakes.fixtures import Tiny
from fakes.graph import run_node
from fakes.pack import fake_comfyui, load_pack


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with fake_comfyui():
        pack = load_pack(folder)
        tiny = Tiny(*run_node(pack["LoadTinyDefault"]))
        clip = a_clip()
        frames = run_chain(pack, tiny, clip).frames
        found = {
            "nodes": sorted(pack.nodes),
            "web": str((folder / pack.module.WEB_DIRECTORY).resolve()),
            "frames": frames.tolist(),
            "modules": [str(getattr(module, "__file__", None)) for module in list(sys.modules.values())],
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
