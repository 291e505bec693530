"""A pytest plugin that runs the Agents SDK's own tests with `ChatmemSession` in place of its Redis and SQLite sessions.

    pip download --no-deps --no-binary :all: openai-agents==0.24.0, unpack it, and in its folder:
    PYTHONPATH=CHATMEM:CHATMEM/tests/peers pytest -p agents_sdk tests/memory tests/extensions/memory

`CHATMEM_URL` names the server; without it, the embedded server serves. The stand-ins take the constructor arguments of
the SDK's classes, and keep a database file's or a client's sessions apart by a prefix.
"""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

import agents
import agents.memory
import pytest
from agents.extensions import memory as extensions
from agents.extensions.memory import async_sqlite_session, encrypt_session, redis_session
from agents.memory import sqlite_session

import chatmem
from chatmem.openai_agents import ChatmemSession

assert encrypt_session  # imported before the classes are replaced: it asks whether a session is the SDK's own
_SQLITE_ONLY = "EncryptedSession checks the key inside a pop on the SDK's SQLiteSession only"
OTHERWISE = {
    "test_sqlite_session_file_lock_is_shared_across_instances": "about the lock of a SQLite file",
    "test_encrypted_pop_wrong_key_preserves_recoverable_history": _SQLITE_ONLY,
    "test_encrypted_pop_rechecks_authentication_after_expired_tail": _SQLITE_ONLY,
    "test_encrypted_pop_cancellation_waits_for_authentication_rollback": _SQLITE_ONLY,
    "test_encrypted_session_scan_budget_rejects_negative_limit_before_read": "a negative limit reads nothing, as in "
    "the SDK's RedisSession; in SQLite it reads everything",
    "test_close_retries_quarantined_failed_initialization_candidate": "about connections to a SQLite file",
    "test_released_redis_layout_remains_usable": "the stored format is chatmem's",
    "test_ping_connection_failure": "replaces the ping of a redis-py client",
    "test_add_items_rejects_unrepresentable_ttl_before_writing": "chatmem.connect refuses a TTL of more than 100 years",
    "test_redis_session_operation_waiting_behind_close_raises": "replaces methods of a redis-py client",
    "test_atomic_replacement_serializes_before_deleting_history": "the error is an EncodingError, not a TypeError",
    "test_atomic_replacement_rejects_colliding_counter_key": "no key of one session is another session's",
}
"""Tests that do not apply, and why."""
RUN = uuid.uuid4().hex[:8]


@cache
def memory_of(store: str, ttl: float | None = None) -> chatmem.ChatMemory:
    """Return the memory that stands for a database file, or for a key prefix."""
    return chatmem.connect(prefix=f"{RUN}-{store}", ttl=ttl)


class _Session(ChatmemSession):
    def __repr__(self) -> str:
        return type(self).__name__  # tests look for it in errors


class _Sqlite(_Session):
    def __init__(
        self,
        session_id: str,
        db_path: Any = ":memory:",
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: Any = None,
    ) -> None:
        path = str(db_path)
        self.db_path = path
        name = uuid.uuid4().hex if path == ":memory:" else f"{path}-{messages_table}"
        super().__init__(memory_of(name), session_id, session_settings=session_settings)


class SQLiteSession(_Sqlite):
    """Stands in for the SDK's `SQLiteSession`, whose `close` is synchronous."""

    def close(self) -> None:  # type: ignore[override]
        self._closed = True


class AsyncSQLiteSession(_Sqlite):
    """Stands in for the SDK's `AsyncSQLiteSession`."""

    async def close(self) -> None:
        self._closed = True


class RedisSession(_Session):
    """Stands in for the SDK's `RedisSession`."""

    def __init__(
        self,
        session_id: str,
        *,
        redis_client: Any = None,
        key_prefix: str = "agents:session",
        ttl: int | None = None,
        session_settings: Any = None,
    ) -> None:
        super().__init__(memory_of(key_prefix, ttl), session_id, session_settings=session_settings)
        self._redis, self._owns_client = redis_client, False  # tests open further sessions with them

    @classmethod
    def from_url(  # type: ignore[override]
        cls,
        session_id: str,
        *,
        url: str,
        redis_kwargs: Mapping[str, Any] | None = None,
        session_settings: Any = None,
        **options: Any,
    ) -> RedisSession:
        session = cls(session_id, session_settings=session_settings, **options)
        session._owns_client = True
        return session

    async def close(self) -> None:
        self._closed = self._owns_client


for module in (agents, agents.memory, sqlite_session):
    module.SQLiteSession = SQLiteSession  # type: ignore[attr-defined]
for module in (extensions, async_sqlite_session):
    module.AsyncSQLiteSession = AsyncSQLiteSession  # type: ignore[attr-defined]
for module in (extensions, redis_session):
    module.RedisSession = RedisSession  # type: ignore[attr-defined]

INSIDES = re.compile(
    r"sqlite3|aiosqlite|RedisCluster|_redis\.|\bpool\b|pipeline|ConnectionPool|\b_(connections?|connection_lock|get_connection|"
    r"locked_connection|(session|messages|counter)_key|get_next_id|insert_items)\b"
)
"""What a test reads or replaces that only the SDK's own class has: its connections, keys, tables and commands."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item.module, "USE_FAKE_REDIS"):  # type: ignore[attr-defined]
            item.module.USE_FAKE_REDIS, item.module.REDIS_URL = False, "redis://ignored"  # type: ignore[attr-defined]
        test = getattr(item, "function", None)
        reason = OTHERWISE.get(item.name.partition("[")[0])
        if reason is None and test is not None and (found := INSIDES.search(inspect.getsource(test))):
            reason = f"looks inside the SDK's own class: {found[0]}"
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
