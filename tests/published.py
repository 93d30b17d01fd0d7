"""Makes the archive that the Comfy Registry would publish.

The registry's command line packs the files that git tracks, except those that ``.comfyignore`` names in the
patterns of a ``.gitignore``.

    python tests/published.py patchvsr.zip

writes the archive and lists its largest files.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IGNORE = ".comfyignore"
LISTED = 12


def published_files(root: Path = ROOT) -> list[str]:
    """Paths relative to ``root``, in git's order."""
    left_out = set(_git(root, "ls-files", "-z", "--cached", "--ignored", f"--exclude-from={IGNORE}"))
    tracked = _git(root, "ls-files", "-z", "--cached")
    return [name for name in tracked if name not in left_out and (root / name).exists()]


def write_archive(path: Path, root: Path = ROOT) -> None:
    """Pack the published files as a zip, without a folder around them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in published_files(root):
            archive.write(root / name, name)


def _git(root: Path, *arguments: str) -> list[str]:
    answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in answer.stdout.split("\0") if name]


def main() -> None:
    """Write the archive that was asked for."""
    path = Path(sys.argv[1])
    write_archive(path)
    with zipfile.ZipFile(path) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: -entry.file_size)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(entries)} files")
    for entry in entries[:LISTED]:
        print(f"{entry.file_size / 1e6:8.3f} MB  {entry.filename}")


if __name__ == "__main__":
    main()
