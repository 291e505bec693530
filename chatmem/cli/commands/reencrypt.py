"""`chatmem reencrypt`: session by session; once more goes on where it ended."""

from __future__ import annotations

from chatmem import ChatMemError, UnavailableError
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, print_json


def reencrypt(store: Store, match: str, *, as_json: bool) -> None:
    """Seal all sessions whose ids match with the newest key; complain of each message that cannot be read."""
    sessions = sorted(store.find(match))
    sealed = unreadable = 0
    for session in track(sessions, "encrypting", store.err):
        history = store.memory.history(session)
        try:
            sealed += history.reencrypt()
            for entry in history.entries():
                if entry.error is not None:
                    unreadable += 1
                    store.complaints.say(f"position {entry.seq}: {entry.error}")
        except UnavailableError:
            raise
        except ChatMemError as error:  # it costs this session alone
            store.complaints.say(error)
    if as_json:
        print_json({"sessions": len(sessions), "sealed": sealed, "unreadable": unreadable})
    else:
        console().print(f"{sealed} messages encrypted anew in {len(sessions)} sessions, {unreadable} unreadable")
