"""Example workflows that the template browser does not list: links to them as templates still work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from server import PromptServer, web  # with the aiohttp that the server itself uses
except ImportError:
    PromptServer = web = None

PACK = Path(__file__).parents[1]
SPECIAL = PACK / "example_workflows" / "special"


def register_special() -> bool:
    """Serve the special examples where all of them once were; False where there is no server."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return False
    for path in sorted(SPECIAL.glob("*.*")):
        server.routes.get(f"/workflow_templates/{PACK.name}/{path.name}")(_answer_with(path))
    return True


def _answer_with(path: Path) -> Any:
    async def answer(request: Any) -> Any:
        return web.FileResponse(path)

    return answer
