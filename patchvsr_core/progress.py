"""Types of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

OnDone = Callable[[int, int], None]
"""Called with (done, total) after every tile, batch or chunk; raise from it to stop."""
OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, total); raise from it to stop."""
