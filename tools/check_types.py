"""Runs mypy over core and nodes, whatever the checkout's folder is called.

    python tools/check_types.py

The nodes import the core from the package above them, which is the checkout itself; mypy takes the
folder's name for that package and refuses one that is no Python name, such as patchvsr-main. So the
checkout is looked at through a link with a name of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKED = ("patchvsr_core", "nodes")


def main() -> int:
    """mypy's exit code."""
    if ROOT.name.isidentifier():
        return check(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "patchvsr_pack"
        link.symlink_to(ROOT, target_is_directory=True)
        return check(link)


def check(pack: Path) -> int:
    """Run mypy in ``pack``, a path by which the checkout has a Python name."""
    command = [sys.executable, "-m", "mypy", *(str(pack / name) for name in CHECKED)]
    command += ["--config-file", str(pack / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    return subprocess.run(command, cwd=pack, env={**os.environ, "PWD": str(pack)}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
