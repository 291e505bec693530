"""Checks that a folder belongs to the user, so that no other local user can read or replace the conversations in it.

This user must own the folder, and nobody else may write to it; root may use any user's folder. The files in it must
have the same owner and must not be symbolic links. Then nobody else can change anything after the check.
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
    """Open a folder that belongs to this user, and yield its descriptor, for `dir_fd`.

    Args:
        path: an existing folder.
        names: the files and folders in it to check, where they exist.

    Raises:
        PermissionError: the folder or a file in it is not safe; the message says what to do.
        OSError: the folder cannot be opened.
    """
    me = os.geteuid()
    link = path.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (me, 0):
        raise PermissionError(f"it is a symbolic link that user {link.st_uid} made: choose another folder")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.fstat(fd)
        if found.st_uid != me and me != 0:
            raise PermissionError(f"it belongs to user {found.st_uid}: choose a folder inside it, or another one")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError("other users may write to it: run chmod go-w on it, or choose a folder inside it")
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
        raise PermissionError(f"{name} in it is a symbolic link: remove the link")
    if found.st_uid not in owners:
        raise PermissionError(f"{name} in it belongs to user {found.st_uid}: remove it, or choose another folder")


def open_in(folder: int, name: str, flags: int) -> int:
    """Open a file in a folder, or create it, readable for its owner only. Symbolic links are not followed."""
    return os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)


def server_of(client: socket.socket) -> int | None:
    """Return the user id of the server at the other end of a unix socket, or None where the system cannot tell."""
    if sys.platform != "linux":
        return None
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
