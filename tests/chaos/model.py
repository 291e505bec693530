"""The plainest model of a conversation: a list of ids and contents, and what each operation makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Op = dict[str, Any]
"""An operation, as it is in a journal: its name under "do", and its arguments."""
Said = tuple[str | None, str]
"""A message: its id and its content."""
CHANGING = {"append", "put", "replace", "delete", "truncate", "compact"}


@dataclass(frozen=True)
class Model:
    """What a session should hold."""

    messages: tuple[Said, ...] = ()
    keys: frozenset[str] = field(default_factory=frozenset)
    """idempotency keys that were used"""
    title: str | None = None

    def ids(self) -> list[str]:
        return [name for name, _ in self.messages if name is not None]

    def index(self, name: str) -> int | None:
        return next((index for index, said in enumerate(self.messages) if said[0] == name), None)

    def after(self, op: Op) -> Model:
        """Return what it is after an operation."""
        found: Model = getattr(self, f"_{op['do']}", lambda op: self)(op)
        return found

    def _append(self, op: Op) -> Model:
        if op.get("key") in self.keys:
            return self
        keys = self.keys | {op["key"]} if op.get("key") else self.keys
        known = set(self.ids())
        new = [(name, text) for name, text in op["messages"] if name not in known]
        return replace(self, messages=(*self.messages, *new), keys=keys)

    def _put(self, op: Op) -> Model:
        name, text = op["message"]
        if self.index(name) is None:
            return replace(self, messages=(*self.messages, (name, text)))
        return self._replace(op | {"id": name})

    def _replace(self, op: Op) -> Model:
        name, text = op["message"]
        messages = tuple((name, text) if said[0] == op["id"] else said for said in self.messages)
        return replace(self, messages=messages)

    def _delete(self, op: Op) -> Model:
        return replace(self, messages=tuple(said for said in self.messages if said[0] != op["id"]))

    def _truncate(self, op: Op) -> Model:
        index = self.index(op["id"])
        return self if index is None else replace(self, messages=self.messages[: index + 1])

    def _compact(self, op: Op) -> Model:
        index = self.index(op["id"])
        return self if index is None else replace(self, messages=(tuple(op["message"]), *self.messages[index + 1 :]))

    def _update(self, op: Op) -> Model:
        return replace(self, title=op["title"])

    def _clear(self, op: Op) -> Model:
        return Model()
