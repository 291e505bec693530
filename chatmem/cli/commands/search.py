"""`chatmem search`: over one session, a user's sessions, or all sessions."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from chatmem import Match
from chatmem.cli.commands.show import INDENT, as_dict, head_of
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import clean, console, one_line, plural, print_json
from chatmem.cli.wrapping import print_wrapped
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.search import Best, Query
from chatmem.transports.driving import drive

_AROUND = 100
"""How many characters are shown before and after the first occurrence."""


def search(
    store: Store, query: str, *, session: str | None, user: str | None, match: str | None, limit: int, as_json: bool
) -> None:
    """Print the messages that hold the query's words, best match first.

    Raises:
        ValueError: the query holds no word, or there is no such session.
    """
    wanted, best = Query(query), Best[Match](limit)
    infos = store.named([session]) if session is not None else store.chosen(user, match)
    for info in track(infos, "searching", store.err):
        try:
            unreadable = drive(store.reader(info.session_id).search(wanted, best))
        except UnavailableError:
            raise
        except ChatMemError as error:  # only this session is affected
            store.problems.report(error)
            continue
        if unreadable:
            store.problems.report(f"session {info.session_id!r}: {plural(unreadable, 'message')} could not be read")
    found = best.ranked()
    for one in found:
        if as_json:
            print_json(_as_dict(one))
        else:
            head = Text() + Text(one_line(one.session_id), style="bold") + head_of(one.entry)
            print_wrapped(console(), head + Text("\n") + _excerpt(one), INDENT)
    if not found:
        store.err.print("nothing found")


def _as_dict(found: Match) -> dict[str, Any]:
    return {
        "session": found.session_id,
        "score": found.score,
        "spans": [list(span) for span in found.spans],
        "text": found.text,
        **as_dict(found.entry),
    }


def _excerpt(found: Match) -> Text:
    """Return the text around the first occurrence, with all occurrences in it highlighted."""
    start = max(found.spans[0][0] - _AROUND, 0)
    end = min(max(found.spans[0][1], start) + 2 * _AROUND, len(found.text))
    excerpt, at = Text("…" if start else ""), start
    for first, last in found.spans:
        if first >= end:
            break
        excerpt += Text(_flat(found.text[at:first]))
        excerpt += Text(_flat(found.text[first : min(last, end)]), style="bold yellow")
        at = min(last, end)
    return excerpt + Text(_flat(found.text[at:end]) + ("…" if end < len(found.text) else ""))


def _flat(text: str) -> str:
    return clean(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))
