"""The old classes work through their drivers and store what chatmem's drop-ins must share with them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core.messages import messages_from_dict, messages_to_dict

from tests.peers import Peer, PeerError, environments
from tests.peers.elements import AI, CORE_0, CORE_1, HUMAN, JS
from tests.upstash_server import upstash


@dataclass(frozen=True)
class Old:
    """A row: an old class, its constructor arguments for (session id, URL, REST URL, token), its layout."""

    fixture: str
    name: str
    options: Callable[[str, str, str, str], dict[str, Any]]
    elements: list[str]
    key: str = "{}"
    newest_first: bool = True


OLD = [
    Old(
        "langchain_community",
        "RedisChatMessageHistory",
        lambda session, url, rest, token: {"session_id": session, "url": url, "ttl": 60},
        CORE_1,
        key="message_store:{}",
    ),
    Old(
        "langchain_community",
        "UpstashRedisChatMessageHistory",
        lambda session, url, rest, token: {"session_id": session, "url": rest, "token": token, "ttl": 60},
        CORE_1,
        key="message_store:{}",
    ),
    Old(
        "memorystore",
        "MemorystoreChatMessageHistory",
        lambda session, url, rest, token: {"session_id": session, "url": url, "ttl": 60},
        CORE_0,
        newest_first=False,
    ),
    Old(
        "langchain_js",
        "UpstashRedisChatMessageHistory",
        lambda session, url, rest, token: {
            "sessionId": session,
            "sessionTTL": 60,
            "config": {"url": rest, "token": token},
        },
        JS,
    ),
    Old(
        "langchain_js",
        "RedisChatMessageHistory",
        lambda session, url, rest, token: {"sessionId": session, "sessionTTL": 60, "config": {"url": url}},
        JS,
    ),
    Old(
        "langchain_js",
        "ioredis.RedisChatMessageHistory",
        lambda session, url, rest, token: {"sessionId": session, "sessionTTL": 60, "url": url},
        JS,
    ),
]


@pytest.fixture(scope="module")
def rest(url: str) -> Iterator[tuple[str, str]]:
    with upstash(url) as served:
        yield served


@pytest.fixture
def store(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.mark.parametrize("old", OLD, ids=lambda old: f"{old.fixture}-{old.name}")
def test_an_old_class(
    old: Old, url: str, rest: tuple[str, str], store: redis.Redis, request: pytest.FixtureRequest
) -> None:
    """It stores a list of the known layout with a TTL, reads it in order and clears it."""
    peer: Peer = request.getfixturevalue(old.fixture)
    session = f"test-{uuid.uuid4().hex[:12]}"
    options, key = old.options(session, url, *rest), old.key.format(session)
    peer.call(old.name, options, "add", [HUMAN, AI])
    stored: Any = store.lrange(key, 0, -1)
    assert [element.decode() for element in stored] == old.elements[:: -1 if old.newest_first else 1]
    assert 55 <= int(store.ttl(key)) <= 60
    peer.call(old.name, options, "add_user", ["Hello"])
    peer.call(old.name, options, "add_ai", ["Hi"])
    read = peer.call(old.name, options, "read")
    said = [{"type": "human", "data": {"content": "Hello"}}, {"type": "ai", "data": {"content": "Hi"}}]
    for message in read:
        message["data"].pop("example", None)  # langchain-core 0.3's; for 1.x a field of the user's own
    assert messages_from_dict(read) == messages_from_dict([HUMAN, AI, *said])
    attributes = peer.call(old.name, options, "attributes")
    assert {session, repr(session)} & set(attributes.values())
    peer.call(old.name, options, "clear")
    assert list(store.scan_iter(f"*{session}*")) == []
    assert peer.call(old.name, options, "read") == []


def test_this_environment_is_as_new_as_langchain_communitys() -> None:
    """What langchain-core makes here is what its old class stores."""
    assert [set(one["data"]) for one in messages_to_dict(messages_from_dict([HUMAN, AI]))] == [
        {"content", "additional_kwargs", "response_metadata", "type", "name", "id"},
        {"content", "additional_kwargs", "response_metadata", "type", "name", "id"}
        | {"tool_calls", "invalid_tool_calls", "usage_metadata"},
    ]


def test_an_old_class_raises(langchain_community: Peer) -> None:
    """Its error has its type and text, and the process goes on."""
    with pytest.raises(PeerError, match=r"^TypeError: .*session_id"):
        langchain_community.call("RedisChatMessageHistory", {}, "read")
    with pytest.raises(PeerError, match=r"^KeyError: 'NoSuch'"):
        langchain_community.call("NoSuch", {}, "read")


def test_a_process_dies() -> None:
    """The call says how, and the next one starts another."""
    with Peer([sys.executable, "-c", "raise SystemExit('too bad')"]) as peer:
        for _ in range(2):
            with pytest.raises(PeerError, match=r"died with 1.*too bad"):
                peer.call("Any", {}, "read")


def test_a_process_hangs() -> None:
    """It is ended."""
    with (
        Peer([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5) as peer,
        pytest.raises(PeerError, match="died with -9"),
    ):
        peer.call("Any", {}, "read")


def test_an_environment_is_kept_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted install leaves nothing; a whole one serves until its pins change."""
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    pins, made = tmp_path / "pins", []

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)
        if len(made) == 1:
            raise KeyboardInterrupt

    pins.write_text("a==1")
    with pytest.raises(KeyboardInterrupt):
        environments.cached("one", [pins], make)
    assert list((tmp_path / "cache").iterdir()) == []
    first = environments.cached("one", [pins], make)
    assert environments.cached("one", [pins], make) == first
    pins.write_text("a==2")
    assert environments.cached("one", [pins], make) != first
    assert len(made) == 3


def test_two_runs_make_an_environment_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to end wins, and both use it."""
    monkeypatch.setattr(environments, "CACHE", tmp_path)

    def slow(folder: Path) -> None:
        (folder / "second").mkdir(parents=True)
        environments.cached("one", [], lambda other: (other / "first").mkdir(parents=True))

    assert (environments.cached("one", [], slow) / "first").exists()
