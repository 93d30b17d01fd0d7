"""The progress bar of the command line, and times in words."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

BAR = "{desc}|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}]"
UNITS = {
    "base": "frames",
    "encode": "tiles",
    "denoise": "patches x steps",
    "decode": "tiles",
    "refine": "frames",
    "fidelity": "frames",
    "upscale": "frames",
    "chunks": "chunks",
}


def time_in_words(seconds: float) -> str:
    """A time for people, such as ``5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Bar:
    """A progress bar for each stage in turn; a context around the work."""

    def __enter__(self) -> Bar:
        self.stage = self.chunk = ""
        self.bar: tqdm[None] | None = None
        return self

    def next_chunk(self, number: int, total: int) -> None:
        """Number the chunks, where there are several."""
        if number < total > 1:
            self.stage, self.chunk = "", f"chunk {number + 1}/{total} "

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bar is None or stage != self.stage:
            self._close()
            self.stage = stage
            name = f"{self.chunk}{stage:8}"
            self.bar = tqdm(desc=name, total=total, unit=UNITS[stage], dynamic_ncols=True, bar_format=BAR)
        self.bar.update(done - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            sys.stderr.flush()
