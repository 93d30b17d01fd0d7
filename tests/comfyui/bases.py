"""Runs inside ComfyUI's environment: joint modulation on small random models of many families.

Writes, for every family, how far its runs are from what they have to equal; ``test_bases.py`` judges.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(comfyui: str, root: str, out: str, *names: str) -> None:
    sys.argv = ["main.py", "--cpu", "--use-pytorch-cross-attention"]
    sys.path[:0] = [comfyui, root, str(Path(__file__).parent)]
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch
    from attention_checks import ATTENTION_CHECKS
    from base_checks import CHECKS, CORE_CHECKS
    from small_bases import BASES

    torch.set_grad_enabled(False)
    found: dict[str, dict[str, Any]] = {}
    for name in names or BASES:
        found[name] = {check.__name__: check(BASES[name]) for check in (*CHECKS, *ATTENTION_CHECKS)}
    found["core"] = {check.__name__: check() for check in CORE_CHECKS}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
