"""A conversation in the state of an agent or a graph: begun from a memory, stored as it goes on.

The state says what is stored, by the ids and the contents of messages. What differs from that is written in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from chatmem.core.window import StartOn, Window, without_halves
from chatmem.history import History
from chatmem.langchain.branches import Branches, addressed
from chatmem.langchain.difference import (
    difference,
    digests,
    everything,
    id_of,
    is_nameless,
    is_summary,
    named,
    unsaved,
    with_gone,
    write,
    write_nameless,
)
from chatmem.langchain.runs import Run, current
from chatmem.sessions import Memory
from chatmem.transports.driving import drive

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

SAVED = "history_saved"
"""The key of the state that holds a `Saved`."""
_RECENT = 256
"""Among how many of the last messages a tool's call is looked for that its result answers in a later run."""


class Saved(TypedDict, total=False):
    """What a state says of what is stored."""

    known: dict[str, str]
    """ids of stored messages in their order, each with the digest of its content"""
    old: int
    """how many of them were stored before this run began"""
    seen: list[BaseMessage]
    """what is to be stored and is not, as it was when it was looked at last"""
    sent: bool
    """whether a model was sent those"""
    branch: str | None
    """the older checkpoint that the run began at"""
    left: list[str]
    """ids of what is stored of the branch that was left there"""


class StateHistory:
    """Loads the session of the run under way into its state, and stores what is new there."""

    def __init__(
        self,
        memory: Memory,
        *,
        messages: int | None,
        turns: int | None,
        tokens: int | None,
        token_counter: TokenCounter,
        start_on: StartOn,
    ) -> None:
        limits = {"messages": messages, "turns": turns, "tokens": tokens}
        self._window: dict[str, Any] = {**limits, "token_counter": token_counter, "start_on": start_on}
        Window(**self._window)
        self._memory = memory

    def run(self) -> Run:
        """Return the run under way."""
        return current(self._memory)

    def load(self, state: Mapping[str, Any], *, open_end: bool = False) -> dict[str, Any] | None:
        """Return the update that begins with the stored conversation; None in a run that keeps no session.

        Args:
            state: the state, or what a node sees of it.
            open_end: whether the last message may be a call of tools, which the graph goes on to.
        """
        run = self.run()
        if run.is_nested:
            return None
        left = branch.left() if (branch := _beside(state)) else []
        return drive(self._load(run, state, left, open_end=open_end, blocking=True))

    async def aload(self, state: Mapping[str, Any], *, open_end: bool = False) -> dict[str, Any] | None:
        """Return the update that begins with the stored conversation; see `load`."""
        run = self.run()
        if run.is_nested:
            return None
        left = await branch.aleft() if (branch := _beside(state)) else []
        return await self._load(run, state, left, open_end=open_end)

    def save(self, state: Mapping[str, Any], *, later: bool = False, sent: bool = False) -> dict[str, Any] | None:
        """Store what is not stored as the state has it; return the update that says so, None where nothing changes.

        Args:
            state: the state, or what a node sees of it.
            later: only remember what is to be stored.
            sent: whether a model is sent the messages next.
        """
        run = self.run()
        if run.is_nested:
            return None
        left = branch.left() if (branch := _beside(state)) else []
        return drive(self._save(run, state, left, later=later, sent=sent, blocking=True))

    async def asave(
        self, state: Mapping[str, Any], *, later: bool = False, sent: bool = False
    ) -> dict[str, Any] | None:
        """Store what is not stored as the state has it; see `save`."""
        run = self.run()
        if run.is_nested:
            return None
        left = await branch.aleft() if (branch := _beside(state)) else []
        return await self._save(run, state, left, later=later, sent=sent)

    async def _load(
        self, run: Run, state: Mapping[str, Any], left: list[str], *, open_end: bool, blocking: bool = False
    ) -> dict[str, Any]:
        history = self._memory.core.history(run.session_id, run.user, blocking=blocking)
        saved, mine = _saved(state), _checked(state["messages"])
        stored = [named(one) for one in await history.window(**self._window) if one.id not in left]
        new = _new(mine, {id_of(one) for one in stored}, saved, back=bool(left))
        stored += await _asked(history, stored, new)
        known = digests(stored)
        messages = _sendable([*_as_in_state(stored, known, mine, saved), *new], open_end=open_end)
        update = Saved(
            known=known, old=len(known), seen=unsaved(messages, known), sent=False, branch=addressed(), left=left
        )
        messages = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages]
        _mark_as_seen(messages)
        return {"messages": messages, SAVED: update}

    async def _save(
        self, run: Run, state: Mapping[str, Any], left: list[str], *, later: bool, sent: bool, blocking: bool = False
    ) -> dict[str, Any] | None:
        saved, messages = _saved(state), _checked(state["messages"])
        known, left = saved.get("known", {}), [*saved.get("left", []), *left]
        messages = with_gone(messages, _gone(messages, saved), known)
        if later:
            seen = unsaved(messages, known)
            return {SAVED: Saved(**{**saved, "seen": seen, "sent": sent, "branch": addressed(), "left": left})}
        if left:
            found = everything(messages, known)
        else:
            found = difference(messages, known, saved.get("old", 0), acted=saved.get("sent", False))
        if found.is_empty:
            return None
        core, session = self._memory.core, (run.session_id, run.user)
        await write(core.writer(*session, blocking=blocking), found, left)
        await write_nameless(core.history(*session, blocking=blocking), found, known)
        return {SAVED: Saved(known=found.known, old=found.old, seen=[], sent=sent, branch=addressed(), left=[])}


def _beside(state: Mapping[str, Any]) -> Branches | None:
    """Return what finds the branch that the run leaves, if it begins at an older checkpoint and did not look yet."""
    checkpoint_id = addressed()
    if checkpoint_id is None or _saved(state).get("branch") == checkpoint_id:
        return None
    return Branches(checkpoint_id, SAVED)


def _saved(state: Mapping[str, Any]) -> Saved:
    saved: Any = state.get(SAVED)
    return cast(Saved, saved) if isinstance(saved, dict) else {}  # chatmem 0.1 kept an id there


def _checked(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    if any(isinstance(one, RemoveMessage) or not getattr(one, "id", None) for one in messages):
        raise ValueError("the state's messages need the reducer add_messages, which gives them ids: see MessagesState")
    return messages


def _new(mine: Sequence[BaseMessage], stored: set[str], saved: Saved, *, back: bool) -> list[BaseMessage]:
    """Return what a state has beyond what the memory gives: what stands behind the last message that is known.

    With `back`, the run went back to an older checkpoint, and what the memory does not have of it comes again.
    """
    known = stored if back else stored | saved.get("known", {}).keys()
    last = max((at for at, one in enumerate(mine) if id_of(one) in known or is_nameless(one)), default=-1)
    new = [*(one for one in _gone(mine, saved) if id_of(one) not in stored), *mine[last + 1 :]]
    return [one for one in new if not (saved and is_summary(one))]


def _gone(messages: Sequence[BaseMessage], saved: Saved) -> list[BaseMessage]:
    """Return what was to be stored and is gone from the state: summed up, or removed after a model was sent it.

    What another middleware removes before a model is sent it, it takes back, and nobody said it.
    """
    if not saved.get("sent") and not _summaries(messages, saved):
        return []
    names = {id_of(one) for one in messages}
    return [one for one in saved.get("seen", []) if id_of(one) not in names]


async def _asked(history: History, stored: Sequence[BaseMessage], new: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the stored calls that new results answer, which no window gives as long as they are not answered."""
    calls = {call["id"] for one in (*stored, *new) if isinstance(one, AIMessage) for call in one.tool_calls}
    wanted = {one.tool_call_id for one in new if isinstance(one, ToolMessage)} - calls
    asked: list[BaseMessage] = []
    for one in await history.messages(last=_RECENT) if wanted else []:
        own = {call["id"] or "" for call in one.tool_calls} if isinstance(one, AIMessage) else set()
        if not wanted.isdisjoint(own):
            asked.append(named(one))
            wanted |= own
        elif isinstance(one, ToolMessage) and asked and one.tool_call_id in wanted:
            asked.append(named(one))
    return asked


def _as_in_state(
    stored: Sequence[BaseMessage], known: Mapping[str, str], mine: Sequence[BaseMessage], saved: Saved
) -> list[BaseMessage]:
    """Return the stored messages as the state has them: changed since they were stored, and summed up."""
    before = saved.get("known", {})
    own = {id_of(one): one for one in mine}
    now = digests(own[id_of(one)] for one in stored if id_of(one) in own)
    changed = {name for name, one in now.items() if one != known[name] and before.get(name, known[name]) == known[name]}
    messages = [own[id_of(one)] if id_of(one) in changed else one for one in stored]
    summaries = _summaries(mine, saved) if saved and now else []
    if not summaries:
        return messages
    return [*summaries, *(one for one in messages if id_of(one) in own or id_of(one) not in before)]


def _summaries(messages: Sequence[BaseMessage], saved: Saved) -> list[BaseMessage]:
    """Return the summaries that the run or one before it made; one that is stored is a message like others."""
    return [one for one in messages if is_summary(one) and id_of(one) not in saved.get("known", {})]


def _sendable(messages: list[BaseMessage], *, open_end: bool) -> list[BaseMessage]:
    """Return the messages without calls that are not answered: an approval that never came, and a person went on.

    With `open_end`, the last message may be a call that is to be answered next.
    """
    end = len(messages) - bool(open_end and messages and isinstance(messages[-1], AIMessage))
    return [*without_halves(messages[:end]), *messages[end:]]


def _mark_as_seen(messages: list[BaseMessage]) -> None:
    """Keep loaded messages out of `stream_mode="messages"`: it leaves out what a run of the node's name was given."""
    name = get_config().get("metadata", {}).get("langgraph_node")
    nothing: RunnableLambda[dict[str, Any], None] = RunnableLambda(lambda given: None, name=name)
    nothing.invoke({"messages": messages})
