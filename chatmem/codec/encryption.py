"""Encrypts records and texts with AES-256-GCM, from the package `cryptography`, under a ring of named keys.

To seal means to encrypt and authenticate. A sealed record keeps its header in plain, with flag 16, because scripts read
it. The id and the body after it become

    offset  size  what
    15      1     length of the key's name, plus bit 128
    16      n     the key's name, ASCII
    16 + n  12    nonce, random
    28 + n  c     if compressed: the beginning of the zstd frame, which names the dictionary
    28 + n + c    ciphertext and tag

Each session has its own keys: BLAKE2b of prefix and session, keyed with a key of the ring. The key's name, the header,
the beginning of the frame, the fingerprint of its dictionary and the record's position are authenticated with the text.
So a record is refused if it was changed, if it was moved to another position, session or prefix, or if its dictionary
was changed.

Records without bit 128 have an earlier form. They use the ring's own keys and are bound to key name, position, header
and session, but neither to the prefix nor to a dictionary.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatmem.codec.compression import fingerprint_of, frame_start
from chatmem.extras import needed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER_SIZE, SEALED = 15, 16
_FLAGS, _COMPRESSED = 1, 8  # where in the header flags are, and one of them
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_BOUND, _LENGTH = 128, 127  # parts of the byte before a key's name: which form it is, and the name's length
_NAME = re.compile(r"[!-~]{1,100}")
_TEXT = b"~"  # the first byte of a sealed text, with which no JSON begins


class KeyRing:
    """A memory's encryption keys. The last one encrypts; all of them decrypt."""

    def __init__(self, keys: Mapping[str, bytes], *, read_plain: bool = True) -> None:
        """Take the keys.

        Args:
            keys: 32 random bytes under each name, such as `secrets.token_bytes(32)`. Never use a name for another key.
                To rotate, add a key at the end; remove the old one when nothing is encrypted with it any more.
            read_plain: whether to read messages, titles and metadata that are not encrypted. Pass False once all of
                them are (`chatmem reencrypt`); plain data that somebody puts there are then unreadable.

        Raises:
            UnsupportedError: the extra `crypto` is not installed.
            ValueError: there is no key, a key does not have 32 bytes, or a name is not 1 to 100 visible ASCII
                characters. The message shows neither, since a name may be a key in the wrong place.

        Example:
            >>> keys = chatmem.KeyRing({"2026": secrets.token_bytes(32)})
            >>> memory = chatmem.connect(encryption=keys)
        """
        self._make_cipher = _cipher()
        if not isinstance(keys, Mapping) or not keys:
            raise ValueError("encryption keys must be a mapping from names to 32 bytes each, with at least one key")
        for number, (name, key) in enumerate(keys.items(), 1):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(f"the name of encryption key {number} must be 1 to 100 visible ASCII characters")
            if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
                raise ValueError(f"encryption key {number} must be 32 bytes: secrets.token_bytes(32)")
        self._ciphers = {name.encode(): self._make_cipher(key) for name, key in keys.items()}
        self._makers = {
            name.encode(): hashlib.blake2b(key=key, digest_size=_KEY_BYTES, person=b"chatmem session")
            for name, key in keys.items()
        }
        self.newest = list(self._ciphers)[-1]
        """the name of the key that encrypts"""
        self.head = b"%c%b" % (len(self.newest) | _BOUND, self.newest)
        """the first bytes of everything that it seals"""
        self.read_plain = read_plain
        """whether to read data that are not encrypted"""
        newest = self.newest.decode()
        names = [newest, *(name for name in keys if name != newest)]
        self._digest_keys = [hashlib.sha256(b"chatmem digest" + keys[name]).digest() for name in names]

    def __repr__(self) -> str:
        return f"KeyRing({[name.decode() for name in self._ciphers]})"

    @classmethod
    def parse(cls, text: str, *, read_plain: bool = True) -> KeyRing:
        """Parse keys written as `name=base64`, separated by white space, as in an environment variable.

        Args:
            text: the names and keys.
            read_plain: as for `KeyRing`.

        Raises:
            UnsupportedError: the extra `crypto` is not installed.
            ValueError: the text is not written so. The message shows no part of it.
        """
        keys: dict[str, bytes] = {}
        for number, part in enumerate(text.split(), 1):
            name, _, data = part.partition("=")
            key = _from_base64(data)
            if not name or key is None:
                raise ValueError(f"encryption key {number} must be written name=base64, with a key of 32 bytes")
            if name in keys:
                raise ValueError(f"encryption key {number} has the name of an earlier key: give each key its own name")
            keys[name] = key
        return cls(keys, read_plain=read_plain)

    def digest(self, digest: bytes) -> bytes:
        """Return a keyed hash of a digest of content, to store outside of records.

        Without the key, nobody can guess contents and compare.
        """
        return _keyed(digest, self._digest_keys[0]) if digest else b""

    def old_digests(self, digest: bytes) -> list[bytes]:
        """Return what `digest` returned while an older key of the ring was the newest."""
        return [_keyed(digest, key) for key in self._digest_keys[1:]]

    def cipher(self, name: bytes, place: bytes | None) -> AESGCM:
        """Return the cipher of a session; without `place`, that of the ring's own key.

        Raises:
            ValueError: the ring has no key of that name.
        """
        if name not in self._ciphers:
            raise ValueError(
                f"it is encrypted with the key {name.decode('ascii', 'replace')!r}, which is not in the KeyRing: add it"
            )
        if place is None:
            return self._ciphers[name]
        maker = self._makers[name].copy()
        maker.update(place)
        return self._make_cipher(maker.digest())


class Sealer:
    """Encrypts and decrypts what belongs to one session."""

    def __init__(self, ring: KeyRing, prefix: str, session: bytes) -> None:
        self.ring = ring
        self._session = session
        self._place = b"%b:{%b}" % (prefix.encode(), session)
        self._ciphers: dict[bytes, AESGCM] = {}

    def _cipher(self, head: bytes) -> AESGCM:
        cipher = self._ciphers.get(head)
        if cipher is None:
            place = self._place if head[0] & _BOUND else None
            cipher = self._ciphers[head] = self.ring.cipher(head[1:], place)
        return cipher

    def seal(self, record: bytes, position: int) -> bytes:
        """Return a record, sealed and bound to its position."""
        flags = record[_FLAGS]
        header = b"%b%c%b" % (record[:_FLAGS], flags | SEALED, record[_FLAGS + 1 : HEADER_SIZE])
        start = frame_start(record[HEADER_SIZE:]) if flags & _COMPRESSED else b""
        return header + self._seal(record[HEADER_SIZE + len(start) :], start, _context(header, start, position))

    def _seal(self, data: bytes, start: bytes, context: bytes) -> bytes:
        head, nonce = self.ring.head, secrets.token_bytes(_NONCE_BYTES)
        return head + nonce + start + self._cipher(head).encrypt(nonce, data, head + context)

    def open(self, record: bytes, position: int) -> bytes:
        """Return the decrypted part of a sealed record: everything after the header.

        Raises:
            UnknownDictionaryError: it is compressed, and this process does not have the dictionary yet.
            ValueError: its key is not in the ring, or it is not what was sealed at that position.
        """
        header = record[:HEADER_SIZE]
        head, nonce, sealed = _parts(record, HEADER_SIZE)
        cipher, start = self._cipher(head), b""
        if not head[0] & _BOUND:
            context = b"%d:%b%b" % (position, header, self._session)
        else:
            start = frame_start(sealed) if header[_FLAGS] & _COMPRESSED else b""
            context = _context(header, start, position)
        return start + _opened(cipher, nonce, sealed[len(start) :], head + context)

    def seal_text(self, name: str, text: bytes) -> bytes:
        """Return the text of a field of the session's state, sealed, as ASCII. An empty text stays empty."""
        return _TEXT + binascii.b2a_base64(self._seal(text, b"", name.encode()), newline=False) if text else b""

    def open_text(self, name: str, text: bytes) -> bytes:
        """Return the decrypted text of a field of the session's state.

        Raises:
            ValueError: it cannot be decrypted.
        """
        head, nonce, sealed = _parts(binascii.a2b_base64(text[1:], strict_mode=True), 0)
        context = name.encode() if head[0] & _BOUND else b"%b:%b" % (name.encode(), self._session)
        return _opened(self._cipher(head), nonce, sealed, head + context)


def _keyed(digest: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(digest, digest_size=6, key=key).hexdigest().encode()


def _parts(data: bytes, at: int) -> tuple[bytes, bytes, bytes]:
    """Split sealed data into the key's name with the byte before it, the nonce, and the rest."""
    end = at + 1 + (data[at] & _LENGTH) if len(data) > at else at
    if len(data) < end + _NONCE_BYTES + _TAG_BYTES:
        raise ValueError("it is cut short")
    return data[at:end], data[end : end + _NONCE_BYTES], data[end + _NONCE_BYTES :]


def _context(header: bytes, start: bytes, position: int) -> bytes:
    """Return what is authenticated with a record. Header and frame give the lengths of their parts."""
    return b"%b%b%b%d" % (header, start, fingerprint_of(start) if start else b"", position)


def _opened(cipher: AESGCM, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, context)
    except _invalid_tag():  # evaluated only if decrypt raises
        what = "it cannot be decrypted: its key's name is used for another key, it or its dictionary was changed,"
        raise ValueError(f"{what} or it was moved") from None


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    return InvalidTag


def is_sealed_text(text: bytes) -> bool:
    """Return whether a field of a session's state is sealed."""
    return text[:1] == _TEXT


def is_bound(record: bytes) -> bool:
    """Return whether a sealed record is bound to its prefix and dictionary. Those of earlier releases are not."""
    return len(record) > HEADER_SIZE and bool(record[HEADER_SIZE] & _BOUND)


def key_of(record: bytes) -> bytes | None:
    """Return the name of the key with which a record is sealed; None if it is not sealed."""
    if len(record) <= HEADER_SIZE or record[0] != 1 or not record[_FLAGS] & SEALED:
        return None
    return record[HEADER_SIZE + 1 : HEADER_SIZE + 1 + (record[HEADER_SIZE] & _LENGTH)]


def no_key(record: bytes) -> ValueError:
    """Return the error for a sealed record where there are no keys."""
    name = (key_of(record) or b"").decode("ascii", "replace")
    return ValueError(f"it is encrypted with the key {name!r}: connect with encryption=chatmem.KeyRing(...)")


def not_sealed() -> ValueError:
    """Return the error for plain data where they are not read."""
    return ValueError(
        "it is not encrypted, and this memory reads only what is: set read_plain=True in its KeyRing to read it"
    )


def _from_base64(data: str) -> bytes | None:
    """Return the key in a text, or None. An error here would show a part of the key, or refer to it."""
    try:
        key = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _cipher() -> type[AESGCM]:
    with needed("encryption needs", "crypto", "cryptography"):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    return AESGCM
