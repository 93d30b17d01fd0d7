"""Constraints that hold pip to the lowest versions that a requirements file allows.

python tools/lowest_versions.py requirements.txt > lowest.txt
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def lowest_versions(requirements: str) -> list[str]:
    """``name==version`` for every ``name>=version``; what has no lower bound is left to pip."""
    bounds = re.findall(r"^([\w.-]+)>=([\w.]+)", requirements, re.MULTILINE)
    return [f"{name}=={version}" for name, version in bounds]


if __name__ == "__main__":
    print("\n".join(lowest_versions(Path(sys.argv[1]).read_text(encoding="utf-8"))))
