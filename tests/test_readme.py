"""The README's examples run as they stand there, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


EXAMPLES = re.findall(
    r"```python\n(.*?)```\n+```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
)


def test_every_example_says_what_it_prints():
    text = README.read_text(encoding="utf-8")
    assert len(EXAMPLES) == text.count("```python") == 4


@pytest.mark.parametrize(
    ("code", "expected"), EXAMPLES, ids=["metrics", "funnel", "experiments", "drift"]
)
def test_the_examples_run_and_print_what_they_say(code, expected, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected.strip()
