"""Records compressed with zstd, alone or with a dictionary trained on conversations like theirs.

Single messages are short, and most of what is in them was in others before: a dictionary makes of that what a long text
would by itself. A record names its dictionary by a number, which is the dictionary's own: a hash of its content. (What
was trained by earlier releases has a number from 2**31 on, a hash of what it was trained on.) That finds what was
damaged; that nobody changed a dictionary on purpose is said by records that are sealed, see encryption.py.
"""

from __future__ import annotations

import binascii
import hashlib
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.codec import messages
from chatmem.extras import needed

LEVEL = 3
LARGEST = 16 * 2**20
"""bytes; what is larger is stored as it is, and a record that claims to be is damaged"""
MOST_TIMES = 64
"""A record that claims to hold more than this many times its own bytes is damaged: a small one must not fill memory."""
_LEAST = 8 * 1024
_MAGIC = b"\x37\xa4\x30\xec"
_NUMBER = slice(4, 8)
"""where in a dictionary its number is"""
_FIRST, _END = 2**15, 2**31  # of the numbers that zstd leaves to its users


class UnknownDictionaryError(Exception):
    """A record needs a dictionary that this process has not seen yet."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Dictionary:
    """What compression knows before it begins. Keep `data` in a file; whoever reads finds it on the server."""

    def __init__(self, data: bytes) -> None:
        """Take a dictionary that was trained before.

        Args:
            data: the dictionary, as `data` gave it.

        Raises:
            ValueError: it is none.
            UnsupportedError: the extra `zstd` is not installed.
        """
        zstd = _zstd()
        self.number = zstd.ZstdCompressionDict(data).dict_id()
        if not self.number:
            raise ValueError("data is no dictionary that was trained")
        self.data = data
        self.fingerprint = hashlib.blake2b(data, digest_size=32).digest()
        """what sealed records are bound to"""

    @classmethod
    def train(cls, conversations: Iterable[BaseMessage], *, size: int = 64 * 1024) -> Dictionary:
        """Return a dictionary trained on messages: some thousands, of the kind that is to come.

        Args:
            conversations: the messages.
            size: how many bytes it may have. About a hundredth of what it is trained on is a good measure.

        Raises:
            ValueError: there are too few messages to learn from.
            UnsupportedError: the extra `zstd` is not installed.
        """
        zstd = _zstd()
        samples = [messages.dump(message, with_id=False).data for message in conversations]
        if sum(map(len, samples)) < _LEAST:
            raise ValueError("conversations must hold more: a dictionary cannot learn from so few messages")
        try:
            trained = zstd.train_dictionary(size, samples, dict_id=_FIRST).as_bytes()
        except zstd.ZstdError as error:
            raise ValueError(f"conversations are nothing that a dictionary can learn from: {error}") from None
        return cls(trained[: _NUMBER.start] + _number_of(trained).to_bytes(4, "little") + trained[_NUMBER.stop :])

    def __repr__(self) -> str:
        return f"Dictionary({self.number}, {len(self.data):,} bytes)"


class Compression:
    """How a memory compresses what it writes."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        """Take a dictionary, or none.

        Raises:
            UnsupportedError: the extra `zstd` is not installed.
            ValueError: another dictionary of the same number is in use here.
        """
        _zstd()
        self.dictionary = dictionary
        if dictionary is not None:
            learn(dictionary)

    def compress(self, data: bytes) -> bytes | None:
        """Return the data compressed; None where that saves nothing."""
        if len(data) > LARGEST:
            return None
        packed = _tools.compressor(self.dictionary).compress(data)
        packed = packed.ljust(-(-len(data) // MOST_TIMES), b"\0")  # zstd does not look behind its frame
        return packed if len(packed) < len(data) else None


def compression_of(option: str | Dictionary | None) -> Compression | None:
    """Return what `connect`'s option asks for.

    Raises:
        ValueError: it is no such option.
        UnsupportedError: the extra `zstd` is not installed.
    """
    if option is None:
        return None
    if isinstance(option, Dictionary):
        return Compression(option)
    if option == "zstd":
        return Compression(None)
    raise ValueError(f'compression must be "zstd", a chatmem.Dictionary or None, not {option!r}')


_given: dict[int, Dictionary] = {}
"""Dictionaries that this process was given."""
_found: dict[int, Dictionary | None] = {}
"""Dictionaries that a server had, and None for those that it had not."""


def learn(dictionary: Dictionary) -> None:
    """Make a dictionary known to this process.

    Raises:
        ValueError: it was given another one of the same number.
    """
    known = _given.setdefault(dictionary.number, dictionary)
    if known.fingerprint != dictionary.fingerprint:
        raise ValueError(f"compression: another dictionary has the number {dictionary.number}: train a new one")


def learn_stored(number: int, data: bytes | None) -> None:
    """Take what the server has under a dictionary's number.

    Where that is none, or not what its number says, records that need it are unreadable until it is looked for again.
    """
    found = None
    with suppress(ValueError):
        if data is not None:  # REST carries only text
            found = Dictionary(data if data.startswith(_MAGIC) else binascii.a2b_base64(data, strict_mode=True))
    is_right = found is not None and found.number == number and (number >= _END or number == _number_of(found.data))
    _found[number] = found if is_right else None


def look_again() -> None:
    """Forget which dictionaries were not to be had."""
    for number in [number for number, dictionary in _found.items() if dictionary is None]:
        del _found[number]


def _number_of(data: bytes) -> int:
    """Return the number that belongs to a dictionary's content."""
    content = hashlib.blake2b(data[: _NUMBER.start] + data[_NUMBER.stop :], digest_size=8)
    return _FIRST + int.from_bytes(content.digest()) % (_END - _FIRST)


def frame_start(frame: bytes) -> bytes:
    """Return the beginning of a frame of zstd's, up to and with the number of its dictionary.

    Raises:
        ValueError: it is no frame.
    """
    if not frame:
        raise ValueError("it is cut short")
    descriptor = frame[0]  # RFC 8878, 3.1.1.1.1: bit 32 says that no size of a window follows it
    return frame[: (1 if descriptor & 32 else 2) + (0, 1, 2, 4)[descriptor & 3]]


def fingerprint_of(start: bytes) -> bytes:
    """Return the hash of the dictionary that the beginning of a frame names; nothing where it needs none.

    Raises:
        UnknownDictionaryError: its dictionary has not been looked for yet.
        ValueError: its dictionary is lost.
    """
    dictionary = _dictionary(int.from_bytes(start[1 if start[0] & 32 else 2 :], "little"))
    return dictionary.fingerprint if dictionary else b""


def decompress(data: bytes, *, only_given: bool = False) -> bytes:
    """Return what a record holds.

    Args:
        data: the frame.
        only_given: whether a dictionary that a server had is not good enough.

    Raises:
        UnknownDictionaryError: its dictionary has not been looked for yet.
        ValueError: it is damaged, or its dictionary is lost.
        UnsupportedError: the extra `zstd` is not installed.
    """
    zstd = _zstd()
    try:
        frame = zstd.get_frame_parameters(data, format=zstd.FORMAT_ZSTD1_MAGICLESS)
        if not 0 < frame.content_size <= min(LARGEST, MOST_TIMES * len(data)):
            raise ValueError("it claims to be of an absurd size")
        if only_given and frame.dict_id and frame.dict_id not in _given:
            raise ValueError(
                f"it is encrypted by an earlier chatmem, which did not bind dictionary {frame.dict_id} to it: "
                "connect with compression=chatmem.Dictionary(...), then call reencrypt"
            )
        dictionary = _dictionary(frame.dict_id)
        return _tools.decompressor(dictionary).decompress(data)  # type: ignore[no-any-return]
    except zstd.ZstdError as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error


def _dictionary(number: int) -> Dictionary | None:
    if not number:
        return None
    if number in _given:
        return _given[number]
    if number not in _found:
        raise UnknownDictionaryError(number)
    dictionary = _found[number]
    if dictionary is None:
        raise ValueError(f"the server has no dictionary {number}, with which it was compressed")
    return dictionary


class _Tools(threading.local):
    """zstd's compressors and decompressors, which threads must not share."""

    def __init__(self) -> None:
        self._compressors: dict[bytes, Any] = {}
        self._decompressors: dict[bytes, Any] = {}

    def compressor(self, dictionary: Dictionary | None) -> Any:
        which = dictionary.fingerprint if dictionary else b""
        if which not in self._compressors:
            zstd = _zstd()
            parameters = zstd.ZstdCompressionParameters.from_level(
                LEVEL, format=zstd.FORMAT_ZSTD1_MAGICLESS, write_content_size=True, write_dict_id=True
            )
            given = {"dict_data": zstd.ZstdCompressionDict(dictionary.data)} if dictionary else {}
            self._compressors[which] = zstd.ZstdCompressor(compression_params=parameters, **given)
        return self._compressors[which]

    def decompressor(self, dictionary: Dictionary | None) -> Any:
        which = dictionary.fingerprint if dictionary else b""
        if which not in self._decompressors:
            zstd = _zstd()
            given = {"dict_data": zstd.ZstdCompressionDict(dictionary.data)} if dictionary else {}
            self._decompressors[which] = zstd.ZstdDecompressor(format=zstd.FORMAT_ZSTD1_MAGICLESS, **given)
        return self._decompressors[which]


_tools = _Tools()


def _zstd() -> Any:
    with needed("compressed records need", "zstd", "zstandard"):
        import zstandard  # noqa: PLC0415
    return zstandard
