"""A session with branches in plain Python: what it must show after any operations. Positions stand for messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class BranchModel:
    """The messages of all branches, what each branch shows, and what is kept beside."""

    log: dict[int, str] = field(default_factory=dict)
    """the messages' texts, by position"""
    branches: dict[int, list[int]] = field(default_factory=lambda: {0: []})
    """the positions that each branch shows"""
    active: int = 0
    following: int = 1
    next: int = 0
    pinned: int = 0
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)
    boundary: int | None = None
    """the position up to which the summary speaks, -1 if those messages are gone"""
    summary: list[str] = field(default_factory=list)

    @property
    def shown(self) -> list[int]:
        """The positions of the active branch."""
        return self.branches[self.active]

    @property
    def texts(self) -> list[str]:
        """The messages of the active branch."""
        return [self.log[seq] for seq in self.shown]

    @property
    def is_summarized(self) -> bool:
        """Whether the summary is one of the active branch."""
        if self.following == 1:
            return self.boundary is not None
        return self.boundary == -1 or self.boundary in self.shown

    def copy(self) -> BranchModel:
        """Return the same session with positions from 0 on, without gaps."""
        place = {seq: at for at, seq in enumerate(sorted(self.log))}
        boundary = self.boundary
        if boundary is not None and boundary >= 0 and (self.following == 1 or boundary in place):
            boundary = sum(seq <= boundary for seq in place) - 1
        elif boundary != -1:
            boundary = None
        return BranchModel(
            log={place[seq]: text for seq, text in self.log.items()},
            branches={number: [place[seq] for seq in shown] for number, shown in self.branches.items()},
            active=self.active,
            following=self.following,
            next=len(place),
            notes={place[seq]: note for seq, note in self.notes.items()},
            boundary=boundary,
            summary=self.summary,
        )

    def append(self, texts: list[str], most: int | None) -> None:
        """Append messages to the active branch, then keep its last `most`."""
        for text in texts:
            self.log[self.next] = text
            self.shown.append(self.next)
            self.next += 1
        if most is not None and texts:
            self._trim(most)

    def _trim(self, most: int) -> None:
        head = [seq for seq in self.shown if seq < self.pinned]
        cut = len(self.shown) - most
        if cut <= len(head):
            return
        begin, last = self.shown[cut], head[-1] if head else -1
        if self.following > 1 and self.boundary is not None and self.is_summarized and self.boundary < begin:
            self.boundary = last
        self._leave(begin, lambda seq: seq in head)

    def _leave(self, begin: int, is_kept: Callable[[int], bool]) -> None:
        """Leave what stands at or behind a position, and what is kept; branches without any of the former go."""
        self.log = {seq: text for seq, text in self.log.items() if seq >= begin or is_kept(seq)}
        stay = {n: s for n, s in self.branches.items() if n == self.active or any(seq >= begin for seq in s)}
        self.branches = {number: [seq for seq in shown if seq in self.log] for number, shown in stay.items()}
        self._forget()

    def _forget(self) -> None:
        self.notes = {seq: note for seq, note in self.notes.items() if seq in self.log}

    def branch(self, after: int) -> int:
        """Begin a branch behind a position of the active one, -1 for none; return the active branch."""
        kept = self.shown[: self.shown.index(after) + 1] if after >= 0 else []
        if len(kept) < len(self.shown):
            if self.following == 1 and self.boundary is not None and self.boundary < min(self.log):
                self.boundary = -1
            others = [shown for number, shown in self.branches.items() if number != self.active]
            if not any(shown[: len(self.shown)] == self.shown for shown in others):
                self.active, self.following = self.following, self.following + 1
            self.branches[self.active] = kept
        return self.active

    def delete_branch(self, number: int) -> int:
        return self._erase(self.branches.pop(number))

    def _erase(self, positions: list[int]) -> int:
        """Erase those of the positions that no branch shows; return how many."""
        used = {seq for shown in self.branches.values() for seq in shown}
        gone = [seq for seq in positions if seq not in used]
        for seq in gone:
            del self.log[seq]
        self._forget()
        return len(gone)

    def truncate(self, after: int) -> int:
        behind = [seq for seq in self.shown if seq > after]
        if behind and self.boundary is not None and self.is_summarized and (self.boundary > after or after == -1):
            self.boundary = None
        self.branches[self.active] = [seq for seq in self.shown if seq <= after]
        self._erase(behind)
        return len(behind)

    def delete(self, seq: int) -> None:
        if self.boundary == seq:
            earlier = [one for one in self.shown if one < seq]
            self.boundary = (earlier[-1] if earlier else -1) if seq in self.shown else None
        for shown in self.branches.values():
            if seq in shown:
                shown.remove(seq)
        del self.log[seq]
        self._forget()

    def compact(self, count: int, texts: list[str]) -> None:
        """Replace so many messages at the head of the active branch, and all that is as old."""
        last = self.shown[count - 1]
        if self.boundary is not None and self.boundary <= last:
            self.boundary = None
        self._leave(last + 1, lambda seq: False)
        self.pinned = len(texts)
        self.log = {**dict(enumerate(texts)), **self.log}
        for shown in self.branches.values():
            shown[:0] = range(len(texts))

    def summarize(self, boundary: int, texts: list[str]) -> None:
        self.boundary, self.summary = boundary, texts

    def siblings(self, seq: int) -> tuple[int, list[int]] | None:
        """Return which of its siblings a message of the active branch is, and their positions; None if it is alone."""
        place = self.shown.index(seq)
        before = self.shown[:place]
        shown = self.branches.values()
        order = sorted({other[place] for other in shown if len(other) > place and other[:place] == before})
        return (order.index(seq), order) if len(order) > 1 else None
