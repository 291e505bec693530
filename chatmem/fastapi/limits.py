"""How large the parts of a request may be."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field, StringConstraints

LARGEST_BODY = 4_000_000
"""Bytes. Clients of the AI SDK and of AG-UI send the whole conversation with each question."""
LONGEST_TEXT = 100_000
"""Characters of a question."""
_MOST = 2**53 - 1
"""The largest position: Lua and JavaScript count no further."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]
SessionId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^(\.{0,2}[^/.][^/]*|\.{3}[^/]*)$")]
"""A chat's id that a client chose. It must fit into a path, where browsers take "." and ".." for folders."""
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Position = Annotated[int, Field(ge=0, le=_MOST)]
After = Annotated[int, Field(ge=-1, le=_MOST)]
Limit = Annotated[int, Query(ge=1, le=100)]
