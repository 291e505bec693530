"""What chatmem raises: one root, few leaves, each named by its cause.

    ChatMemError
    |- ConflictError         the session is not at the version the caller expected
    |- DuplicateIdError      a message's id is known in the session, with other content
    |- NotFoundError         no message of that id or position is in the session
    |  `- NotYoursError      the session is not this user's
    |- UnavailableError      the server did not answer, refused, or has no room
    |- CorruptRecordError    something stored cannot be read
    |  `- TornSessionError   a part of the session is missing, or not its own
    |- EncodingError         a message holds what cannot be stored
    |  `- MessageTooLargeError
    `- UnsupportedError      this server, client or installation cannot do what was asked

Wrong arguments are plain `ValueError`s. Every error pickles, and none ever holds a password or a message's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatmem.deprecated import renamed

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class ChatMemError(Exception):
    """The root of chatmem's errors.

    Attributes:
        session: the id of the session concerned, or None.
        key: the Redis key concerned, or None.
    """

    def __init__(self, message: str, *, session: str | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.session = session
        self.key = key

    def __str__(self) -> str:
        """Return the message, with the session and the key where they are known."""
        message = super().__str__()
        where = [f"{name} {value!r}" for name, value in (("session", self.session), ("key", self.key)) if value]
        return f"{message} [{', '.join(where)}]" if where else message

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        """Say how pydantic writes an error in JSON: its type, and its message without the session and the key."""
        from pydantic_core import core_schema as cs  # noqa: PLC0415 - errors alone need no pydantic

        fields = {name: cs.typed_dict_field(cs.str_schema()) for name in ("type", "message")}
        written = cs.no_info_after_validator_function(lambda it: cls(it["message"]), cs.typed_dict_schema(fields))
        given = cs.union_schema([cs.is_instance_schema(cls), written], mode="left_to_right")
        as_json = cs.plain_serializer_function_ser_schema(_as_json, when_used="json")
        return cs.json_or_python_schema(written, given, serialization=as_json)


def _as_json(error: ChatMemError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": Exception.__str__(error)}


class ConflictError(ChatMemError):
    """Another writer was faster: the session is not at `expected_version`. Nothing was stored.

    Attributes:
        expected: the version the caller expected.
        actual: the version the session has.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: int | None = None,
        actual: int | None = None,
        session: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.expected = expected
        self.actual = actual


class DuplicateIdError(ChatMemError, ValueError):
    """A message has the id of another one in the session, and says something else. Nothing was stored.

    Attributes:
        index: which of the given messages it is, counted from 0.
        message_id: the id.
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
    """The session holds no message of this id or at this position. Nothing was changed."""


class NotYoursError(NotFoundError, ValueError):
    """The session is another user's, or nobody's, and was opened with `user=`. Nothing was read or changed."""


class UnavailableError(ChatMemError):
    """The server could not be reached, did not answer in time, refused the login, or is out of memory.

    A write that raised this was stored whole or not at all. It is safe to do again where its messages carry
    ids or it had an `idempotency_key`.

    Attributes:
        lacks_right: whether the server did not let this user run a command; docs/deployment.md lists what is needed.
    """

    lacks_right = False


class CorruptRecordError(ChatMemError):
    """A stored record cannot be read: damaged, of a newer format, or not chatmem's.

    Attributes:
        seq: the record's position in its session, or None.
    """

    def __init__(
        self, message: str, *, seq: int | None = None, session: str | None = None, key: str | None = None
    ) -> None:
        super().__init__(message, session=session, key=key)
        self.seq = seq


class TornSessionError(CorruptRecordError):
    """A part of the session is missing, belongs to another session, or is not chatmem's. Nothing was changed.

    A server that evicts keys does that, as do a restore in part and a `DEL` by hand. What can be mended without a loss
    is mended without this error. Otherwise `clear` erases what is left of the session, so that it can begin anew, and
    `chatmem doctor` says what there is.

    Attributes:
        reason: "list" where the messages are gone, "orphan" where nothing but the id index is left, "other" where the
            messages are not those that the session's state speaks of, "owner" where nothing says whose session it is,
            "keys" where nothing says which idempotency keys were used, "type" where a key holds no data of chatmem's.
    """

    def __init__(self, message: str, *, reason: str = "", session: str | None = None, key: str | None = None) -> None:
        super().__init__(message, session=session, key=key)
        self.reason = reason


class EncodingError(ChatMemError):
    """A message holds a value that cannot be stored. Nothing was sent.

    Attributes:
        index: which of the given messages it is, counted from 0, or None.
        field: the path of the value, such as `artifact.handle` or `content[2].data`.
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
    """A message is larger than the memory's `max_message_bytes`, or than Redis takes in one value. Nothing was sent."""


class UnsupportedError(ChatMemError):
    """This server, client or installation cannot do what was asked; the message says what can."""
