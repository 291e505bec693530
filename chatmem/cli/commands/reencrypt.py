"""`chatmem reencrypt`: session by session. Running it again resumes."""

from __future__ import annotations

from chatmem import ChatMemError, UnavailableError
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json


def reencrypt(store: Store, match: str, *, as_json: bool) -> None:
    """Encrypt the sessions that match a glob with the newest key, and report each message that cannot be read."""
    sessions = sorted(store.find(match))
    sealed = unreadable = 0
    for session in track(sessions, "encrypting", store.err):
        history = store.memory.history(session)
        try:
            sealed += history.reencrypt()
            for entry in history.entries():
                if entry.error is not None:
                    unreadable += 1
                    store.problems.report(f"position {entry.seq}: {entry.error}")
        except UnavailableError:
            raise
        except ChatMemError as error:  # only this session is affected
            store.problems.report(error)
    if as_json:
        print_json({"sessions": len(sessions), "sealed": sealed, "unreadable": unreadable})
    else:
        done = f"{plural(sealed, 'message')} re-encrypted in {plural(len(sessions), 'session')}"
        console().print(f"{done}, {unreadable:,} unreadable")
