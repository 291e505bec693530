"""Puts files into the site that live outside of `docs/`: the charts of the benchmarks and the changelog."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
CHARTS = ("full-at-once.png", "full-turn.png", "full-operations.png", "full-parts.png", "scaling.png", "stalls.png")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them; MkDocs calls this once for each build."""
    for name in CHARTS:
        chart = str(ROOT / "benchmarks" / "results" / name)
        files.append(File.generated(config, f"charts/{name}", abs_src_path=chart))
    files.append(File.generated(config, "changes.md", content=(ROOT / "CHANGELOG.md").read_text()))
    return files
