"""How long loops report what they have done."""

from __future__ import annotations

from collections.abc import Callable

OnDone = Callable[[int, int], None]
"""Called with (done, in all) after every tile, batch or chunk; raise from it to stop."""
OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, in all); raise from it to stop."""
