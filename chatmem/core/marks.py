"""Marks: whether a session is archived or pinned, its tags, and the lists of a user that it is in because of them.

The state of a session holds "ap,work,home" if it has marks. A user's index (`user.lua`) holds the same, and names its
lists in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from chatmem.core.keys import escape, unescape
from chatmem.model import SessionInfo

MARKED = (b"a", b"c")
"""The lists that hold all marked sessions of a user: the archived ones, and the others."""
MOST_TAGS = 50
LONGEST_TAG = 100
"""In characters. Each write to a session with tags moves it in the list of each of them."""
_STORED = re.compile(rb"(a?)(p?)((?:,[^,/]+)*)")


class Marks(NamedTuple):
    """What a session is marked with."""

    archived: bool = False
    pinned: bool = False
    tags: tuple[str, ...] = ()

    @property
    def text(self) -> bytes:
        """The marks as an index holds them; empty for none."""
        return b"a" * self.archived + b"p" * self.pinned + b"".join(map(_tag, self.tags))


def marks_of(stored: bytes | None) -> Marks:
    """Return what a state's field `marks` holds.

    Raises:
        ValueError: chatmem did not write it.
    """
    if stored is None:
        return Marks()
    found = _STORED.fullmatch(stored)
    if found is None:
        raise ValueError(f"{stored[:40]!r} is not what chatmem writes")
    archived, pinned, tags = found.groups()
    return Marks(bool(archived), bool(pinned), tuple(map(unescape, tags.split(b",")[1:])))


def change_of(archived: bool | None, pinned: bool | None, tags: Sequence[str] | None) -> bytes:
    """Return a change of marks as `edit.lua` takes it; None leaves a mark alone.

    Raises:
        ValueError: an argument is wrong.
    """
    if archived is None and pinned is None and tags is None:
        return b""
    flags = b"".join(_flag(name, value) for name, value in (("archived", archived), ("pinned", pinned)))
    return flags + (b"" if tags is None else b"=" + b"".join(map(_tag, _checked(tags))))


def _flag(name: str, value: bool | None) -> bytes:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} must be True, False, or None to keep it, not {value!r}")
    return b"." if value is None else b"%d" % value


def _checked(tags: Sequence[str]) -> Sequence[str]:
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise ValueError(f"tags must be a list of strings, or None to keep them, not {type(tags).__name__}")
    for tag in tags:
        check_tag("tags", tag)
    tags = list(dict.fromkeys(tags))
    if len(tags) > MOST_TAGS:
        raise ValueError(f"tags must be at most {MOST_TAGS}, not {len(tags)}")
    return tags


def check_tag(name: str, tag: object) -> None:
    """Raise a ValueError unless the value is a tag."""
    if not isinstance(tag, str) or not 0 < len(tag) <= LONGEST_TAG:
        shown = repr(tag[:20]) + "..." if isinstance(tag, str) and len(tag) > LONGEST_TAG else repr(tag)
        raise ValueError(f"{name} must have 1 to {LONGEST_TAG} characters each, not {shown}")


def _tag(tag: str) -> bytes:
    return b"," + escape(tag).replace(b",", b"%2C").replace(b"/", b"%2F")


class Wanted(NamedTuple):
    """Which sessions are asked for; None for any."""

    archived: bool | None = False
    pinned: bool | None = None
    tag: str | None = None
    title: str | None = None
    """a part of the title, in any case"""

    def check(self) -> None:
        """Raise a ValueError if a value is wrong."""
        for name, value in (("archived", self.archived), ("pinned", self.pinned)):
            if value is not None and not isinstance(value, bool):
                raise ValueError(f"{name} must be True, False, or None for any, not {value!r}")
        if self.tag is not None:
            check_tag("tag", self.tag)
        if self.title is not None and not isinstance(self.title, str):
            raise ValueError(f"title must be a string, or None for any, not {type(self.title).__name__}")

    def lists(self, *, pinned: bool) -> list[bytes]:
        """Return the lists of a user that hold these sessions, besides others if title or `pinned=False` is asked for.

        Args:
            pinned: whether to return the lists of pinned sessions only.
        """
        behind = (b"p" if pinned else b"") + (b"" if self.tag is None else _tag(self.tag))
        lists = []
        if self.archived is not True:
            lists.append(b"c" + behind if behind else b"")
        if self.archived is not False:
            lists.append(b"a" + behind)
        return lists

    def includes(self, info: SessionInfo) -> bool:
        """Return whether a session is asked for."""
        return (
            self.archived in (None, info.archived)
            and self.pinned in (None, info.pinned)
            and (self.tag is None or self.tag in info.tags)
            and (not self.title or self.title.casefold() in (info.title or "").casefold())
        )


NOT_ARCHIVED = Wanted()
EVERY = Wanted(archived=None)


def is_listed(marks: Marks, name: bytes) -> bool:
    """Return whether a session with these marks belongs in a list; an empty name is the index."""
    archived, pinned, tag = re.fullmatch(rb"([ac]?)(p?)(,.*)?", name, re.DOTALL).groups()  # type: ignore[union-attr]
    return (
        marks.archived == (archived == b"a")
        and (not pinned or marks.pinned)
        and (tag is None or tag in map(_tag, marks.tags))
        and (archived != b"c" or marks.text != b"")
    )
