"""What both protocols' streams share: server-sent events, and what is said of an answer that broke off."""

from __future__ import annotations

import json
from typing import Any

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would hold the events back
}
ERRORS = {
    "interrupted": "The answer was interrupted. What came of it is kept.",
    "failed": "The answer failed. What came of it is kept.",
}
"""For each status that is an error, a text for people."""


def event(sent: dict[str, Any]) -> str:
    """Return an event as it is sent."""
    return f"data: {json.dumps(sent, ensure_ascii=False)}\n\n"
