"""Search in conversations: the words of a query, what they match, and the best of what was found."""

from chatmem.search.query import Best, Found, Query, text_of

__all__ = ["Best", "Found", "Query", "text_of"]
