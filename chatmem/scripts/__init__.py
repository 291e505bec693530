"""The Lua scripts, a file each, and how a call of one is written as a Redis command."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

Command = tuple[str | bytes, ...]
"""A Redis command: its name and its arguments."""


class Script(NamedTuple):
    """A script and the name a server knows it by once it has seen it."""

    text: bytes
    sha: bytes

    def call(self, keys: Sequence[bytes], *args: bytes) -> Command:
        """Return the command that runs the script on these keys; transports send the text where it is unknown."""
        return ("EVALSHA", self.sha, b"%d" % len(keys), *keys, *args)


def _load(*names: str) -> Script:
    folder = files(__name__)
    text = b"\n".join(folder.joinpath(name).read_bytes() for name in names)
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


_MESSAGES = ("publishing.lua", "positions.lua", "branches.lua", "trimming.lua", "answers.lua")
_SESSION = ("clock.lua", "numbers.lua", "basics.lua", "session.lua", *_MESSAGES)
_WRITING = (*_SESSION, "branching.lua", "recent.lua", "rights.lua")

APPEND = _load(
    *("clock.lua", "numbers.lua", "basics.lua", "recent.lua", "rights.lua", "plain.lua", "append.lua"),
    *("session.lua", *_MESSAGES, "branching.lua", "retention.lua", "append_rest.lua"),
)
EDIT = _load(*_WRITING, "edit.lua", "edit_branches.lua", "edit_commit.lua", "edit_notes.lua", "edit_end.lua")
READ = _load(
    "numbers.lua", "basics.lua", "plain.lua", "read.lua", "clock.lua", "session.lua", *_MESSAGES, "read_rest.lua"
)
HEAL = _load(*_SESSION, "heal.lua")
STAGE = _load(*_WRITING, "stage.lua")
USER = _load("clock.lua", "numbers.lua", "publishing.lua", "user.lua", "marking.lua", "user_add.lua", "user_tasks.lua")
ANSWER = _load(*_SESSION, "answer.lua")
CHANGES = _load(*_SESSION, "changes.lua")
USER_CHANGES = _load("publishing.lua", "user_changes.lua")
PUSH = _load("clock.lua", "recent.lua", "rights.lua", "push.lua")

_ALL = (APPEND, EDIT, READ, HEAL, STAGE, USER, ANSWER, CHANGES, USER_CHANGES, PUSH)
BY_SHA: dict[str | bytes, Script] = {script.sha: script for script in _ALL}
