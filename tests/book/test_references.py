"""The recorded runs are of these chapters, and the comparison with them can fail."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
import record

from chapters import CHAPTERS, REFERENCES, ROOT, code_cells, notebooks, read, reference, tags

CHAPTER_FILES = notebooks()
SANITIZE = ROOT / "tests" / "book" / "sanitize.cfg"


def by_name(pages):
    return pytest.mark.parametrize(
        "page", pages, ids=[page.relative_to(CHAPTERS).as_posix() for page in pages]
    )


@by_name(CHAPTER_FILES)
def test_the_record_is_of_the_chapter_as_it_stands(page: Path):
    told = "run `make record CHAPTER=" + page.relative_to(ROOT).as_posix() + "`"
    assert reference(page).exists(), told
    recorded = code_cells(nbformat.read(reference(page), as_version=4))
    written = code_cells(read(page))
    assert [(c.source, tags(c)) for c in recorded] == [(c.source, tags(c)) for c in written], told


@by_name(CHAPTER_FILES)
def test_every_recorded_cell_was_run(page: Path):
    cells = code_cells(nbformat.read(reference(page), as_version=4))
    # nbval compares nothing of a cell without a count.
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_no_record_is_left_without_a_chapter():
    assert set(REFERENCES.rglob("*.ipynb")) == {reference(page) for page in CHAPTER_FILES}


HELPER = "def score():\n    return 0.445\n"
CHAPTER = textwrap.dedent(
    """\
    ---
    jupytext:
      text_representation:
        extension: .md
        format_name: myst
    kernelspec:
      name: python3
      display_name: Python 3
      language: python
    ---

    # A chapter

    ```{code-cell} ipython3
    from helper_under_test import score
    import matplotlib.pyplot as plt

    print(score(), object())
    ```

    ```{code-cell} ipython3
    fig, ax = plt.subplots()
    _ = ax.plot([score()])
    ```

    ```{code-cell} ipython3
    :tags: [nbval-ignore-output]

    import time
    print(time.time())
    ```
    """
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A chapter, the helper that it imports, and its recorded run."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "helper_under_test.py").write_text(HELPER)
    chapter = folder / "chapter.md"
    chapter.write_text(CHAPTER)
    (folder / "chapter.ipynb").write_text(record.record(chapter), encoding="utf-8")
    return folder


def compare(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}"]
    command += [*options, f"--rootdir={folder}", str(folder / "chapter.ipynb")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_second_record_has_the_same_bytes(workshop):
    again = record.record(workshop / "chapter.md")
    assert again.encode() == (workshop / "chapter.ipynb").read_bytes()


def test_a_record_holds_no_picture_time_or_address(workshop):
    text = (workshop / "chapter.ipynb").read_text(encoding="utf-8")
    assert "image/png" not in text
    assert "language_info" not in text
    assert "0xADDRESS" in text
    cells = nbformat.reads(text, as_version=4).cells
    assert cells[2].outputs == []
    assert [cell.id for cell in cells] == ["cell-00", "cell-01", "cell-02"]


def test_the_comparison_passes_unchanged_and_fails_when_a_helper_changes(workshop):
    same = compare(workshop)
    assert same.returncode == 0, same.stdout
    assert "3 passed" in same.stdout
    helper = workshop / "helper_under_test.py"
    try:
        helper.write_text(HELPER.replace("0.445", "0.446"))
        changed = compare(workshop)
    finally:
        helper.write_text(HELPER)
    assert changed.returncode == 1
    assert "1 failed, 2 passed" in changed.stdout
    assert "0.446" in changed.stdout


def test_a_cell_that_writes_to_stderr_is_not_recorded():
    noisy = nbformat.v4.new_output("stream", name="stderr", text="FutureWarning")
    with pytest.raises(RuntimeError, match="FutureWarning"):
        record.kept_output(noisy, [])
