"""Branches in plain Python: what a session must show after any operations. Positions stand for messages."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class BranchModel:
    """A session's log, and the positions that each branch shows."""

    log: dict[int, str] = field(default_factory=dict)
    """the messages' texts by position, of all branches"""
    branches: dict[int, list[int]] = field(default_factory=lambda: {0: []})
    active: int = 0
    following: int = 1
    next: int = 0
    pinned: int = 0

    @property
    def shown(self) -> list[int]:
        """The positions of the active branch."""
        return self.branches[self.active]

    def texts(self) -> list[str]:
        return [self.log[seq] for seq in self.shown]

    def append(self, texts: list[str], most: int | None) -> None:
        for text in texts:
            self.log[self.next] = text
            self.shown.append(self.next)
            self.next += 1
        if most is not None and texts:
            self._trim(most)

    def _trim(self, most: int) -> None:
        shown = self.shown
        head = sum(seq < self.pinned for seq in shown)
        cut = len(shown) - most
        if cut <= max(head, 0):
            return
        kept, begin = set(shown[:head]), shown[cut]
        last = shown[head - 1] if head else -1
        self.log = {seq: text for seq, text in self.log.items() if seq >= begin or seq in kept}
        self._leave(lambda seq: seq <= last or seq >= begin, begin)

    def _leave(self, stays, begin: int) -> None:  # type: ignore[no-untyped-def]
        left = {number: [seq for seq in shown if stays(seq)] for number, shown in self.branches.items()}
        self.branches = {
            number: shown
            for number, shown in left.items()
            if number == self.active or any(seq >= begin for seq in shown)
        }

    def branch(self, after: int) -> int:
        kept = self.shown[: self.shown.index(after) + 1] if after >= 0 else []
        if len(kept) == len(self.shown):
            return self.active
        is_beginning = any(
            number != self.active and shown[: len(self.shown)] == self.shown for number, shown in self.branches.items()
        )
        if not is_beginning:
            self.active, self.following = self.following, self.following + 1
        self.branches[self.active] = kept
        return self.active

    def switch(self, number: int) -> None:
        self.active = number

    def delete_branch(self, number: int) -> int:
        return self._erase(self.branches.pop(number))

    def _erase(self, positions: list[int]) -> int:
        used = {seq for shown in self.branches.values() for seq in shown}
        gone = [seq for seq in positions if seq not in used]
        for seq in gone:
            del self.log[seq]
        return len(gone)

    def truncate(self, after: int) -> int:
        behind = [seq for seq in self.shown if seq > after]
        self.branches[self.active] = [seq for seq in self.shown if seq <= after]
        self._erase(behind)
        return len(behind)

    def delete(self, seq: int) -> None:
        del self.log[seq]
        for shown in self.branches.values():
            if seq in shown:
                shown.remove(seq)

    def compact(self, up_to: int, texts: list[str]) -> int:
        count = self.shown.index(up_to) + 1
        self.log = {seq: text for seq, text in self.log.items() if seq > up_to}
        self._leave(lambda seq: seq > up_to, up_to + 1)
        head = list(range(len(texts)))
        for shown in self.branches.values():
            shown[:0] = head
        self.log = {**dict(zip(head, texts, strict=True)), **self.log}
        self.pinned = len(texts)
        return count

    def siblings(self, seq: int) -> tuple[int, list[int]] | None:
        """Return which of its siblings a message of the active branch is, and their positions."""
        shown = self.shown
        place = shown.index(seq)
        before = shown[:place]
        following = {other[place] for other in self.branches.values() if len(other) > place and other[:place] == before}
        order = sorted(following)
        return (order.index(seq), order) if len(order) > 1 else None
