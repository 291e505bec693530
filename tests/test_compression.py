"""Compressed records: exact as the others, readable by whoever finds their dictionary on the server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.codec import compression, record, registry, shipped
from chatmem.codec.compression import Compression, Dictionary, compression_of
from chatmem.core import dictionaries
from tests import samples
from tests.conftest import Connect, client_of
from tests.samples import same

CONVERSATIONS = list(samples.conversations().values())
KNOWN = [message for conversation in CONVERSATIONS[:75] for message in conversation]
NEW = [message for conversation in CONVERSATIONS[75:] for message in conversation]
ALL = [*KNOWN, *NEW]
SHIPPED = compression_of("zstd")
GOLDEN: dict[str, str] = json.loads((Path(__file__).parent / "golden" / "zstd-1.json").read_text())
HOW = ["zstd", "dictionary"]


@pytest.fixture(scope="session")
def dictionary() -> Dictionary:
    return Dictionary.train(KNOWN)


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest, dictionary: Dictionary) -> Any:
    return dictionary if request.param == "dictionary" else "zstd"


@pytest.fixture
def unseen() -> Iterator[Callable[[], None]]:
    """Makes this process forget all dictionaries, as another process has not seen them."""

    def forget() -> None:
        compression._given.clear()
        compression._found.clear()

    yield forget
    forget()


@pytest.fixture
def raw(server_url: str, prefix: str) -> Iterator[Any]:
    with client_of(server_url) as client:
        yield client
        for key in list(client.scan_iter(f"{prefix}*", count=1000)):
            client.unlink(key)


async def test_on_every_server(
    connect: Connect, raw: Any, how: Any, unseen: Callable[[], None], server_url: str
) -> None:
    """Real conversations and all kinds come back equal, where the reader has not seen the dictionary before."""
    if "least" in server_url and how != "zstd":
        with pytest.raises(chatmem.UnavailableError, match="no permissions"):  # +set and +get are for dictionaries only
            await connect(compression=how).history("s").append("x")
        return
    chatmem.register(samples.Custom)
    try:
        messages = [*NEW[:300], *samples.kinds().values(), lc.HumanMessage("x" * 100_000, id="i\ud800")]
        memory = connect(compression=how)
        await memory.history("s").append(*messages)
        assert (await memory.history("other").append(*messages[:2])).version == 1  # which asks for the dictionary
        unseen()
        assert all(map(same, await connect().history("other").messages(strict=True), messages))
        read = await connect().history("s").messages(strict=True)
        assert all(map(same, read, messages))
        unseen()
        entries = [entry.message async for entry in connect().history("s").entries(strict=True)]
        assert all(map(same, entries, messages))
        assert (await connect(compression=how).history("s").append(messages[-1])).duplicates == 1
        assert await connect().history("s").count() == len(messages)
    finally:
        registry._classes.clear()


class TestOneServer:
    """What need not run on all of them."""

    @pytest.fixture
    def server_url(self, url: str) -> str:
        return url

    async def test_mixed(self, connect: Connect, raw: Any, dictionary: Dictionary, unseen: Callable[[], None]) -> None:
        """A session may hold records of every kind."""
        other = Dictionary.train(NEW, size=16 * 1024)
        for number, how in enumerate([None, "zstd", dictionary, other, None]):
            await connect(compression=how).history("s").append(*NEW[number * 10 : number * 10 + 10])
        unseen()
        assert await connect().history("s").messages() == NEW[:50]
        assert await connect().history("s").messages(last=15) == NEW[35:50]

    async def test_a_lost_dictionary(
        self, connect: Connect, raw: Any, prefix: str, dictionary: Dictionary, unseen: Callable[[], None]
    ) -> None:
        """Records that need it are unreadable, and say so; the others are read; when it is back, all are."""
        history = connect(compression=dictionary).history("s")
        await history.append("plain", NEW[0])
        key = f"{prefix}:dictionary:{dictionary.number}"
        for lost in (None, b"garbage", Dictionary.train(NEW, size=16 * 1024).data):
            if lost is None:
                raw.delete(key)
            else:
                raw.set(key, lost)
            unseen()
            assert len(await history.messages()) <= 1
            with pytest.raises(chatmem.CorruptRecordError, match=f"no dictionary {dictionary.number}"):
                await history.messages(strict=True)
            errors = [entry.error async for entry in history.entries()]
            assert errors[1] is not None
        raw.set(key, dictionary.data)
        assert await history.messages(strict=True) == [lc.HumanMessage("plain"), NEW[0]]

    async def test_round_trips(
        self, connect: Connect, raw: Any, dictionary: Dictionary, unseen: Callable[[], None], url: str, prefix: str
    ) -> None:
        """The dictionary costs one more, once a memory that writes and once a process that reads."""
        from tests.wire import watched

        with watched(url) as wire:
            async with chatmem.connect(wire.url, prefix=prefix, compression=dictionary) as memory:
                for _ in range(3):
                    await memory.history("s").append(*NEW[:3])
                assert wire.commands == ["SET", "EVAL", "EVALSHA", "EVALSHA"]
                unseen()
                wire.reset()
                for _ in range(3):
                    await memory.history("s").messages()
                assert wire.commands == ["LRANGE", "GET", "LRANGE", "LRANGE"]

    async def test_the_shipped_dictionary_costs_no_request(
        self, connect: Connect, raw: Any, unseen: Callable[[], None], url: str, prefix: str
    ) -> None:
        """It is in the package: no server holds it, writers ask for nothing, and a new process reads with it."""
        from tests.wire import watched

        with watched(url) as wire:
            async with chatmem.connect(wire.url, prefix=prefix, compression="zstd") as memory:
                for session in ("s", "s", "t"):
                    await memory.history(session).append(*NEW[:3])
                unseen()
                assert await memory.history("s").messages(strict=True) == NEW[:3] * 2
                assert wire.commands == ["EVAL", "EVALSHA", "EVALSHA", "LRANGE"]
        assert not list(raw.scan_iter(f"{prefix}:dictionary:*"))
        elements = raw.lrange(f"{prefix}:{{s}}:m", 0, -1)
        numbers = {int.from_bytes(one.partition(b":")[2][16:20], "little") for one in elements}
        assert numbers == {shipped.NUMBERS[-1]}

    async def test_what_it_saves_in_the_server(self, connect: Connect, raw: Any, prefix: str) -> None:
        """At most half of the server's memory, with all that the server needs beside the records."""
        used = {}
        for how in (None, "zstd"):
            total = 0
            for number, conversation in enumerate(CONVERSATIONS[:20]):
                history = connect(compression=how).history(f"{how}{number}")
                await history.append(*conversation)
                total += raw.memory_usage(f"{prefix}:{{{history.session_id}}}:m", samples=0)
            used[how] = total
        assert used["zstd"] <= used[None] / 2, used

    async def test_a_server_that_comes_back_empty(
        self, connect: Connect, raw: Any, prefix: str, dictionary: Dictionary, unseen: Callable[[], None]
    ) -> None:
        """The next append stores the dictionary again, be it to a session that was there or to another."""
        memory = connect(compression=dictionary)
        kept = memory.history("kept")
        for session in ("old", "kept"):
            await memory.history(session).append(*NEW[:3])
        await kept.append(NEW[3])
        for history in (memory.history("old"), kept, memory.history("new")):
            for key in list(raw.scan_iter(f"{prefix}*")):
                raw.delete(key)
            await history.append(*NEW[:3])
            unseen()
            assert await connect().history(history.session_id).messages(strict=True) == NEW[:3]

    @pytest.mark.parametrize("write", ["append", "put", "replace", "compact", "user", "wait"])
    async def test_a_dictionary_that_is_lost_alone(
        self,
        connect: Connect,
        raw: Any,
        prefix: str,
        dictionary: Dictionary,
        unseen: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
        write: str,
    ) -> None:
        """Nothing shows it, so the next write that comes a second after the last look stores it again."""
        options = {"wait_replicas": 1, "wait_timeout": 0.001} if write == "wait" else {}
        memory = connect(compression=dictionary)
        history = memory.history("s", user="bob" if write == "user" else None)
        await history.append(*NEW[:3], lc.HumanMessage("x", id="x"))
        raw.delete(f"{prefix}:dictionary:{dictionary.number}")
        await history.append(NEW[3])
        assert not raw.exists(f"{prefix}:dictionary:{dictionary.number}")
        monkeypatch.setattr(dictionaries, "CHECK_SECONDS", 0)
        if write == "wait":
            memory = connect(compression=dictionary, **options)
            history = memory.history("s")
            for _ in range(2):
                with pytest.raises(chatmem.UnavailableError, match="replicas"):
                    await history.append(NEW[4])
                raw.delete(f"{prefix}:dictionary:{dictionary.number}")
            with pytest.raises(chatmem.UnavailableError, match="replicas"):
                await history.append(NEW[4])
        elif write in ("append", "user"):
            await history.append(NEW[4])
        elif write == "put":
            await history.put(NEW[4].model_copy(update={"id": "x"}))
        elif write == "replace":
            await history.replace("x", NEW[4])
        else:
            await history.compact(up_to=1, replacement=[NEW[4]])
        assert raw.get(f"{prefix}:dictionary:{dictionary.number}") == dictionary.data
        unseen()
        assert NEW[4].content in [message.content for message in await connect().history("s").messages(strict=True)]

    async def test_a_fork_as_the_first_write(
        self, connect: Connect, raw: Any, prefix: str, dictionary: Dictionary, unseen: Callable[[], None]
    ) -> None:
        """Its records need the dictionary as those of an append do."""
        await connect().history("s").append(*NEW[:10])
        await connect(compression=dictionary).history("s").fork("copy")
        unseen()
        assert await connect().history("copy").messages(strict=True) == NEW[:10]

    async def test_a_server_that_does_not_take_it_again(
        self,
        raw: Any,
        url: str,
        prefix: str,
        dictionary: Dictionary,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The append is done, and the loss is logged; the next one begins with the dictionary."""
        monkeypatch.setattr(dictionaries, "CHECK_SECONDS", 0)
        key = f"{prefix}:dictionary:{dictionary.number}"
        raw.execute_command("ACL", "SETUSER", "keeper", "on", ">secret", "~*", "+@all")
        try:
            address = url.replace("redis://", "redis://keeper:secret@")
            async with chatmem.connect(address, prefix=prefix, compression=dictionary) as memory:
                history = memory.history("s")
                await history.append(NEW[0])
                raw.delete(key)
                raw.execute_command("ACL", "SETUSER", "keeper", "-set")
                assert (await history.append(NEW[1])).version == 2
                assert "lost the compression dictionary" in caplog.text
                with pytest.raises(chatmem.UnavailableError, match="no permissions"):
                    await history.append(NEW[2])
                raw.execute_command("ACL", "SETUSER", "keeper", "+set")
                await history.append(NEW[2])
                assert raw.get(key) == dictionary.data
                assert await history.messages(strict=True) == NEW[:3]
        finally:
            raw.execute_command("ACL", "DELUSER", "keeper")

    async def test_what_it_costs(self, dictionary: Dictionary, raw: Any, url: str, prefix: str) -> None:
        """One command more for each session that the memory has not met, in the append's own round trip."""
        from tests.wire import watched

        with watched(url) as wire:
            async with chatmem.connect(wire.url, prefix=prefix, compression=dictionary) as memory:
                await memory.history("s").append(*NEW[:3])
                wire.reset()
                for session in ("t", "t", "s", "t"):
                    await memory.history(session).append(*NEW[:3])
                assert wire.commands == ["EVALSHA", "EXISTS", "EVALSHA", "EVALSHA", "EVALSHA"]
                assert wire.round_trips == 4

    async def test_threads(self, connect: Connect, raw: Any, dictionary: Dictionary, url: str, prefix: str) -> None:
        """Compressors are no thread's but its own."""
        with chatmem.sync.connect(url, prefix=prefix, compression=dictionary) as memory:

            def work(number: int) -> None:
                for _ in range(20):
                    memory.history(f"t{number}").append(*NEW[number : number + 5])

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            for number in range(8):
                assert memory.history(f"t{number}").messages() == NEW[number : number + 5] * 20

    async def test_without_the_package(self, connect: Connect, raw: Any, url: str, prefix: str) -> None:
        """Asking for compression, and reading what is compressed, name what to install."""
        await connect(compression="zstd").history("s").append("x" * 1000)
        code = f"""
import sys
sys.modules["zstandard"] = None
import chatmem.sync
for call in (
    lambda: chatmem.sync.connect({url!r}, compression="zstd"),
    lambda: chatmem.sync.connect({url!r}, prefix={prefix!r}).history("s").messages(),
):
    try:
        call()
    except chatmem.UnsupportedError as error:
        print(error)
"""
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.count("pip install 'chatmem-redis[zstd]'") == 2, done.stderr


@given(samples.messages)
def test_any_message(message: lc.BaseMessage) -> None:
    """Compressed or not, it comes back equal."""
    for how in (compression_of("zstd"), Compression(TRAINED)):
        encoded = record.encode(message, 0, 0, how)
        plain = record.encode(message, 0, 0)
        assert encoded.id == plain.id
        assert len(encoded.record) <= len(plain.record)
        assert same(record.decode(b"0:" + encoded.record).message, record.decode(b"0:" + plain.record).message)


TRAINED = Dictionary.train(KNOWN, size=16 * 1024)


def test_it_pays() -> None:
    """On conversations that it has not seen, the dictionary leaves less than a third."""
    how = Compression(Dictionary.train(KNOWN))
    plain = sum(len(record.encode(message, 0, 0).record) for message in NEW)
    assert sum(len(record.encode(message, 0, 0, how).record) for message in NEW) < plain / 3


def test_the_shipped_dictionary_pays() -> None:
    """Of conversations about flights, of which it has seen none, less than half is left, even without their prompts."""
    for messages in (ALL, [message for message in ALL if message.type != "system"]):
        plain = sum(len(record.encode(message, 0, 0).record) for message in messages)
        assert sum(len(record.encode(message, 0, 0, SHIPPED).record) for message in messages) < plain * 0.45


@pytest.mark.parametrize("number", shipped.NUMBERS)
def test_a_shipped_dictionary_never_changes(number: int) -> None:
    """Records name it by number, so its number is a hash of its content, and its file stays."""
    data = shipped.path_of(number).read_bytes()
    assert Dictionary(data).number == Dictionary.numbered(data).number == number


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    """Every later version reads what the first one with this dictionary wrote, without a server, and without any."""
    element = bytes.fromhex(GOLDEN[name])
    assert element[3] & record.COMPRESSED
    assert same(record.decode(element).message, samples.kinds()[name.removesuffix(", no dictionary")])


def test_another_dictionary_of_a_shipped_number() -> None:
    """It is refused, whether or not the shipped one is in use already."""
    data = shipped.path_of(shipped.NUMBERS[-1]).read_bytes()
    with pytest.raises(ValueError, match=f"the number {shipped.NUMBERS[-1]}: train a new one"):
        chatmem.connect("redis://localhost", compression=Dictionary(data[:-1] + bytes([data[-1] ^ 1])))
    how = compression_of(Dictionary(data))
    assert how is not None
    assert how.stored is None


def test_damage() -> None:
    """A frame that is cut, flipped or claims gigabytes is an unreadable record, and takes no memory."""
    element = b"0:" + record.encode(NEW[0], 0, 0, Compression(TRAINED)).record
    assert element[3] & record.COMPRESSED
    for cut in range(17, len(element)):
        with pytest.raises(chatmem.CorruptRecordError):
            record.decode(element[:cut])
    bomb = element[:17] + b"\xe0" + (1 << 40).to_bytes(8, "little") + element[17:]
    with pytest.raises(chatmem.CorruptRecordError):
        record.decode(bomb)
    for place in range(17, len(element)):
        damaged = bytearray(element)
        damaged[place] ^= 0x55
        with suppress(chatmem.CorruptRecordError, compression.UnknownDictionaryError):
            record.decode(bytes(damaged))


def test_the_number_is_a_hash_of_the_content(unseen: Callable[[], None]) -> None:
    """So a damaged dictionary is none, wherever the damage is, and another one has another number."""
    data, text = TRAINED.data, b"x" * 100 + TRAINED.data[-500:]
    frame = Compression(TRAINED).compress(text)
    assert frame is not None
    for place in (5, 8, len(data) // 2, len(data) - 1):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        unseen()
        compression.learn_stored(TRAINED.number, damaged)
        with pytest.raises(ValueError, match="no dictionary"):
            compression.decompress(frame)
    unseen()
    compression.learn_stored(TRAINED.number, data)
    assert compression.decompress(frame) == text


def test_two_of_one_number(unseen: Callable[[], None]) -> None:
    """Which one a record means could not be told: the second is refused."""
    data = TRAINED.data
    one, other = (Dictionary(data[:4] + b"\5\0\0\x80" + data[8:-1] + end) for end in (b"a", b"b"))
    Compression(one)
    Compression(Dictionary(one.data))
    with pytest.raises(ValueError, match=f"the number {one.number}: train a new one"):
        chatmem.connect("redis://localhost", compression=other)


def test_arguments() -> None:
    """What is no option, no dictionary and too little to learn from is a ValueError that says so."""
    for wrong in ("gzip", b"x", True, 5):
        with pytest.raises(ValueError, match="compression must be"):
            chatmem.connect("redis://localhost", compression=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a trained dictionary"):
        Dictionary(b"garbage")
    for few in ([], [lc.HumanMessage("hi")], [lc.HumanMessage("x" * 10_000)]):
        with pytest.raises(ValueError, match="conversations"):
            Dictionary.train(few)
    again = Dictionary(TRAINED.data)
    assert (again.number, repr(again)) == (TRAINED.number, repr(TRAINED))


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000, 20_000_000])
def test_text_that_is_all_the_same(size: int) -> None:
    """It comes back, but a record never holds more than 64 times its bytes."""
    message = lc.HumanMessage("a" * size)
    element = b"0:" + record.encode(message, 0, 0, SHIPPED).record
    assert len(element) >= size / compression.MOST_TIMES
    assert record.decode(element).message == message


def test_a_record_that_claims_more() -> None:
    """A few hundred bytes of zstd that hold megabytes of empty maps are refused before any of them is made."""
    whole = record.encode(lc.ToolMessage("x", tool_call_id="1", artifact=[{}] * 10**6), 0, 0, SHIPPED).record
    packed = whole.rstrip(b"\0")
    assert len(packed) < 1000 < len(whole)
    assert record.decode(b"0:" + whole).message
    with pytest.raises(chatmem.CorruptRecordError, match="absurd size"):
        record.decode(b"0:" + packed)
