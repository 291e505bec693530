"""Which of the last messages a model may be sent: within limits, and in a form that every provider takes.

A conversation is a log of what happened, in the order in which it was stored; a request has stricter rules. So a window
is a view, made in three steps, and what is stored stays as it is:

- `exchanges` puts results directly behind their calls, and leaves out halves (`calls` and `forms` are its tools);
- `choosing` takes the last messages within the limits (`turns` and `tokens` measure them);
- `sending` gives what is left the form in which it is sent.
"""

from typing import TYPE_CHECKING

from chatmem.core.window.choosing import Selection, StartOn, Window
from chatmem.core.window.exchanges import without_halves

if TYPE_CHECKING:
    from chatmem.core.window.tokens import TokenCounter

__all__ = ["Selection", "StartOn", "TokenCounter", "Window", "without_halves"]
