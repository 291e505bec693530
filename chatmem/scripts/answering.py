"""What `answer.lua` takes, and how `append.lua` is told of answers; see `calls` for the other scripts."""

from __future__ import annotations

from collections.abc import Iterable

from chatmem import scripts
from chatmem.scripts import Command
from chatmem.scripts.answers import Ended, Running, Wrote, following
from chatmem.scripts.calls import Keys, Read


def begins(answer: bytes, token: bytes, lease: bytes, *, alone: bool) -> bytes:
    """Return how `append.lua` is told that an answer begins; the lease is in milliseconds."""
    return b"+%b %b %d %b" % (token, lease, alone, answer)


def ends(answer: bytes, token: bytes, number: int | None = None) -> bytes:
    """Return how `append.lua` is told that an answer ends.

    Args:
        answer: its id.
        token: names its producer.
        number: the number of its last batch, if it must not have gone on since; None for any.
    """
    return b"-%b %b %b" % (token, b"" if number is None else b"%d" % number, answer)


class Asking:
    """The calls of `answer.lua` for one session and one caller."""

    def __init__(self, keys: Keys, user: bytes, claim: bytes) -> None:
        """Take what all of them share.

        Args:
            keys: the session's, and that of the stream of chunks.
            user: whose session it has to be; empty for no check.
            claim: `1` if it may be nobody's.
        """
        self._keys, self._user, self._claim = keys, user, claim

    def _call(self, task: bytes, answer: bytes, *arguments: bytes) -> Command:
        return scripts.ANSWER.call(self._keys, self._user, self._claim, task, answer, *arguments)

    def write(self, answer: bytes, token: bytes, lease: bytes, number: int, records: Iterable[bytes]) -> Read[Wrote]:
        """Return the call that writes a batch, or only renews the lease, in milliseconds, if there are no records."""
        return Read(self._call(b"write", answer, token, lease, b"%d" % number, *records), lambda said: Wrote(*said))

    def stop(self, answer: bytes) -> Read[list[bytes]]:
        """Return the call that asks an answer to stop, or all if the id is empty. It answers which ones."""
        return Read(self._call(b"stop", answer), lambda said: said[0])

    def follow(self, answer: bytes, after: bytes, count: int, further: bytes) -> Read[Running | Ended]:
        """Return the call that reads batches, or the messages of an answer that has ended.

        Args:
            answer: its id.
            after: the entry behind which to read; empty for the beginning.
            count: how many entries to look at.
            further: what the ids of its second and later messages begin with.
        """
        return Read(self._call(b"follow", answer, after, b"%d" % count, further), following)

    def drain(self, answer: bytes, after: bytes, count: int, token: bytes) -> Read[Running | Ended]:
        """Return the call that reads batches of an answer that is to be ended in its producer's place."""
        return Read(self._call(b"drain", answer, after, b"%d" % count, token), following)
