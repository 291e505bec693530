"""The Lua scripts, a file each, and how a call of one is written as a Redis command."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

from chatmem.keys import SessionKeys


class Script(NamedTuple):
    """A script and the name a server knows it by once it has seen it."""

    text: bytes
    sha: bytes

    def call(self, keys: SessionKeys, *args: bytes) -> tuple[str | bytes, ...]:
        """Return the command that runs the script on a session; transports send the text where it is unknown."""
        return ("EVALSHA", self.sha, b"3", *keys, *args)


def _load(name: str) -> Script:
    folder = files(__name__)
    text = b"\n".join(folder.joinpath(part).read_bytes() for part in ("deadline.lua", name))
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


APPEND = _load("append.lua")
TOUCH = _load("touch.lua")

BY_SHA: dict[str | bytes, Script] = {script.sha: script for script in (APPEND, TOUCH)}
