"""Records compressed with zstd, alone or with a dictionary trained on conversations like theirs.

Single messages are short, and most of what is in them was in others before: a dictionary makes of that what a long text
would by itself. A record names its dictionary by a number, which is the dictionary's own.
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
        content = hashlib.blake2b(b"%d" % size + b"".join(samples), digest_size=4)
        number = int.from_bytes(content.digest()) | 1 << 31
        try:
            trained = zstd.train_dictionary(size, samples, dict_id=number)
        except zstd.ZstdError as error:
            raise ValueError(f"conversations are nothing that a dictionary can learn from: {error}") from None
        return cls(trained.as_bytes())

    def __repr__(self) -> str:
        return f"Dictionary({self.number}, {len(self.data):,} bytes)"


class Compression:
    """How a memory compresses what it writes."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        """Take a dictionary, or none.

        Raises:
            UnsupportedError: the extra `zstd` is not installed.
        """
        _zstd()
        self.dictionary = dictionary
        self.is_stored = False
        """whether the server is known to have the dictionary"""
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


_dictionaries: dict[int, Dictionary | None] = {}


def learn(dictionary: Dictionary) -> None:
    """Make a dictionary known to this process."""
    _dictionaries[dictionary.number] = dictionary


def learn_stored(number: int, data: bytes | None) -> None:
    """Take what the server has under a dictionary's number.

    Where that is none, records that need it are unreadable until it is looked for again.
    """
    found = None
    with suppress(ValueError):
        if data is not None:  # REST carries only text
            found = Dictionary(data if data.startswith(_MAGIC) else binascii.a2b_base64(data, strict_mode=True))
    _dictionaries[number] = found if found is not None and found.number == number else None


def look_again() -> None:
    """Forget which dictionaries were not to be had."""
    for number in [number for number, dictionary in _dictionaries.items() if dictionary is None]:
        del _dictionaries[number]


def decompress(data: bytes) -> bytes:
    """Return what a record holds.

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
        dictionary = _dictionary(frame.dict_id)
        return _tools.decompressor(dictionary).decompress(data)  # type: ignore[no-any-return]
    except zstd.ZstdError as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error


def _dictionary(number: int) -> Dictionary | None:
    if not number:
        return None
    if number not in _dictionaries:
        raise UnknownDictionaryError(number)
    dictionary = _dictionaries[number]
    if dictionary is None:
        raise ValueError(f"the server has no dictionary {number}, with which it was compressed")
    return dictionary


class _Tools(threading.local):
    """zstd's compressors and decompressors, which threads must not share."""

    def __init__(self) -> None:
        self._compressors: dict[int, Any] = {}
        self._decompressors: dict[int, Any] = {}

    def compressor(self, dictionary: Dictionary | None) -> Any:
        number = dictionary.number if dictionary else 0
        if number not in self._compressors:
            zstd = _zstd()
            parameters = zstd.ZstdCompressionParameters.from_level(
                LEVEL, format=zstd.FORMAT_ZSTD1_MAGICLESS, write_content_size=True, write_dict_id=True
            )
            given = {"dict_data": zstd.ZstdCompressionDict(dictionary.data)} if dictionary else {}
            self._compressors[number] = zstd.ZstdCompressor(compression_params=parameters, **given)
        return self._compressors[number]

    def decompressor(self, dictionary: Dictionary | None) -> Any:
        number = dictionary.number if dictionary else 0
        if number not in self._decompressors:
            zstd = _zstd()
            given = {"dict_data": zstd.ZstdCompressionDict(dictionary.data)} if dictionary else {}
            self._decompressors[number] = zstd.ZstdDecompressor(format=zstd.FORMAT_ZSTD1_MAGICLESS, **given)
        return self._decompressors[number]


_tools = _Tools()


def _zstd() -> Any:
    with needed("compressed records need", "zstd", "zstandard"):
        import zstandard  # noqa: PLC0415
    return zstandard
