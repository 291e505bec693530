"""chatmem's errors. All derive from `ChatMemError`, and each is named after its cause.

    ChatMemError
    |- ConflictError           the session is not at the expected version, or an answer runs in it
    |- DuplicateIdError        the session has another message with the same id
    |- NotFoundError           the session has no message with that id or position
    |  `- NotYoursError        the session belongs to another user, or to nobody
    |- UnavailableError        the server did not answer, refused the command, or is out of memory
    |- CorruptRecordError      a stored record cannot be read
    |  `- TornSessionError     a part of the session is missing, or belongs to another session
    |- EncodingError           a message has a value that cannot be stored
    |  `- MessageTooLargeError a message is too large
    `- UnsupportedError        this server, client or installation lacks what the call needs

A wrong argument is a plain `ValueError`. All errors can be pickled, and none shows a password or a message's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatmem.deprecated import renamed

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class ChatMemError(Exception):
    """The base class of chatmem's errors.

    Attributes:
        session: the id of the session that the error is about, or None.
        key: the Redis key that the error is about, or None.
    """

    def __init__(self, message: str, *, session: str | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.session = session
        self.key = key

    def __str__(self) -> str:
        """Return the message, with the session and the key if they are known."""
        message = super().__str__()
        where = [f"{name} {value!r}" for name, value in (("session", self.session), ("key", self.key)) if value]
        return f"{message} [{', '.join(where)}]" if where else message

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        """Return pydantic's schema: in JSON, an error is its type and its message, without the session and the key."""
        from pydantic_core import core_schema as cs  # noqa: PLC0415 - importing errors must not import pydantic

        fields = {name: cs.typed_dict_field(cs.str_schema()) for name in ("type", "message")}
        written = cs.no_info_after_validator_function(lambda it: cls(it["message"]), cs.typed_dict_schema(fields))
        given = cs.union_schema([cs.is_instance_schema(cls), written], mode="left_to_right")
        as_json = cs.plain_serializer_function_ser_schema(_as_json, when_used="json")
        return cs.json_or_python_schema(written, given, serialization=as_json)


def _as_json(error: ChatMemError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": Exception.__str__(error)}


class ConflictError(ChatMemError):
    """The session is not at `expected_version`: another writer changed it first. Nothing was stored.

    Read the session again, then repeat the change with its new version. Where an answer runs that the change would
    disturb, follow it or stop it first.

    Attributes:
        expected: the version that the call expected, or None.
        actual: the version of the session, or None.
        answer: the id of the answer that runs, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: int | None = None,
        actual: int | None = None,
        answer: str | None = None,
        session: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.expected = expected
        self.actual = actual
        self.answer = answer


class DuplicateIdError(ChatMemError, ValueError):
    """The session has another message with the same id and different content. Nothing was stored.

    Attributes:
        index: the index of the message among the call's messages, from 0.
        message_id: its id.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int = 0,
        message_id: str = "",
        session: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.index = index
        self.message_id = message_id


class NotFoundError(ChatMemError, LookupError):
    """The session has no message with this id or at this position. Nothing was changed."""


class NotYoursError(NotFoundError, ValueError):
    """The session was opened with `user=`, but belongs to another user, or to nobody. Nothing was read or changed."""


class UnavailableError(ChatMemError):
    """The server could not be reached, did not answer in time, refused the login, or is out of memory.

    A write that raises this was stored as a whole or not at all. You can safely retry it if its messages have ids or
    the call had an `idempotency_key`.

    Attributes:
        lacks_right: whether the server's ACL denied a command to this user; docs/deployment.md lists the needed rights.
        closed: whether the call was made on a memory that was closed.
    """

    lacks_right = False
    closed = False


class CorruptRecordError(ChatMemError):
    """A stored record cannot be read: it is damaged, of a newer format, or was not written by chatmem.

    Attributes:
        seq: the record's position in its session, or None.
    """

    def __init__(
        self, message: str, *, seq: int | None = None, session: str | None = None, key: str | None = None
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.seq = seq


class TornSessionError(CorruptRecordError):
    """A part of the session is missing, belongs to another session, or was not written by chatmem. Nothing was changed.

    This happens on a server that evicts keys, after an incomplete restore, or after a `DEL` by hand. Whatever can be
    repaired without loss is repaired and raises no error. Otherwise `clear` erases the rest of the session, so that it
    can begin anew, and `chatmem doctor` shows what is left.

    Attributes:
        reason: what is wrong:
            "list": the messages are missing;
            "orphan": only the id index is left;
            "other": the messages are not those of the session's state;
            "owner": the session's owner is unknown;
            "keys": the used idempotency keys are unknown;
            "type": a key holds data that chatmem did not write;
            "record": the record of a pydantic-ai conversation is missing. Its messages are there.
    """

    def __init__(self, message: str, *, reason: str = "", session: str | None = None, key: str | None = None) -> None:
        super().__init__(message, session=session, key=key)
        self.reason = reason


class EncodingError(ChatMemError):
    """A message has a value that cannot be stored. Nothing was sent.

    Attributes:
        index: the index of the message among the call's messages, from 0, or None.
        field: the path of the value, such as `artifact.handle` or `content[2].data`, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        field: str | None = None,
        session: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.index = index
        self.field = field

    @property
    def position(self) -> int | None:
        """The old name of `index`."""
        renamed("EncodingError.position", "EncodingError.index")
        return self.index


class MessageTooLargeError(EncodingError):
    """A message is larger than `max_message_bytes` of the memory, or than a Redis value can be. Nothing was sent."""


class UnsupportedError(ChatMemError):
    """This server, client or installation lacks what the call needs. The message says what to use instead."""
