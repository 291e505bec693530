"""The benchmarks run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import AbsentError, debian_binary, redis_7

ROOT = Path(__file__).parent.parent


def test_a_smoke_run_writes_figures_of_every_scenario(tmp_path: Path) -> None:
    """The harness, not the speed: every question has an answer from both systems."""
    try:
        debian_binary()
    except AbsentError as error:
        pytest.skip(str(error))
    arguments = ["--smoke", "--systems", "chatmem,redis-py", "--output", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "benchmarks.run", *arguments], cwd=ROOT, check=True)
    result = json.loads((tmp_path / "smoke.json").read_text())
    assert result["absent"] == {}
    for scenario in result["scenarios"].values():
        assert set(scenario["systems"]) == {"chatmem", "redis-py"}
        assert scenario["absent"] == {}


def test_the_targets_stand_beside_what_was_measured(tmp_path: Path) -> None:
    """Each row has a figure, but for those of a peer that is not asked, and of a length that a small run leaves out."""
    try:
        debian_binary()
    except AbsentError as error:
        pytest.skip(str(error))
    arguments = ["--smoke", "--systems", "chatmem,redis-py,chatmem sync", "--output", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "benchmarks.targets", *arguments], cwd=ROOT, check=True)
    rows = json.loads((tmp_path / "targets.json").read_text())["targets"]
    assert len(rows) == 11
    unknown = {row["what"] for row in rows if not row["found"] > 0}
    assert unknown == {row["what"] for row in rows if "OpenAI" in row["what"] or "community" in row["what"]}


def test_turns_on_a_cluster(tmp_path: Path) -> None:
    """Three masters without replicas serve chatmem and redis-py's cluster client."""
    arguments = ["--smoke", "--cluster", "--systems", "chatmem,redis-py", "--output", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "benchmarks.run", *arguments], cwd=ROOT, check=True)
    result = json.loads((tmp_path / "cluster.json").read_text())
    assert set(result["scenarios"]) == {"turn/50", "at_once/10", "at_once/50"}
    for scenario in result["scenarios"].values():
        assert set(scenario["systems"]) == {"chatmem", "redis-py"}
        assert scenario["absent"] == {}


def test_a_round_of_the_comparison_with_savers(tmp_path: Path) -> None:
    """The harness, with chatmem's ways alone: they need no module in the server."""
    pytest.importorskip("langgraph")
    ways = "chatmem, each step;chatmem, each turn"
    try:
        with redis_7() as url:
            arguments = ["--rounds", "1", "--url", url, "--ways", ways, "--output", str(tmp_path)]
            subprocess.run([sys.executable, "-m", "benchmarks.checkpoints", *arguments], cwd=ROOT, check=True)
    except AbsentError as error:
        pytest.skip(str(error))
    result = json.loads((tmp_path / "checkpoints.json").read_text())
    assert result["absent"] == {}
    steps, turns = (result["ways"][way] for way in ways.split(";"))
    assert steps["keys"] == turns["keys"] == 3
    assert turns["round_trips"] == 2
    assert 2 < steps["round_trips"] < 4
