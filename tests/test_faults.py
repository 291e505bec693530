"""Connections that fail at any moment: what was acknowledged is there once and in order, what raised at most once.

A few hundred faults by default; `CHATMEM_FAULTS=5000 CHATMEM_SEED=7 pytest -s tests/test_faults.py` for more, or
`nox -s faults -- 7 5000`. `-s` shows the table.

Where a network delivers a write after its caller was told that it failed, and the caller has meanwhile done it again
and more behind it, the late one is not known for what it is if it is an edit without `expected_version`, or an append
whose messages were removed since; and with `clear` all is forgotten. So the writers here wait, before they do such a
write again or go on behind a `clear`, until nothing is on its way any more. Appends to the session that all of them
share they do again at once.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.backends import upstash
from tests.clusters import Cluster, cluster, needs_newer_client
from tests.coroutines import as_coroutines
from tests.faults import FAILING_OVER, WEIGHTS, FaultProxy, Pair, Schedule, failing, http_end, resp_end
from tests.servers import redis_7
from tests.upstash_server import TOKEN, serving

FAULTS = int(os.environ.get("CHATMEM_FAULTS", "100"))
SEED = os.environ.get("CHATMEM_SEED", "1")
WRITERS = 6
PATIENCE = 0.1

Told = list[tuple[str | None, str]]
"""Ids and contents."""


@dataclass
class Site:
    """A proxy, how to get past it, and what the schedule does."""

    url: str
    direct_url: Callable[[], str]
    proxy: FaultProxy
    schedule: Schedule
    given_up: bool = False
    """whether a writer failed, so that the others, in their threads, must end too"""

    def settle(self) -> None:
        """Wait until no command is on its way to the server any more."""
        self.proxy.settle()

    def open(self, *, blocking: bool, **options: Any) -> Any:
        """Return a memory behind the proxy."""
        return (chatmem.sync.connect if blocking else chatmem.connect)(self.url, ttl=600, **options)

    async def aclose(self) -> None:
        """Close what the memory leaves open."""


@contextmanager
def over_redis(schedule: Schedule) -> Iterator[Site]:
    """A master and a replica, which change places now and then."""
    with ExitStack() as stack:
        pair = Pair(stack)
        proxy = stack.enter_context(failing(pair.address, schedule, patience=PATIENCE, fail_over=pair.fail_over))
        url = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"
        yield Site(url, lambda: pair.url, proxy, schedule)


@contextmanager
def over_upstash(schedule: Schedule) -> Iterator[Site]:
    """The stand-in of the REST API; the faults are those of its HTTP requests."""
    with redis_7() as server, serving(server) as rest:
        address = ("127.0.0.1", int(urlsplit(rest.url).port or 0))
        with failing(lambda: address, schedule, patience=PATIENCE, end=http_end) as proxy:
            yield Site(f"http://:{TOKEN}@127.0.0.1:{proxy.port}", lambda: server, proxy, schedule)


class ClusterSite(Site):
    """A proxy in front of each node; the client is the caller's, which must find the nodes behind them."""

    def __init__(self, running: Cluster, proxies: dict[int, FaultProxy], schedule: Schedule) -> None:
        super().__init__("", lambda: running.url, next(iter(proxies.values())), schedule)
        self._proxies = proxies
        self._client: Any = None

    def settle(self) -> None:
        for proxy in self._proxies.values():
            proxy.settle()

    def open(self, *, blocking: bool, **options: Any) -> Any:
        kind: Any = redis.RedisCluster if blocking else redis.asyncio.RedisCluster
        self.schedule.rests = True  # a blocking one connects at once, and looks for all nodes
        self._client = kind(
            host="127.0.0.1",
            port=self.proxy.port,
            address_remap=lambda address: ("127.0.0.1", self._proxies[address[1]].port),
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
        )
        self.schedule.rests = False
        return (chatmem.sync.connect if blocking else chatmem.connect)(client=self._client, ttl=600, **options)

    async def aclose(self) -> None:
        if isinstance(self._client, redis.RedisCluster):
            self._client.close()
        else:
            await self._client.aclose()


@contextmanager
def over_cluster(schedule: Schedule) -> Iterator[Site]:
    """Six nodes, each behind a proxy of its own."""
    with ExitStack() as stack:
        running = stack.enter_context(cluster())
        proxies = {
            node.port: stack.enter_context(failing(partial(_address, node.port), schedule, patience=PATIENCE))
            for node in running.nodes
        }
        yield ClusterSite(running, proxies, schedule)


def _address(port: int) -> tuple[str, int]:
    return "127.0.0.1", port


@dataclass(frozen=True)
class Row:
    name: str
    site: Callable[[Schedule], AbstractContextManager[Site]]
    weights: dict[str, Any]
    blocking: bool
    options: dict[str, Any] = field(default_factory=dict)
    """of `connect`"""


KEYS = chatmem.KeyRing({"old": b"o" * 32, "new": b"n" * 32})
"""What reads every row's records, and seals one row's."""
CAREFUL = {"wait_replicas": 1, "wait_timeout": PATIENCE / 2, "encryption": KEYS}

ROWS = [
    Row("async redis", over_redis, FAILING_OVER, blocking=False),
    Row("blocking redis", over_redis, FAILING_OVER, blocking=True),
    Row("async redis, sealed and confirmed", over_redis, FAILING_OVER, blocking=False, options=CAREFUL),
    pytest.param(Row("async cluster", over_cluster, WEIGHTS, blocking=False), marks=needs_newer_client),
    pytest.param(Row("blocking cluster", over_cluster, WEIGHTS, blocking=True), marks=needs_newer_client),
    Row("async Upstash", over_upstash, WEIGHTS, blocking=False),
    Row("blocking Upstash", over_upstash, WEIGHTS, blocking=True),
]


@dataclass
class Ledger:
    """What callers were told, and what became of it."""

    acknowledged: int = 0
    raised: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def compare(self, where: str, expected: Told, found: Told) -> None:
        """Note what of the expected messages is missing, there more than once, or elsewhere."""
        missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
        self.lost += [f"{where}: {one}" for one in missing]
        self.doubled += [f"{where}: {one}" for one in extra]
        if expected != found and not missing and not extra:
            self.wrong.append(f"{where}: {found} is not in the order of {expected}")


def told(messages: list[lc.BaseMessage]) -> Told:
    return [(message.id, str(message.content)) for message in messages]


class Writer:
    """Does every operation that writes, again and again, until the schedule is over."""

    def __init__(self, number: int, memory: chatmem.ChatMemory, site: Site, ledger: Ledger, *, sealed: bool) -> None:
        self._number = number
        self._sealed = sealed
        self._memory = memory
        self._site = site
        self._ledger = ledger
        self.shared: Told = []

    async def run(self) -> None:
        turn = 0
        while not self._site.schedule.is_over:
            await self._append_to_shared(turn)
            await self._edit_alone(turn)
            turn += 1

    async def _do(self, operation: Callable[[], Awaitable[Any]], *, late: bool = False) -> Any:
        """Do an operation until it is acknowledged.

        Args:
            operation: what is awaited.
            late: whether what raised may still be on its way when it is done again.
        """
        while True:
            try:
                done = await operation()
            except chatmem.UnavailableError:
                if self._site.given_up:
                    raise
                self._ledger.raised += 1
                if not late:
                    await asyncio.to_thread(self._site.settle)
            else:
                self._ledger.acknowledged += 1
                return done

    async def _append_to_shared(self, turn: int) -> None:
        """Append to the session of all writers, once by ids and once by a key."""
        name = f"{self._number}.{turn}"
        history = self._memory.history("shared")
        new = [lc.HumanMessage("q", id=name), lc.AIMessage("a", id=f"{name}a")]

        async def by_ids() -> None:
            try:
                await history.append(*new)
            except chatmem.UnavailableError:
                self._check_at_most_once(told([*new]))
                raise

        await self._do(by_ids, late=True)
        await self._do(lambda: history.append(f"keyed {name}", idempotency_key=name), late=True)
        self.shared += [*told([*new]), (None, f"keyed {name}")]

    def _check_at_most_once(self, new: Told) -> None:
        with chatmem.sync.connect(self._site.direct_url(), encryption=KEYS) as direct:
            there = Counter(told(direct.history("shared").messages()))
        if len({there[one] for one in new}) > 1 or max(there[one] for one in new) > 1:
            self._ledger.wrong.append(f"{new} raised and is there in part or twice")

    async def _edit_alone(self, turn: int) -> None:
        """Do all that edits, on a session of one's own; every other one is a user's."""
        name = f"alone {self._number}.{turn}"
        user = f"user {self._number}" if turn % 2 else None
        history = self._memory.history(name, user=user)
        await self._do(lambda: history.append(*(lc.HumanMessage(f"{n}", id=f"m{n}") for n in range(4))))
        await self._do(lambda: history.append("x", ("ai", "y"), idempotency_key="k"), late=True)
        for text in ("gr", "growing", "grown"):
            await self._do(lambda text=text: history.put(lc.AIMessage(text, id="p")))  # type: ignore[misc]
        for text in ("first", "second"):
            await self._do(lambda text=text: history.replace("m1", lc.HumanMessage(text, id="m1")))  # type: ignore[misc]
        await self._do(lambda: history.delete("m2"))
        await self._do(lambda: history.append(*(lc.HumanMessage(f"{n}", id=f"m{n}") for n in range(4, 7))))
        await self._do(lambda: history.truncate(after="m5"))
        await self._branch(history)
        await self._compact(history)
        for text in ("a title", "the title"):
            await self._do(lambda text=text: history.update(title=text, metadata={"is": text}))  # type: ignore[misc]
        await self._do(lambda: history.update(metadata={"more": turn}, merge=True, archived=True, tags=["t", "u"]))
        await self._do(lambda: history.update(archived=False, pinned=True, tags=["u"]))
        await self._do(history.touch)
        if self._sealed:
            await self._seal_anew(name, history)
        fork = await self._do(lambda: history.fork(f"fork {name}"))
        await self._do(lambda: fork.append(lc.HumanMessage("end", id="end")), late=True)
        cleared = turn % 3 == 0
        if cleared:
            await asyncio.to_thread(self._site.settle)
            await self._do(fork.clear)
        await asyncio.to_thread(self._site.settle)
        self._check_alone(name, user, cleared=cleared)
        if user is not None and turn % 4 == 1:
            await self._do(lambda: self._memory.forget(user))
            await asyncio.to_thread(self._site.settle)
            self._check_forgotten(user, name)

    async def _branch(self, history: chatmem.History) -> None:
        """Go on another way, and come back; keep a summary and a rating."""
        await self._do(lambda: history.branch(after="m3"))
        await self._do(lambda: history.append(lc.HumanMessage("another way", id="other")))
        await self._do(lambda: history.annotate("other", {"rating": 0}))
        for rating in (1, 2):
            await self._do(lambda rating=rating: history.annotate("m1", {"rating": rating}))  # type: ignore[misc]
        await self._do(lambda: history.switch(0))
        for text in ("a summary", "the summary"):
            await self._do(lambda text=text: history.summarize(up_to="m3", summary=[text]))  # type: ignore[misc]
        raised = self._ledger.raised
        try:
            await self._do(lambda: history.delete_branch(1))
        except chatmem.NotFoundError:  # a call that raised has done it
            if self._ledger.raised == raised:
                self._ledger.wrong.append("a branch is gone that no call has deleted")

    async def _compact(self, history: chatmem.History) -> None:
        """Replace the first message; a conflict says that it was done by a call that raised."""
        raised = self._ledger.raised
        try:
            await self._do(lambda: history.compact(up_to="m0", replacement=[lc.SystemMessage("0", id="s")]))
        except chatmem.ConflictError:
            if self._ledger.raised == raised:
                self._ledger.wrong.append("a compaction that did not raise is in conflict with itself")

    def _check_alone(self, name: str, user: str | None, *, cleared: bool) -> None:
        head: Told = [("s", "0"), ("m1", "second"), ("m3", "3"), (None, "x"), (None, "y"), ("p", "grown")]
        expected: Told = [*head, ("m4", "4"), ("m5", "5")]
        with chatmem.sync.connect(self._site.direct_url(), encryption=KEYS) as direct:
            history = direct.history(name)
            self._ledger.compare(name, expected, told(history.messages()))
            fork: Told = [] if cleared else [*expected, ("end", "end")]
            self._ledger.compare(f"fork {name}", fork, told(direct.history(f"fork {name}").messages()))
            summary, rated = history.summary(), history.get("m1")
            if summary is None or [one.text for one in summary.messages] != ["the summary"]:
                self._ledger.wrong.append(f"{name}: its summary is {summary}")
            if rated is None or rated.annotations != {"rating": 2} or len(history.branches()) != 1:
                self._ledger.wrong.append(f"{name}: {rated} and {history.branches()}")
            info = history.info()
            told_of = (info.title, info.metadata["is"], set(info.metadata), info.user, info.archived, info.tags)
            if told_of != ("the title", "the title", {"is", "more"}, user, False, ("u",)):
                self._ledger.wrong.append(f"{name}: {info}")
            if user is not None:
                pages = [direct.sessions(user, limit=1000, archived=True), direct.sessions(user, limit=1000, tag="t")]
                pages.append(direct.sessions(user, limit=1000, tag="u", pinned=True))
                if [any(one.session_id == name for one in page.sessions) for page in pages] != [False, False, True]:
                    self._ledger.wrong.append(f"{name}: the user's lists are {pages}")
                listed = {one.session_id for one in direct.sessions(user, limit=1000).sessions}
                if {name, f"fork {name}"} & listed != {name, *([] if cleared else [f"fork {name}"])}:
                    self._ledger.wrong.append(f"{name}: the user's sessions are {listed}")

    async def _seal_anew(self, name: str, history: chatmem.History) -> None:
        """Encrypt what another wrote in plain text."""
        with chatmem.sync.connect(self._site.direct_url()) as plain:
            plain.history(name).append(lc.HumanMessage("plain", id="plain"))
            await self._do(history.reencrypt)
            if sealed := plain.history(name).messages():
                self._ledger.wrong.append(f"{name}: {sealed} are not encrypted")
        await self._do(lambda: history.delete("plain"))

    def _check_forgotten(self, user: str, name: str) -> None:
        with chatmem.sync.connect(self._site.direct_url()) as direct:
            listed, count = direct.sessions(user).sessions, direct.history(name).count()
        if listed or count:
            self._ledger.wrong.append(f"{user} is forgotten, but has {listed}, and {count} messages in {name}")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines of figures, printed at the end."""
    lines: list[str] = []
    yield lines
    print("", *lines, sep="\n")


async def run_writers(row: Row, site: Site, ledger: Ledger) -> list[Writer]:
    opened = site.open(blocking=row.blocking, **row.options)
    memory = as_coroutines(opened) if row.blocking else opened
    writers = [Writer(number, memory, site, ledger, sealed="encryption" in row.options) for number in range(WRITERS)]
    try:
        if row.blocking:  # a thread each
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, writer.run()) for writer in writers))
        else:
            await asyncio.gather(*(writer.run() for writer in writers))
    finally:
        site.given_up = True
    await memory.aclose()
    await site.aclose()
    return writers


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_every_write_under_faults(row: Row, table: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is there once, in each writer's order; what raised at most once, and after a retry once."""
    monkeypatch.setitem(upstash.TIMEOUTS, "timeout", PATIENCE)
    monkeypatch.setitem(upstash._CLIENT, "rest_retry_interval", 0.01)
    schedule, ledger = Schedule(f"{SEED} {row.name}", FAULTS, weights=row.weights), Ledger()
    with row.site(schedule) as site:
        writers = await run_writers(row, site, ledger)
        await asyncio.to_thread(site.settle)  # connections close only while the loop runs
        with chatmem.sync.connect(site.direct_url(), encryption=KEYS) as direct:
            found = told(direct.history("shared").messages())
    for number, writer in enumerate(writers):
        own = [one for one in found if (one[0] or one[1].removeprefix("keyed ")).startswith(f"{number}.")]
        ledger.compare(f"writer {number}", writer.shared, own)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(schedule.drawn.items()))
    table.append(
        f"{row.name}: {schedule.drawn.total()} faults ({kinds}); {ledger.acknowledged} acknowledged, "
        f"{ledger.raised} raised, {len(ledger.lost)} lost, {len(ledger.doubled)} doubled"
    )
    assert (ledger.lost, ledger.doubled, ledger.wrong) == ([], [], [])
    assert schedule.drawn.total() >= FAULTS
    assert ledger.raised > 0 or row.site is over_cluster  # whose clients try again more often than others
    assert len(found) == sum(len(writer.shared) for writer in writers)


class FirstStalls(Schedule):
    """Stalls the first command, and nothing else."""

    def __init__(self) -> None:
        super().__init__(0, 1, share=1, weights={"stall": 1})


def test_an_update_that_arrives_late() -> None:
    """A title that was set is not undone by a resend of the update before it, which the network held back."""
    with over_redis(FirstStalls()) as site, chatmem.sync.connect(site.url, ttl=60) as memory:
        for title in ("first", "second"):
            memory.history("a").update(title=title)
        site.settle()
        with chatmem.sync.connect(site.direct_url()) as direct:
            assert direct.history("a").info().title == "second"


async def late(history: chatmem.History, edit: Callable[[], Awaitable[object]]) -> None:
    """Do an edit and fifty more writes; then the network delivers the edit once more."""
    transport, sent = history._session.transport, list[Any]()
    run = transport.run

    async def recorded(commands: Any) -> Any:
        sent.append(commands)
        return await run(commands)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "run", recorded)
        await edit()
    for number in range(50):
        await history.replace("m", lc.HumanMessage(f"later {number}", id="m"))
    for commands in sent:
        with suppress(chatmem.ChatMemError):
            await run(commands)


async def test_an_edit_that_arrives_very_late() -> None:
    """It changes nothing any more, with or without `expected_version`: its caller has gone on."""
    new = lc.HumanMessage("new", id="m")
    with redis_7() as url:
        async with chatmem.connect(url) as memory:
            history = memory.history("a")
            for bound in (True, False):
                await history.clear()
                done = await history.append(lc.HumanMessage("old", id="m"))
                version = done.version if bound else None
                await late(history, lambda version=version: history.replace("m", new, expected_version=version))  # type: ignore[misc]
                assert [message.content for message in await history.messages()] == ["later 49"]


def test_frames() -> None:
    """The proxy finds the ends of commands, of nested replies and of HTTP messages, however they arrive."""
    for end, message in (
        (resp_end, b"*2\r\n$4\r\nPI\r\n\r\n:5\r\n"),
        (resp_end, b"*3\r\n*1\r\n$-1\r\n*0\r\n-ERR no\r\n"),
        (resp_end, b"%1\r\n+a\r\n*2\r\n_\r\n=6\r\ntxt:hi\r\n"),
        (http_end, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"),
        (http_end, b"HTTP/1.1 204 None\r\nA: b\r\n\r\n"),
    ):
        assert [end(message[:size]) for size in range(len(message))] == [None] * len(message)
        assert end(message + message) == len(message)
