"""Whether a folder, and what is in it, is one's own: a local user must not get at another one's conversations.

The folder has to belong to this user, and nobody else may write to it; root may use any user's. What lies in it must
belong to the same, and be no symbolic link. Nobody else can then change any of it after it was looked at.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_folder(path: Path, names: tuple[str, ...]) -> Iterator[int]:
    """Yield the descriptor of an open folder that is one's own, for `dir_fd`.

    Args:
        path: the folder, which exists.
        names: of what may be in it and is used.

    Raises:
        PermissionError: it, or one of these, is not; the text says what to do.
        OSError: it cannot be opened.
    """
    me = os.geteuid()
    link = path.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (me, 0):
        raise PermissionError(f"it is a symbolic link that user {link.st_uid} made: name another folder")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.fstat(fd)
        if found.st_uid != me and me != 0:
            raise PermissionError(f"it belongs to user {found.st_uid}: name a folder in it, or another one")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError("others may write to it: take that from them (chmod go-w), or name a folder in it")
        for name in names:
            _check(name, fd, {me, found.st_uid})
        yield fd
    finally:
        os.close(fd)


def _check(name: str, folder: int, owners: set[int]) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"{name} in it is a symbolic link: remove that")
    if found.st_uid not in owners:
        raise PermissionError(f"{name} in it belongs to user {found.st_uid}: remove it, or name another folder")


def open_in(folder: int, name: str, flags: int) -> int:
    """Open, or make, a file in a folder; never what a link leads to. Only its owner may read it."""
    return os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)


def server_of(client: socket.socket) -> int | None:
    """Return which user runs the server at the other end of a unix socket, or None where that cannot be asked."""
    if sys.platform != "linux":
        return None
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
