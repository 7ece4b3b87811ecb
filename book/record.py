"""Run chapters and keep what they printed, for the strict comparison in the tests.

`make record` runs all, `make record CHAPTER=chapters/approach/metrics.md` one. A second run writes
the same bytes: pictures, times and addresses are left out.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import nbformat
from build import environment
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns

from chapters import CHAPTERS, REFERENCES, ROOT, code_cells, notebooks, read, reference, tags

SANITIZE = ROOT / "tests" / "book" / "sanitize.cfg"
# Cells with this tag are run and not compared; their outputs differ each time.
IGNORE_OUTPUT = "nbval-ignore-output"
TIMEOUT = 600


def execute(chapter: Path) -> NotebookNode:
    """Run a chapter from top to bottom in its own folder, as the book does."""
    notebook = read(chapter)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(chapter.parent)}},
    )
    client.execute()
    return notebook


def sanitised(text: str, patterns: list[tuple[str, str]]) -> str:
    """Replace what differs between two runs, as nbval does before it compares."""
    for pattern, replacement in patterns:
        text = re.sub(pattern, replacement, text)
    return text


def kept_output(output: NotebookNode, patterns: list[tuple[str, str]]) -> NotebookNode | None:
    """Return the part of an output that is compared: its text, or None if it is all picture."""
    if output.output_type == "stream":
        if output.name == "stderr":
            raise RuntimeError(f"a cell wrote to stderr, which no page shows: {output.text!r}")
        return nbformat.v4.new_output(
            "stream", name=output.name, text=sanitised(output.text, patterns)
        )
    if output.output_type == "error":
        return nbformat.v4.new_output(
            "error", ename=output.ename, evalue=sanitised(output.evalue, patterns), traceback=[]
        )
    data = {
        kind: sanitised(content, patterns) if isinstance(content, str) else content
        for kind, content in output.data.items()
        if not kind.startswith("image/")
    }
    if not data:
        return None
    counted = {"execution_count": output.execution_count} if "execution_count" in output else {}
    return nbformat.v4.new_output(output.output_type, data=data, **counted)


def recorded(executed: NotebookNode) -> NotebookNode:
    """Return the code cells of an executed chapter, reduced to what is the same in every run."""
    patterns = get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8"))
    cells = []
    for index, cell in enumerate(code_cells(executed)):
        drop = IGNORE_OUTPUT in tags(cell)
        outputs = [] if drop else [kept_output(output, patterns) for output in cell.outputs]
        kept = nbformat.v4.new_code_cell(
            cell.source,
            id=f"cell-{index:02d}",
            execution_count=cell.execution_count,
            outputs=[output for output in outputs if output is not None],
        )
        if tags(cell):
            kept.metadata["tags"] = tags(cell)
        cells.append(kept)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def record(chapter: Path) -> str:
    """Run a chapter and return its record as the text of a notebook file."""
    return nbformat.writes(recorded(execute(chapter)), version=4).rstrip("\n") + "\n"


def main() -> int:
    """Record the chapters named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", type=Path, help="all by default")
    parser.add_argument(
        "--dry-run", action="store_true", help="run the chapters with their checks; write nothing"
    )
    arguments = parser.parse_args()
    # The kernels inherit it: one thread, one hash seed.
    os.environ.update(environment())
    wanted = [path.resolve() for path in arguments.chapters] or notebooks()
    for chapter in wanted:
        if CHAPTERS not in chapter.parents:
            parser.error(f"{chapter} is not in {CHAPTERS}")
        print(f"running {chapter.relative_to(ROOT)}", flush=True)
        text = record(chapter)
        if not arguments.dry_run:
            target = reference(chapter)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    if not arguments.chapters and not arguments.dry_run:
        expected = {reference(chapter) for chapter in notebooks()}
        for orphan in set(REFERENCES.rglob("*.ipynb")) - expected:
            orphan.unlink()
            print(f"removed {orphan.relative_to(ROOT)}: it has no chapter")
    return 0


if __name__ == "__main__":
    sys.exit(main())
