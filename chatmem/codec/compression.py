"""Compresses records with zstd and a dictionary: the one that ships with chatmem, or one that the user trained.

A single message is too short to compress well, but resembles others. A dictionary holds what they have in common.
Records without a dictionary, which earlier versions wrote, are read too.

A record names its dictionary by number, and the number is a hash of the dictionary's content. (Dictionaries trained by
earlier releases have a number from 2**31 on, a hash of what they were trained on.) The number detects damage, but not a
dictionary that was changed on purpose; encrypted records detect that, see encryption.py.
"""

from __future__ import annotations

import binascii
import hashlib
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.codec import messages, shipped
from chatmem.extras import needed

LEVEL = 3
LARGEST = 16 * 2**20
"""bytes; larger records are stored uncompressed, and a compressed record that claims to be larger is damaged"""
MOST_TIMES = 64
"""The highest ratio: a record that claims more counts as damaged, so that a small record cannot fill the memory."""
_LEAST_BYTES = 8 * 1024
_MAGIC = b"\x37\xa4\x30\xec"
_NUMBER = slice(4, 8)
"""where in a dictionary its number is"""
_FIRST, _END = 2**15, 2**31  # the range of numbers that zstd leaves to its users


class UnknownDictionaryError(Exception):
    """A record needs a dictionary that this process does not have yet."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Dictionary:
    """A zstd dictionary. Keep its `data` in a file for processes that write; those that read get it from the server.

    Attributes:
        data: the dictionary, as bytes.
        number: the number by which records name it.
    """

    def __init__(self, data: bytes) -> None:
        """Load a dictionary.

        Args:
            data: the `data` of a trained dictionary.

        Raises:
            ValueError: `data` is not a trained dictionary.
            UnsupportedError: the extra `zstd` is not installed.
        """
        zstd = _zstd()
        self.number = zstd.ZstdCompressionDict(data).dict_id()
        if not self.number:
            raise ValueError("data is not a trained dictionary: pass the data of one made by Dictionary.train")
        self.data = data
        self.fingerprint = hashlib.blake2b(data, digest_size=32).digest()
        """a hash of the data, to which encrypted records are bound"""

    @classmethod
    def train(cls, conversations: Iterable[BaseMessage], *, size: int = 64 * 1024) -> Dictionary:
        """Train a dictionary on messages.

        Args:
            conversations: some thousands of messages that resemble those to be stored.
            size: the most bytes that the dictionary may have. A hundredth of the messages' size is a good value.

        Returns:
            The dictionary, for `connect(compression=...)`.

        Raises:
            ValueError: there are too few messages to learn from.
            UnsupportedError: the extra `zstd` is not installed.
        """
        zstd = _zstd()
        samples = [messages.dump(message, with_id=False).data for message in conversations]
        if sum(map(len, samples)) < _LEAST_BYTES:
            raise ValueError(
                f"conversations are too few to train a dictionary: pass at least {_LEAST_BYTES:,} bytes of messages"
            )
        try:
            trained = zstd.train_dictionary(size, samples, dict_id=_FIRST).as_bytes()
        except zstd.ZstdError as error:
            raise ValueError(f"conversations cannot train a dictionary; pass more and longer ones: {error}") from None
        return cls.numbered(trained)

    @classmethod
    def numbered(cls, data: bytes) -> Dictionary:
        """Load a dictionary of zstd's, whatever its number, under the number that belongs to its content."""
        return cls(data[: _NUMBER.start] + _number_of(data).to_bytes(4, "little") + data[_NUMBER.stop :])

    def __repr__(self) -> str:
        return f"Dictionary({self.number}, {len(self.data):,} bytes)"


class Compression:
    """Compresses what a memory writes."""

    def __init__(self, dictionary: Dictionary) -> None:
        """Take a dictionary.

        Raises:
            ValueError: this process uses another dictionary with the same number.
        """
        self.dictionary = dictionary
        learn(dictionary)

    @property
    def stored(self) -> Dictionary | None:
        """The dictionary, if readers need it from the server; None if it ships with chatmem."""
        return None if self.dictionary.number in shipped.NUMBERS else self.dictionary

    def compress(self, data: bytes) -> bytes | None:
        """Return the data compressed, or None if that saves nothing."""
        if len(data) > LARGEST:
            return None
        packed = _tools.compressor(self.dictionary).compress(data)
        packed = packed.ljust(-(-len(data) // MOST_TIMES), b"\0")  # zstd ignores what follows its frame
        return packed if len(packed) < len(data) else None


def compression_of(option: str | Dictionary | None) -> Compression | None:
    """Return the compression that `connect(compression=...)` asks for.

    Raises:
        ValueError: the option is wrong.
        UnsupportedError: the extra `zstd` is not installed.
    """
    if option is None:
        return None
    if isinstance(option, Dictionary):
        return Compression(option)
    if option == "zstd":
        return Compression(_shipped(shipped.NUMBERS[-1]))
    raise ValueError(f'compression must be "zstd", a chatmem.Dictionary or None, not {option!r}')


_given: dict[int, Dictionary] = {}
"""The dictionaries that the application passed or that ship with chatmem and were needed, by number."""
_found: dict[int, Dictionary | None] = {}
"""The dictionaries from servers, by number; None for those that a server did not have."""


def learn(dictionary: Dictionary) -> None:
    """Make a dictionary of the application's known to this process.

    Raises:
        ValueError: the application passed another dictionary with the same number.
    """
    if dictionary.number in shipped.NUMBERS:
        known = _shipped(dictionary.number)
    else:
        known = _given.setdefault(dictionary.number, dictionary)
    if known.fingerprint != dictionary.fingerprint:
        raise ValueError(f"compression: another dictionary in use has the number {dictionary.number}: train a new one")


def _shipped(number: int) -> Dictionary:
    """Return a dictionary that ships with chatmem. It is loaded when it is first needed.

    Raises:
        UnsupportedError: the extra `zstd` is not installed.
    """
    known = _given.get(number)
    return known or _given.setdefault(number, Dictionary(shipped.path_of(number).read_bytes()))


def learn_stored(number: int, data: bytes | None) -> None:
    """Take what the server has under a dictionary's number; None if it has nothing.

    If the data do not match the number, or there are none, records that need the dictionary are unreadable until
    `look_again`.
    """
    found = None
    with suppress(ValueError):
        if data is not None:  # over REST, which carries only text, it was stored in base64
            found = Dictionary(data if data.startswith(_MAGIC) else binascii.a2b_base64(data, strict_mode=True))
    is_right = found is not None and found.number == number and (number >= _END or number == _number_of(found.data))
    _found[number] = found if is_right else None


def look_again() -> None:
    """Forget which dictionaries a server did not have, so that they are looked for again."""
    for number in [number for number, dictionary in _found.items() if dictionary is None]:
        del _found[number]


def _number_of(data: bytes) -> int:
    """Return the number of a dictionary with this content."""
    content = hashlib.blake2b(data[: _NUMBER.start] + data[_NUMBER.stop :], digest_size=8)
    return _FIRST + int.from_bytes(content.digest()) % (_END - _FIRST)


def frame_start(frame: bytes) -> bytes:
    """Return the beginning of a zstd frame, up to and including the number of its dictionary.

    Raises:
        ValueError: the frame is empty.
    """
    if not frame:
        raise ValueError("it is cut short")
    descriptor = frame[0]  # RFC 8878, 3.1.1.1.1: with bit 32 set, no window size follows it
    return frame[: (1 if descriptor & 32 else 2) + (0, 1, 2, 4)[descriptor & 3]]


def fingerprint_of(start: bytes) -> bytes:
    """Return the fingerprint of the dictionary that the beginning of a frame names; empty if it names none.

    Raises:
        UnknownDictionaryError: this process does not have the dictionary yet.
        ValueError: the server does not have the dictionary.
    """
    dictionary = _dictionary(int.from_bytes(start[1 if start[0] & 32 else 2 :], "little"))
    return dictionary.fingerprint if dictionary else b""


def decompress(data: bytes, *, only_given: bool = False) -> bytes:
    """Decompress a record's frame.

    Args:
        data: the frame.
        only_given: whether to refuse dictionaries from a server, and accept only those that the application passed or
            that ship with chatmem.

    Raises:
        UnknownDictionaryError: this process does not have the dictionary yet.
        ValueError: the frame is damaged, or the server does not have its dictionary.
        UnsupportedError: the extra `zstd` is not installed.
    """
    zstd = _zstd()
    try:
        frame = zstd.get_frame_parameters(data, format=zstd.FORMAT_ZSTD1_MAGICLESS)
        if not 0 < frame.content_size <= min(LARGEST, MOST_TIMES * len(data)):
            raise ValueError("it is compressed and claims an absurd size")
        if only_given and frame.dict_id not in (0, *_given, *shipped.NUMBERS):
            raise ValueError(
                f"it was encrypted by an earlier chatmem, which did not bind dictionary {frame.dict_id} to it: "
                "connect with compression=chatmem.Dictionary(...), then call reencrypt"
            )
        dictionary = _dictionary(frame.dict_id)
        decompressed: bytes = _tools.decompressor(dictionary).decompress(data)
        return decompressed
    except zstd.ZstdError as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error


def _dictionary(number: int) -> Dictionary | None:
    if not number:
        return None
    if number in _given:
        return _given[number]
    if number in shipped.NUMBERS:
        return _shipped(number)
    if number not in _found:
        raise UnknownDictionaryError(number)
    dictionary = _found[number]
    if dictionary is None:
        raise ValueError(
            f"the server has no dictionary {number}, with which it was compressed: connect with compression= and the "
            "Dictionary to restore it"
        )
    return dictionary


class _Tools(threading.local):
    """A thread's compressors and decompressors, which threads must not share."""

    def __init__(self) -> None:
        self._compressors: dict[bytes, Any] = {}
        self._decompressors: dict[bytes, Any] = {}

    def compressor(self, dictionary: Dictionary) -> Any:
        which = dictionary.fingerprint
        if which not in self._compressors:
            zstd = _zstd()
            parameters = zstd.ZstdCompressionParameters.from_level(
                LEVEL, format=zstd.FORMAT_ZSTD1_MAGICLESS, write_content_size=True, write_dict_id=True
            )
            data = zstd.ZstdCompressionDict(dictionary.data)
            self._compressors[which] = zstd.ZstdCompressor(compression_params=parameters, dict_data=data)
        return self._compressors[which]

    def decompressor(self, dictionary: Dictionary | None) -> Any:
        which = dictionary.fingerprint if dictionary else b""
        if which not in self._decompressors:
            zstd = _zstd()
            given = {"dict_data": zstd.ZstdCompressionDict(dictionary.data)} if dictionary else {}
            self._decompressors[which] = zstd.ZstdDecompressor(format=zstd.FORMAT_ZSTD1_MAGICLESS, **given)
        return self._decompressors[which]


_tools = _Tools()


@cache
def _zstd() -> Any:
    with needed("compressed records need", "zstd", "zstandard"):
        import zstandard  # noqa: PLC0415
    return zstandard
