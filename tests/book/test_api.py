"""The page that lists the package lists all of it."""

from __future__ import annotations

import re

import pytest

from chapters import CHAPTERS
from mlsd import data, drift, experiments, funnel, metrics, ope, plotting, world

PAGE = (CHAPTERS / "reference" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "module",
    [data, drift, experiments, funnel, metrics, ope, plotting, world],
    ids=lambda m: m.__name__,
)
def test_every_public_name_is_described_once(module):
    if f".. automodule:: {module.__name__}\n   :members:" in PAGE:
        return  # all of __all__, by Sphinx
    section = PAGE.split(f"## {module.__name__}\n")[1].split("\n## ")[0]
    kind = rf"^\.\. auto(?:class|data|function|module):: (?:{re.escape(module.__name__)}\.)?(\w+)$"
    named = re.findall(kind, section, re.MULTILINE)
    assert sorted(named) == sorted(module.__all__)
