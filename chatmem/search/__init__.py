"""Search in messages: queries, matches, and the best of these."""

from chatmem.search.query import Best, Found, Query
from chatmem.search.text import text_of

__all__ = ["Best", "Found", "Query", "text_of"]
