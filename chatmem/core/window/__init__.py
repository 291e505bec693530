"""Windows: the last messages within limits, in a form that every provider accepts.

A session is a log: messages are in the order in which they were stored. Requests to a model have stricter rules. So a
window is a view, made in three steps, and stored messages never change:

- `exchanges` puts tool results directly after their calls, and leaves out calls and results without their other half
  (it uses `calls` and `forms`);
- `choosing` takes the last messages within the limits (it uses `turns` and `tokens`);
- `sending` gives them the form in which they are sent.
"""

from typing import TYPE_CHECKING

from chatmem.core.window.choosing import Selection, StartOn, Window
from chatmem.core.window.exchanges import without_halves

if TYPE_CHECKING:
    from chatmem.core.window.tokens import TokenCounter

__all__ = ["Selection", "StartOn", "TokenCounter", "Window", "without_halves"]
