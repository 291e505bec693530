"""Runs that begin at an older checkpoint: what was said after it belongs to a branch that is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config

_SAVER = "__pregel_checkpointer"  # where LangGraph keeps it in a node's config; a test runs it


def addressed() -> str | None:
    """Return the id of the checkpoint that the run's config names, or None."""
    named: str | None = get_config().get("metadata", {}).get("checkpoint_id")
    return named


class Branches:
    """What the checkpoints of a thread say was stored, on the way to the one that a run begins at and beside it."""

    def __init__(self, checkpoint_id: str, key: str) -> None:
        """Take the checkpoint's id, and the key of the state that says what is stored."""
        self._next: str | None = checkpoint_id
        self._key = key
        self._left: dict[str, None] = {}
        self._stays: set[str] | None = None

    def left(self) -> list[str]:
        """Return the ids of what was stored beside that way; none where the thread does not have the checkpoint."""
        for checkpoint in _checkpoints():
            if self._is_enough(checkpoint):
                break
        return self._beside()

    async def aleft(self) -> list[str]:
        """Return the ids of what was stored beside that way; none where the thread does not have the checkpoint."""
        async for checkpoint in _acheckpoints():
            if self._is_enough(checkpoint):
                break
        return self._beside()

    def _beside(self) -> list[str]:
        return [] if self._stays is None else [name for name in self._left if name not in self._stays]

    def _is_enough(self, found: CheckpointTuple) -> bool:
        """Look at a checkpoint, the newest first; return whether no older one can be beside the way."""
        state = found.checkpoint["channel_values"]
        saved = state.get(self._key)
        saved = saved if isinstance(saved, Mapping) else {}
        known, held = list(saved.get("known", ())), [str(one.id) for one in state.get("messages", ())]
        if found.checkpoint["id"] != self._next:
            before = set(known[: saved.get("old", 0)])  # was there when the run began, whoever stored it
            self._left.update((name, None) for name in (*known, *held) if name not in before)
            return False
        self._stays = (self._stays or set()).union(known, held)
        parent = found.parent_config
        self._next = None if parent is None else parent["configurable"].get("checkpoint_id")
        return found.metadata.get("source") not in ("update", "fork")


def _thread() -> tuple[BaseCheckpointSaver[Any], Any] | None:
    """Return what keeps the thread's checkpoints, and their config; None for a graph inside another, or for none."""
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    saver = configurable.get(_SAVER)
    if not isinstance(saver, BaseCheckpointSaver) or "|" in configurable.get("checkpoint_ns", ""):
        return None
    return saver, {"configurable": {"thread_id": configurable.get("thread_id"), "checkpoint_ns": ""}}


def _checkpoints() -> Iterator[CheckpointTuple]:
    thread = _thread()
    if thread is not None:
        saver, config = thread
        yield from saver.list(config)


async def _acheckpoints() -> AsyncIterator[CheckpointTuple]:
    thread = _thread()
    if thread is not None:
        saver, config = thread
        async for one in saver.alist(config):
            yield one
