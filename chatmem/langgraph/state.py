"""The history in the state of an agent or a graph: loaded from a memory, and stored as the run goes on.

The nodes and LangChain's middleware share this. The state records which messages are stored, by their ids and digests
of their content, so a save writes only what differs from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from chatmem.core.window import StartOn, without_halves
from chatmem.history import History
from chatmem.langgraph.branches import AbandonedBranch, requested_checkpoint
from chatmem.langgraph.difference import (
    Known,
    difference,
    digests,
    full_difference,
    has_temporary_id,
    id_of,
    is_stored_summary,
    is_summary,
    unstored,
    with_dropped,
    with_id,
    write,
    write_without_id,
)
from chatmem.langgraph.runs import Run, current_run
from chatmem.langgraph.summaries import NewSummary, as_summary, names_of_stored, new_summaries
from chatmem.langgraph.views import (
    RecordingWindow,
    View,
    Views,
    in_stored_form,
    shown_alike,
    stored_digests,
    views_after,
    views_of,
)
from chatmem.sessions import Memory
from chatmem.transports.driving import drive

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

SAVED = "history_saved"
"""The key of the state that holds a `Saved`."""
_RECENT = 256
"""A tool call that a new result answers is looked for among this many of the last stored messages."""


class Saved(TypedDict, total=False):
    """What a state records of the stored messages. Checkpoints hold it, so its keys must not change."""

    known: dict[str, str]
    """the ids of the stored messages, in order, each with the digest of its stored content"""
    old: int
    """how many of them were stored before this run"""
    seen: list[BaseMessage]
    """the messages that must be stored and are not yet, as they were at the last load or deferred save"""
    sent: bool
    """whether a model was sent those"""
    branch: str | None
    """the older checkpoint that the run began at"""
    left: list[str]
    """the ids of stored messages on the branch that the run abandons; the next write removes them"""
    summary: list[str]
    """the ids in a state of the messages of the stored summary, as they were last loaded or stored"""
    views: dict[str, View]
    """by their ids, how loaded messages differ from the stored ones"""


class StateHistory:
    """Loads the current run's session into its state, and stores what is new there."""

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
        self._window = RecordingWindow(
            messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on
        )
        self._memory = memory

    def run(self) -> Run:
        """Return the current run."""
        return current_run(self._memory)

    def load(self, state: Mapping[str, Any], *, open_end: bool = False) -> dict[str, Any] | None:
        """Return the update that puts the stored conversation in front of the state's new messages.

        A nested run, whose enclosing run keeps the session, gets no update.

        Args:
            state: the state, or the part of it that a node sees.
            open_end: whether the last message may be a tool call that the graph still has to run.
        """
        run = self.run()
        if run.is_nested:
            return None
        abandoned = branch.ids() if (branch := _abandoned_branch(state)) else []
        return drive(self._load(run, state, abandoned, open_end=open_end, blocking=True))

    async def aload(self, state: Mapping[str, Any], *, open_end: bool = False) -> dict[str, Any] | None:
        """Return the update that puts the stored conversation in front of the state's new messages; see `load`."""
        run = self.run()
        if run.is_nested:
            return None
        abandoned = await branch.aids() if (branch := _abandoned_branch(state)) else []
        return await self._load(run, state, abandoned, open_end=open_end)

    def save(self, state: Mapping[str, Any], *, defer: bool = False, sent: bool = False) -> dict[str, Any] | None:
        """Store what differs from the state; return the update that records it, or None if nothing changed.

        Args:
            state: the state, or the part of it that a node sees.
            defer: only record what must be stored; a later save stores it.
            sent: whether a model is sent the messages next.
        """
        run = self.run()
        if run.is_nested:
            return None
        abandoned = branch.ids() if (branch := _abandoned_branch(state)) else []
        return drive(self._save(run, state, abandoned, defer=defer, sent=sent, blocking=True))

    async def asave(
        self, state: Mapping[str, Any], *, defer: bool = False, sent: bool = False
    ) -> dict[str, Any] | None:
        """Store what differs from the state; see `save`."""
        run = self.run()
        if run.is_nested:
            return None
        abandoned = await branch.aids() if (branch := _abandoned_branch(state)) else []
        return await self._save(run, state, abandoned, defer=defer, sent=sent)

    async def _load(
        self, run: Run, state: Mapping[str, Any], abandoned: list[str], *, open_end: bool, blocking: bool = False
    ) -> dict[str, Any]:
        core, session = self._memory.core, (run.session_id, run.user)
        history = core.history(*session, blocking=blocking)
        saved, own = _saved(state), _checked(state["messages"])
        wanted = self._window.recording()
        window = await core.reader(*session, blocking=blocking).window(wanted, mark=as_summary)
        stored, views = [with_id(one) for one in window if one.id not in abandoned], views_of(window, wanted.stored)
        if abandoned and not _meets(stored, own):  # the summary speaks of the branch that the run abandons
            stored = [one for one in stored if not is_stored_summary(one)]
        new = _new(own, {id_of(one) for one in stored}, saved, back=bool(abandoned))
        stored += await _answered_calls(history, stored, new)
        known = digests(one for one in stored if not is_stored_summary(one))
        messages = _sendable([*_as_in_state(stored, known, views, own, saved), *new], open_end=open_end)
        update = Saved(
            known=known,
            old=len(known),
            seen=unstored(messages, known),
            sent=False,
            branch=requested_checkpoint(),
            left=abandoned,
            summary=names_of_stored(stored),
            views=views,
        )
        messages = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages]
        _hide_from_message_streams(messages)
        return {"messages": messages, SAVED: update}

    async def _save(
        self,
        run: Run,
        state: Mapping[str, Any],
        abandoned: list[str],
        *,
        defer: bool,
        sent: bool,
        blocking: bool = False,
    ) -> dict[str, Any] | None:
        saved, messages = _saved(state), _checked(state["messages"])
        known, abandoned = saved.get("known", {}), [*saved.get("left", []), *abandoned]
        messages = with_dropped(messages, _dropped(messages, saved), known)
        branch = requested_checkpoint()
        if defer:
            seen = unstored(messages, known)
            return {SAVED: Saved(**{**saved, "seen": seen, "sent": sent, "branch": branch, "left": abandoned})}
        if abandoned:
            found = full_difference(messages, known)
        else:
            found = difference(messages, known, saved.get("old", 0), acted=saved.get("sent", False))
        summary = NewSummary.of(state["messages"], _new_summaries(messages, saved), found.known)
        if found.is_empty and summary is None:
            return None
        core, session = self._memory.core, (run.session_id, run.user)
        history = core.history(*session, blocking=blocking)
        views = saved.get("views", {})
        to_store = in_stored_form(found, views, known)
        await write(core.writer(*session, blocking=blocking), to_store, abandoned)
        await write_without_id(history, to_store, stored_digests(known, views))
        names = saved.get("summary", []) if summary is None else await summary.store(history)
        update = Saved(known=found.known, old=found.old, seen=[], sent=sent, branch=branch, left=[], summary=names)
        return {SAVED: Saved(**update, views=views_after(views, [*to_store.written, *to_store.without_id]))}


def _abandoned_branch(state: Mapping[str, Any]) -> AbandonedBranch | None:
    """Return the branch that the run abandons: None unless it begins at an older checkpoint and has not looked yet."""
    checkpoint_id = requested_checkpoint()
    if checkpoint_id is None or _saved(state).get("branch") == checkpoint_id:
        return None
    return AbandonedBranch(checkpoint_id, SAVED)


def _saved(state: Mapping[str, Any]) -> Saved:
    saved: Any = state.get(SAVED)
    return cast(Saved, saved) if isinstance(saved, dict) else {}  # chatmem 0.1 kept an id there


def _checked(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    if any(isinstance(one, RemoveMessage) or not getattr(one, "id", None) for one in messages):
        raise ValueError(
            "the state's messages lack ids: give `messages` the reducer add_messages, as MessagesState does"
        )
    return messages


def _new(own: Sequence[BaseMessage], stored: set[str], saved: Saved, *, back: bool) -> list[BaseMessage]:
    """Return the state's messages behind the last known one, which the memory does not have.

    Args:
        own: the state's messages.
        stored: the ids of the stored messages.
        saved: what the state records of them.
        back: whether the run abandons a branch. Messages that the memory does not have are then new, too.
    """
    known = stored if back else stored | saved.get("known", {}).keys()
    last = max((at for at, one in enumerate(own) if id_of(one) in known or has_temporary_id(one)), default=-1)
    new = [*(one for one in _dropped(own, saved) if id_of(one) not in stored), *own[last + 1 :]]
    return [one for one in new if back or not (saved and is_summary(one))]


def _dropped(messages: Sequence[BaseMessage], saved: Saved) -> list[BaseMessage]:
    """Return the messages dropped from the state before they were stored: summarized, or removed after a model's call.

    A message that another middleware removes before a model is sent it does not count: it was never said.
    """
    if not saved.get("sent") and not _new_summaries(messages, saved):
        return []
    names = {id_of(one) for one in messages}
    return [one for one in saved.get("seen", []) if id_of(one) not in names]


async def _answered_calls(
    history: History, stored: Sequence[BaseMessage], new: Sequence[BaseMessage]
) -> list[BaseMessage]:
    """Return the stored tool calls that new results answer. A window leaves out calls without a result."""
    calls = {call["id"] for one in (*stored, *new) if isinstance(one, AIMessage) for call in one.tool_calls}
    wanted = {one.tool_call_id for one in new if isinstance(one, ToolMessage)} - calls
    answered: list[BaseMessage] = []
    for one in await history.messages(last=_RECENT) if wanted else []:
        own = {call["id"] or "" for call in one.tool_calls} if isinstance(one, AIMessage) else set()
        if not wanted.isdisjoint(own):
            answered.append(with_id(one))
            wanted |= own
        elif isinstance(one, ToolMessage) and answered and one.tool_call_id in wanted:
            answered.append(with_id(one))
    return answered


def _as_in_state(
    stored: Sequence[BaseMessage], known: Known, views: Views, own: Sequence[BaseMessage], saved: Saved
) -> list[BaseMessage]:
    """Return the stored messages with what the state made of them: changes since they were stored, and summaries."""
    before, shown = saved.get("known", {}), saved.get("views", {})
    mine = {id_of(one): one for one in own}
    now = digests(mine[name] for name in known if name in mine)
    was, held = stored_digests(before, shown), stored_digests(known, views)
    edited = {name for name, one in now.items() if one not in (before.get(name, known[name]), held[name])}
    changed = {name for name in edited if was.get(name, held[name]) == held[name]}
    messages = [shown_alike(mine[id_of(one)], shown, views) if id_of(one) in changed else one for one in stored]
    summaries = _new_summaries(own, saved) if saved and now else []
    if not summaries or names_of_stored(stored) != saved.get("summary", []):  # another one was stored meanwhile
        return messages
    left = (one for one in messages if not is_stored_summary(one))
    return [*summaries, *(one for one in left if id_of(one) in mine or id_of(one) not in before)]


def _meets(stored: Iterable[BaseMessage], own: Iterable[BaseMessage]) -> bool:
    """Return whether the state holds a stored message."""
    return not {id_of(one) for one in own}.isdisjoint(id_of(one) for one in stored if not is_stored_summary(one))


def _new_summaries(messages: Sequence[BaseMessage], saved: Saved) -> list[BaseMessage]:
    return new_summaries(messages, saved.get("known", {}), saved.get("summary", ()))


def _sendable(messages: list[BaseMessage], *, open_end: bool) -> list[BaseMessage]:
    """Return the messages without tool calls that have no result, as after an approval that never came.

    With `open_end`, the last message may be a call whose result comes next.
    """
    end = len(messages) - bool(open_end and messages and isinstance(messages[-1], AIMessage))
    return [*without_halves(messages[:end]), *messages[end:]]


def _hide_from_message_streams(messages: list[BaseMessage]) -> None:
    """Keep loaded messages out of `stream_mode="messages"`, which skips what a run with the node's name was given."""
    name = get_config().get("metadata", {}).get("langgraph_node")
    nothing: RunnableLambda[dict[str, Any], None] = RunnableLambda(lambda given: None, name=name)
    nothing.invoke({"messages": messages})
