"""Updates of a session's title, metadata and marks; see `History.update`."""

from __future__ import annotations

from typing import Any, NamedTuple

from chatmem.core.checks import to_json
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.reader import Reader
from chatmem.core.session import ATTEMPTS, Session
from chatmem.core.state import metadata_in
from chatmem.errors import ConflictError, UnavailableError
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code, Refusal, Written

MERGES = 100
"""How often metadata is merged anew because other metadata came in between."""


class Expected(NamedTuple):
    """What the session must be at for an update; None for any."""

    version: int | None = None
    revision: int | None = None


async def update(
    session: Session, title: str | None, metadata: dict[str, Any] | None, change: bytes, expected: Expected
) -> int:
    """Set title, metadata and marks; return the new revision.

    Args:
        session: the session.
        title: None to leave it as it is.
        metadata: None to leave it as it is.
        change: the change of marks, as `marks.change_of` returns it.
        expected: what the session must be at.
    """
    told = [_stored(session, name, value) for name, value in (("title", title), ("metadata", metadata))]
    done = await _update(session, [*told, b""], change, expected)
    if isinstance(done, Refusal):
        raise AssertionError(f"a script refused with {done}, which it never should")
    return done.affected


async def merge_update(
    session: Session, reader: Reader, title: str | None, metadata: dict[str, Any], change: bytes, expected: Expected
) -> int:
    """Do what `update` does with the metadata that is stored, changed by the given one; None removes a key.

    JSON in Lua loses empty lists and large numbers, and encrypted metadata is unreadable there. So it is merged here,
    and written if the state holds the same metadata as before.
    """
    _stored(session, "metadata", metadata)  # so that a wrong value is an error before anything is sent
    gone = {key for key, value in metadata.items() if value is None}
    for _ in range(MERGES):
        answer, _ = await reader.ask(session.reads.info())
        known = metadata_in(session.policy, session.id, answer)
        merged = {key: value for key, value in {**known, **metadata}.items() if key not in gone}
        told = [_stored(session, name, value) for name, value in (("title", title), ("metadata", merged))]
        done = await _update(session, [*told, b"=" + (answer.fields[-1] or b"")], change, expected)
        if isinstance(done, Written):
            return done.affected
    with session.named:
        raise UnavailableError("others change the metadata faster than it can be merged: try again")


async def _update(session: Session, told: list[bytes], change: bytes, expected: Expected) -> Written | Refusal:
    """Run the update, and enter the session in its user's lists. A refusal says that other metadata came in between."""
    publish = session.policy.publish
    if change or expected.revision is not None:
        told += [b"" if expected.revision is None else b"%d" % expected.revision, change]
    for _ in range(ATTEMPTS):
        call = session.policy.calls.begin(session.keys.messages)
        try:
            shared = session.shared(token=call.token, expected_version=expected.version)
            commands = [calls.edit(session.written_keys, shared, b"update", *told)]
            if session.user is not None:
                commands.append(session.register(session.user_name, "NX", titled=publish))
            reply, *listed = await session.run(*commands)
        finally:
            session.policy.calls.end(call)
        done = answers.written(reply)
        if isinstance(done, Refusal):
            if done.code == Code.CONFLICT and done.details[1:] == (b"metadata",):
                return done
            await _mend(session, done, expected)
            continue
        if session.user is not None:
            await session.check_marks(done, listed[0], "NX", titled=publish)
        elif done.user and (change or publish or session.policy.restarts_ttl):
            await session.enter(done, "NX", titled=publish)
        return done
    raise cannot_mend(session)


def _stored(session: Session, name: str, value: Any) -> bytes:
    """Return a field as `edit.lua` takes it: "=" and JSON, encrypted if the memory has keys; empty for None."""
    if value is None:
        return b""
    with session.named:
        text = to_json(value)
    return b"=" + (text if session.sealer is None else session.sealer.seal_text(name, text))


async def _mend(session: Session, refusal: Refusal, expected: Expected) -> None:
    if refusal.code != Code.CONFLICT:
        await mend(session, refusal)
        return
    actual, *of = refusal.details
    name, wanted = ("revision", expected.revision) if of else ("version", expected.version)
    what = f"the session is at {name} {actual}, not at {wanted}: read it again, then update it"
    raise ConflictError(what, expected=wanted, actual=actual, session=session.id, key=session.key)
