"""Runs from an older checkpoint: they abandon the branch of messages that were stored after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config

_SAVER = "__pregel_checkpointer"  # where LangGraph keeps the saver in a node's config; a test would notice a change


def requested_checkpoint() -> str | None:
    """Return the `checkpoint_id` of the run's config, or None."""
    requested: str | None = get_config().get("metadata", {}).get("checkpoint_id")
    return requested


class AbandonedBranch:
    """Finds the messages of a thread that were stored on a branch which the run abandons.

    It reads the thread's checkpoints, newest first, back to the one that the run begins at. What the run's own line of
    checkpoints stored stays; what the others stored is abandoned.
    """

    def __init__(self, checkpoint_id: str, key: str) -> None:
        """Begin. Nothing is read yet.

        Args:
            checkpoint_id: the checkpoint that the run begins at.
            key: the key of the state with the `Saved`.
        """
        self._next: str | None = checkpoint_id
        self._key = key
        self._stored: dict[str, None] = {}
        self._stays: set[str] | None = None

    def ids(self) -> list[str]:
        """Return the ids of the messages; an empty list if the thread does not have the checkpoint."""
        for checkpoint in _checkpoints():
            if self._is_enough(checkpoint):
                break
        return self._abandoned()

    async def aids(self) -> list[str]:
        """Return the ids of the messages; see `ids`."""
        async for checkpoint in _acheckpoints():
            if self._is_enough(checkpoint):
                break
        return self._abandoned()

    def _abandoned(self) -> list[str]:
        return [] if self._stays is None else [name for name in self._stored if name not in self._stays]

    def _is_enough(self, found: CheckpointTuple) -> bool:
        """Take the next older checkpoint into account; return whether no still older one matters."""
        state = found.checkpoint["channel_values"]
        saved = state.get(self._key)
        saved = saved if isinstance(saved, Mapping) else {}
        known, held = list(saved.get("known", ())), [str(one.id) for one in state.get("messages", ())]
        if found.checkpoint["id"] != self._next:
            before = set(known[: saved.get("old", 0)])  # stored before that run began, perhaps by others
            self._stored.update((name, None) for name in (*known, *held) if name not in before)
            return False
        self._stays = (self._stays or set()).union(known, held)
        parent = found.parent_config
        self._next = None if parent is None else parent["configurable"].get("checkpoint_id")
        return found.metadata.get("source") not in ("update", "fork")


def _thread() -> tuple[BaseCheckpointSaver[Any], Any] | None:
    """Return the saver of the thread's checkpoints, and their config; None without a saver, or in a subgraph."""
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
