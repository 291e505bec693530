"""What the methods return and raise."""

from datetime import datetime
from typing import Any, assert_type

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

import chatmem
from chatmem import errors


def appended(appended: chatmem.Appended) -> None:
    assert_type(appended.version, int)
    assert_type(appended.first, int | None)
    assert_type(appended.last, int | None)
    assert_type(appended.duplicates, int)
    appended.version = 2  # type: ignore[misc]


def edited(edited: chatmem.Edited) -> None:
    assert_type(edited.version, int)
    assert_type(edited.seq, int | None)
    assert_type(edited.count, int)


def entry(entry: chatmem.Entry) -> None:
    assert_type(entry.seq, int)
    assert_type(entry.id, str | None)
    assert_type(entry.created_at, datetime | None)
    assert_type(entry.message, BaseMessage | None)
    assert_type(entry.error, chatmem.CorruptRecordError | None)
    assert_type(entry.siblings, chatmem.Siblings | None)
    assert_type(entry.annotations, dict[str, Any])


def siblings(siblings: chatmem.Siblings) -> None:
    assert_type(siblings.index, int)
    assert_type(siblings.branches, tuple[int, ...])


def branch(branch: chatmem.Branch) -> None:
    assert_type(branch.id, int)
    assert_type(branch.active, bool)
    assert_type(branch.after, int | None)
    assert_type(branch.head, int | None)
    assert_type(branch.created_at, datetime)
    assert_type(branch.updated_at, datetime)


def switched(switched: chatmem.Switched) -> None:
    assert_type(switched.version, int)
    assert_type(switched.branch, int)


def summary(summary: chatmem.Summary) -> None:
    assert_type(summary.up_to, int | None)
    assert_type(summary.messages, list[BaseMessage])


def change(change: chatmem.Change) -> None:
    assert_type(change.kind, str)
    assert_type(change.version, int)
    assert_type(change.first, int | None)
    assert_type(change.last, int | None)


def session_change(change: chatmem.SessionChange) -> None:
    assert_type(change.kind, str)
    assert_type(change.session_id, str | None)
    assert_type(change.cursor, str)


def page(page: chatmem.Page) -> None:
    assert_type(page.entries, list[chatmem.Entry])
    assert_type(page.next, int | None)


def match(match: chatmem.Match) -> None:
    assert_type(match.session_id, str)
    assert_type(match.entry, chatmem.Entry)
    assert_type(match.text, str)
    assert_type(match.spans, tuple[tuple[int, int], ...])
    assert_type(match.score, float)


def session_info(info: chatmem.SessionInfo) -> None:
    assert_type(info.session_id, str)
    assert_type(info.count, int)
    assert_type(info.version, int)
    assert_type(info.created_at, datetime | None)
    assert_type(info.updated_at, datetime | None)
    assert_type(info.ttl, float | None)
    assert_type(info.user, str | None)
    assert_type(info.title, str | None)
    assert_type(info.metadata, dict[str, Any])
    assert_type(info.archived, bool)
    assert_type(info.pinned, bool)
    assert_type(info.tags, tuple[str, ...])
    assert_type(info.revision, int)
    assert_type(info.answers, tuple[chatmem.Answer, ...])


def answer(answer: chatmem.Answer) -> None:
    assert_type(answer.id, str)
    assert_type(answer.started_at, datetime)
    assert_type(answer.stopping, bool)


def chunk(chunk: chatmem.Chunk) -> None:
    assert_type(chunk.cursor, str)
    assert_type(chunk.messages, list[BaseMessage])
    assert_type(chunk.status, chatmem.AnswerStatus | None)


def draft(draft: chatmem.Draft) -> None:
    assert_type(draft.id, str)
    assert_type(draft.stopping, bool)
    assert_type(draft.begun, chatmem.Appended | None)
    assert_type(draft.appended, chatmem.Appended | None)
    assert_type(draft.status, chatmem.AnswerStatus | None)


def session_page(page: chatmem.SessionPage) -> None:
    assert_type(page.sessions, list[chatmem.SessionInfo])
    assert_type(page.next, str | None)


def root(error: chatmem.ChatMemError) -> None:
    assert_type(error.session, str | None)
    assert_type(error.key, str | None)


def leaves(
    conflict: chatmem.ConflictError,
    duplicate: chatmem.DuplicateIdError,
    unavailable: chatmem.UnavailableError,
    corrupt: chatmem.CorruptRecordError,
    torn: chatmem.TornSessionError,
    encoding: chatmem.EncodingError,
) -> None:
    assert_type(conflict.expected, int | None)
    assert_type(conflict.actual, int | None)
    assert_type(conflict.answer, str | None)
    assert_type(duplicate.index, int)
    assert_type(duplicate.message_id, str)
    assert_type(unavailable.lacks_right, bool)
    assert_type(corrupt.seq, int | None)
    assert_type(torn.reason, str)
    assert_type(encoding.index, int | None)
    assert_type(encoding.position, int | None)
    assert_type(encoding.field, str | None)


def tree(
    not_found: chatmem.NotFoundError,
    not_yours: chatmem.NotYoursError,
    torn: chatmem.TornSessionError,
    too_large: chatmem.MessageTooLargeError,
    unsupported: chatmem.UnsupportedError,
) -> None:
    lookup: LookupError = not_found
    not_found = not_yours
    value: ValueError = not_yours
    corrupt: chatmem.CorruptRecordError = torn
    encoding: chatmem.EncodingError = too_large
    base: chatmem.ChatMemError = unsupported
    same: errors.ChatMemError = base
    del lookup, not_found, value, corrupt, encoding, same


def keys(conversation: list[BaseMessage], data: bytes) -> None:
    assert_type(chatmem.KeyRing({"2026": data}), chatmem.KeyRing)
    assert_type(chatmem.KeyRing.parse("2026:key", read_plain=False), chatmem.KeyRing)
    assert_type(chatmem.Dictionary(data), chatmem.Dictionary)
    assert_type(chatmem.Dictionary.train(conversation, size=1024), chatmem.Dictionary)


class Order(BaseModel):
    number: int


@chatmem.register
class Refund(BaseModel):
    amount: int


def register() -> None:
    assert_type(chatmem.register(Order, name="shop.Order"), type[Order])
    assert_type(Refund(amount=1).amount, int)
