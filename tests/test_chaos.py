"""The chaos run in short; `nox -s chaos` is the long one. And that it would see what it looks for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

import chatmem
from tests.chaos import shared
from tests.chaos.journal import Journal, Left, Line, lines
from tests.chaos.model import Model
from tests.chaos.run import run


def test_nothing_is_lost_doubled_or_wrong() -> None:
    """A server that is killed, full, paused and cut off, and clients that are killed."""
    outcome = run("Redis", 400, "1", processes=2, lanes=2)
    assert outcome.verdicts == []
    assert outcome.acknowledged > 350
    assert outcome.disturbances.total() > 1


def entries(*texts: str) -> list[chatmem.Entry]:
    now = datetime.now(UTC)
    return [chatmem.Entry(seq, None, now, HumanMessage(text)) for seq, text in enumerate(texts)]


def told(*, maybe: str = "", refused: str = "", **stored: list[Any]) -> shared.Claims:
    """Return claims: of each text what an append of it was told."""
    ends: list[tuple[str, Line]] = [(text, {"maybe": "s"}) for text in maybe]
    ends += [(text, {"refused": "s"}) for text in refused]
    ends += [(text, {"stored": "s", "told": said}) for text, said in stored.items()]
    journal: list[Line] = []
    for text, end in ends:
        journal += [{"shared": "s", "texts": [text]}, {**end, "texts": [text]}]
    return shared.claims([journal])["s"]


@pytest.mark.parametrize(
    ("claims", "there", "kinds"),
    [
        (told(a=[1, 0, 0, 0], b=[2, 1, 1, 0]), "ab", set()),
        (told(a=[1, 0, 0, 0], maybe="b"), "ab", set()),
        (told(a=[1, 0, 0, 0], maybe="b"), "a", set()),
        (told(a=[1, 0, 0, 0], b=[1, 0, 0, 1]), "ab", set()),  # a duplicate says the version that there was
        (told(a=[1, 0, 0, 0], b=[2, 1, 1, 0]), "a", {"lost", "wrong"}),
        (told(a=[1, 0, 0, 0]), "aa", {"doubled"}),
        (told(maybe="a"), "aa", {"doubled"}),
        (told(refused="a"), "a", {"wrong"}),
        (told(a=[1, 0, 0, 0]), "ab", {"wrong"}),  # nobody said b
        (told(a=[1, 0, 0, 0], b=[1, 1, 1, 0]), "ab", {"wrong"}),  # a version twice
        (told(a=[2, 0, 0, 0], b=[1, 1, 1, 0]), "ab", {"wrong"}),  # a later version with an earlier position
        (told(a=[1, 1, 1, 0], b=[2, 0, 0, 0]), "ba", {"wrong"}),  # not in the order of their writer
        (told(a=[1, 1, 1, 0]), "a", {"wrong"}),  # another position
    ],
)
def test_what_is_seen_in_shared_sessions(claims: shared.Claims, there: str, kinds: set[str]) -> None:
    assert {kind for kind, _ in shared.verdicts("s", claims, entries(*there))} == kinds


def test_a_killed_append_may_be_there() -> None:
    """Its journal ends with it, or goes on with what the next process did."""
    killed: Line = {"shared": "s", "texts": ["a"]}
    after: list[Line] = [{"shared": "s", "texts": ["b"]}, {"stored": "s", "texts": ["b"], "told": [1, 0, 0, 0]}]
    for journal in ([killed], [killed, *after]):
        assert list(shared.claims([journal])["s"].maybe) == ["a"]


def test_a_journal_that_a_killed_process_left(tmp_path: Path) -> None:
    """The next one knows the model, the version, and what may have been done; half a line is none."""
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.write(story=3)
    journal.write(**{"try": {"do": "append", "messages": [["a", "1"], [None, "2"]]}})
    journal.write(acknowledged=4)
    journal.write(**{"try": {"do": "delete", "id": "a"}})
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"acknow')
    left = Left(path)
    assert (left.story, left.version, left.done) == (3, 4, 1)
    assert left.model == Model((("a", "1"), (None, "2")))
    assert left.open == {"do": "delete", "id": "a"}
    again = Journal(path)
    again.write(acknowledged=5)
    again.close()
    assert [line.get("acknowledged") for line in lines(path)] == [None, None, 4, None, 5]


def test_the_model() -> None:
    """Each operation on a list."""
    model = Model()
    for op in (
        {"do": "append", "messages": [("a", "1"), (None, "2"), ("b", "3")], "key": "k"},
        {"do": "append", "messages": [("c", "4")], "key": "k"},  # a key that was used
        {"do": "append", "messages": [("a", "1"), ("c", "4")]},
        {"do": "put", "message": ("b", "5")},
        {"do": "replace", "id": "c", "message": ("c", "6")},
        {"do": "compact", "id": "a", "message": ("s", "0")},
        {"do": "put", "message": ("d", "7")},
        {"do": "truncate", "id": "c"},
        {"do": "delete", "id": "b"},
        {"do": "update", "title": "t"},
        {"do": "window"},
    ):
        model = model.after(op)
    assert model == Model((("s", "0"), (None, "2"), ("c", "6")), frozenset({"k"}), "t")
    assert model.after({"do": "clear"}) == Model()
