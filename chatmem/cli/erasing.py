"""`chatmem erase`: whole sessions, after a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chatmem import SessionInfo
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.text import console, plural, print_json


def erase(
    store: Store, infos: Sequence[SessionInfo], *, only_look: bool, confirm: Callable[[str], bool], as_json: bool
) -> None:
    """Erase sessions, with their place in their users' lists.

    Args:
        store: where they are.
        infos: what is known of them.
        only_look: whether to erase none.
        confirm: asks, where there is somebody to ask.
        as_json: whether the summary is one JSON object.
    """
    messages = sum(info.count for info in infos)
    what = f"{plural(len(infos), 'session')} with {plural(messages, 'message')}"
    if infos and not only_look:
        if not confirm(f"erase {what}"):
            store.complaints.say("nothing was erased")
            return
        for info in track(infos, "erasing", store.err):
            store.memory.history(info.session_id).clear()
    if as_json:
        print_json({"sessions": len(infos), "messages": messages, "erased": not only_look})
    else:
        console().print(f"{what} {'to erase' if only_look else 'erased'}")
