"""`chatmem reencrypt`."""

from __future__ import annotations

import base64
import json
import secrets

import chatmem.sync
from tests.cli.program import Run, program


class TestReencrypt:
    def test_keys_are_rotated(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """All sessions come under the newest key; without it they can be read no more; once more does nothing."""
        keys = {name: secrets.token_bytes(32) for name in ("old", "new")}
        texts = {name: f"{name}={base64.b64encode(key).decode()}" for name, key in keys.items()}
        memory.history("plain").append("a", "b")
        with chatmem.sync.connect(server, encryption=chatmem.KeyRing({"old": keys["old"]})) as old:
            old.history("sea}led").append("c")
        environment = {"CHATMEM_URL": server, "CHATMEM_KEYS": f"{texts['old']} {texts['new']}"}
        done = program("reencrypt", **environment)
        assert (done.stdout, done.returncode) == ("3 messages re-encrypted in 2 sessions, 0 unreadable\n", 0)
        assert program("reencrypt", **environment).stdout.startswith("0 messages")
        shown = program("show", "sea}led", "--json", CHATMEM_URL=server, CHATMEM_KEYS=texts["new"])
        assert json.loads(shown.stdout)["message"]["data"]["content"] == "c"
        blind = program("reencrypt", CHATMEM_URL=server, CHATMEM_KEYS=texts["old"])
        assert (blind.returncode, blind.stdout) == (1, "0 messages re-encrypted in 2 sessions, 3 unreadable\n")
        assert "encrypted with the key 'new', which is not in the KeyRing" in blind.stderr
        assert not any(text.partition("=")[2] in blind.stderr + blind.stdout for text in texts.values())

    def test_without_keys(self, run: Run) -> None:
        """It says how they are given."""
        done = run("reencrypt")
        assert (done.exit_code, "set CHATMEM_KEYS" in done.output) == (1, True)
