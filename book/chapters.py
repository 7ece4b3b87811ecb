"""Where the chapters are, and what they hold. Used by the recording and by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
REFERENCES = ROOT / "tests" / "book" / "references"


def listed(root: Path = ROOT) -> list[Path]:
    """Return the files that _toc.yml lists, in its order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))

    def names(entry: Any) -> Iterator[str]:
        if isinstance(entry, list):
            for item in entry:
                yield from names(item)
        elif isinstance(entry, dict):
            yield from (entry[key] for key in ("root", "file") if key in entry)
            for key in ("parts", "chapters", "sections"):
                yield from names(entry.get(key, []))

    return [root / f"{name.removesuffix('.md')}.md" for name in names(toc)]


def is_notebook(path: Path) -> bool:
    """Say whether a page is run: it then opens with jupytext's header."""
    text = path.read_text(encoding="utf-8")
    return text.startswith("---\n") and "\njupytext:\n" in text.split("\n---\n", 1)[0]


def notebooks(root: Path = ROOT) -> list[Path]:
    """Return the listed pages that have cells to run."""
    return [path for path in listed(root) if path.exists() and is_notebook(path)]


def read(path: Path) -> NotebookNode:
    """Return a chapter as a notebook without outputs."""
    return jupytext.read(path)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def reference(chapter: Path) -> Path:
    """Return where the recorded run of a chapter is kept."""
    return REFERENCES / chapter.relative_to(CHAPTERS).with_suffix(".ipynb")
