"""The secret that signs the cookies."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress

from chatmem.embedded.server import default_folder


def secret() -> str:
    """Return CHATMEM_DEMO_SECRET, else one that is made once and kept beside the embedded server's data."""
    if given := os.environ.get("CHATMEM_DEMO_SECRET"):
        return given
    folder = default_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / "demo.secret"
    if not kept.exists():
        with tempfile.NamedTemporaryFile("w", dir=folder) as new, suppress(FileExistsError):
            new.write(secrets.token_hex(32))
            new.flush()
            os.link(new.name, kept)  # whole or not at all, and once, should several processes start together
    return kept.read_text()
