"""Records and texts encrypted with AES-256-GCM, by the package `cryptography`, under a ring of named keys.

A sealed record keeps its header, with flag 16, since scripts read it there; what follows, the id and the body, becomes

    offset  size  what
    15      1     length of the key's name
    16      n     the key's name, ASCII
    16 + n  12    nonce, random
    28 + n        ciphertext and tag

Authenticated beside it are the key's name, the session, the record's position and its header, so that a record that was
changed, or moved to another place or session, cannot be opened.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatmem.extras import needed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER_SIZE, SEALED = 15, 16
_FLAGS = 1  # where in the header they are
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_NAME = re.compile(r"[!-~]{1,100}")
_TEXT = b"~"  # begins a sealed text; JSON does not


class KeyRing:
    """The keys of a memory: the last one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take the keys.

        Args:
            keys: name -> 32 random bytes, such as `secrets.token_bytes(32)`. A key stands under one name for ever;
                to rotate, add another at the end, and drop the old one when nothing is sealed with it any more.

        Raises:
            UnsupportedError: the extra `crypto` is not installed.
            ValueError: there is no key, one is not of 32 bytes, or a name is not of 1 to 100 visible ASCII characters.
        """
        cipher = _cipher()
        if not isinstance(keys, Mapping) or not keys:
            raise ValueError("encryption keys must be a mapping of at least one name to 32 bytes")
        for name, key in keys.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError("the name of an encryption key must be 1 to 100 visible ASCII characters")
            if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
                raise ValueError(f"the encryption key {name!r} must be 32 bytes: secrets.token_bytes(32)")
        self._ciphers = {name.encode(): cipher(key) for name, key in keys.items()}
        self.newest = list(self._ciphers)[-1]
        """the name of the key that seals"""
        self._digest_key = hashlib.sha256(b"chatmem digest" + keys[self.newest.decode()]).digest()

    def __repr__(self) -> str:
        return f"KeyRing({[name.decode() for name in self._ciphers]})"

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Return the keys that a text lists: `name=base64`, with white space between them.

        Raises:
            UnsupportedError: the extra `crypto` is not installed.
            ValueError: it does not.
        """
        keys = {}
        for part in text.split():
            name, _, data = part.partition("=")
            try:
                keys[name] = binascii.a2b_base64(data, strict_mode=True)
            except binascii.Error:
                raise ValueError(f"the encryption key {name!r} must be written name=base64") from None
        return cls(keys)

    def digest(self, digest: bytes) -> bytes:
        """Return what stands for a digest of content outside of records: nobody can try contents without the key."""
        return hashlib.blake2b(digest, digest_size=6, key=self._digest_key).hexdigest().encode() if digest else b""

    def _seal(self, data: bytes, context: bytes) -> bytes:
        name, nonce = self.newest, secrets.token_bytes(_NONCE_BYTES)
        head = b"%c%b" % (len(name), name)
        return head + nonce + self._ciphers[name].encrypt(nonce, data, head + context)

    def _open(self, data: bytes, context: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        start = 1 + data[0] if data else 1
        head, nonce, sealed = data[:start], data[start : start + _NONCE_BYTES], data[start + _NONCE_BYTES :]
        if len(sealed) < _TAG_BYTES:
            raise ValueError("it is cut short")
        cipher = self._ciphers.get(head[1:])
        if cipher is None:
            raise ValueError(
                f"it is encrypted with the key {head[1:].decode('ascii', 'replace')!r}, which is not given"
            )
        try:
            return cipher.decrypt(nonce, sealed, head + context)
        except InvalidTag:
            what = "it cannot be decrypted: another key has this name, or it was changed or moved"
            raise ValueError(what) from None


class Sealer:
    """Seals and opens what belongs to one session."""

    def __init__(self, ring: KeyRing, session: bytes) -> None:
        self.ring = ring
        self._session = session

    def seal(self, record: bytes, position: int) -> bytes:
        """Return a record, sealed for its position."""
        flags = bytes([record[_FLAGS] | SEALED])
        header = record[:_FLAGS] + flags + record[_FLAGS + 1 : HEADER_SIZE]
        return header + self.ring._seal(record[HEADER_SIZE:], self._place(position, header))

    def open(self, record: bytes, position: int) -> bytes:
        """Return what follows the header of a record that is sealed.

        Raises:
            ValueError: its key is not in the ring, or it is not what was sealed there.
        """
        return self.ring._open(record[HEADER_SIZE:], self._place(position, record[:HEADER_SIZE]))

    def _place(self, position: int, header: bytes) -> bytes:
        return b"%d:%b%b" % (position, header, self._session)

    def seal_text(self, name: str, text: bytes) -> bytes:
        """Return a field of the session's state, sealed, as ASCII; nothing stays nothing."""
        return _TEXT + binascii.b2a_base64(self.ring._seal(text, self._field(name)), newline=False) if text else b""

    def open_text(self, name: str, text: bytes) -> bytes:
        """Return a field of the session's state.

        Raises:
            ValueError: it cannot be opened.
        """
        return self.ring._open(binascii.a2b_base64(text[1:], strict_mode=True), self._field(name))

    def _field(self, name: str) -> bytes:
        return b"%b:%b" % (name.encode(), self._session)


def is_sealed_text(text: bytes) -> bool:
    """Return whether a field of a session's state is sealed."""
    return text[:1] == _TEXT


def key_of(record: bytes) -> bytes | None:
    """Return the name of the key that a record is sealed with, or None."""
    if len(record) <= HEADER_SIZE or record[0] != 1 or not record[_FLAGS] & SEALED:
        return None
    return record[HEADER_SIZE + 1 : HEADER_SIZE + 1 + record[HEADER_SIZE]]


def no_key(record: bytes) -> ValueError:
    """Return the error of a record that is sealed where no keys are given."""
    name = (key_of(record) or b"").decode("ascii", "replace")
    return ValueError(f"it is encrypted with the key {name!r}: connect with encryption=chatmem.KeyRing(...)")


def _cipher() -> type[AESGCM]:
    with needed("encryption needs", "crypto", "cryptography"):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    return AESGCM
