"""mlsd.book: a number that is not what the author saw stops the page."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mlsd import book

glued: dict[str, object] = {}


@pytest.fixture(autouse=True)
def glue(monkeypatch):
    glued.clear()
    monkeypatch.setattr(book, "_glue", glued.__setitem__)


@pytest.mark.parametrize("value", [0.445, np.float64(0.445), np.array([0.445]), np.array(0.445)])
def test_a_float_is_glued_as_a_python_float(value):
    book.number("recall", value, about=0.4, within=0.05)
    assert glued == {"recall": 0.445}
    assert type(glued["recall"]) is float


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_an_integer_stays_one(value):
    book.number("rows", value, about=3, within=0)
    assert type(glued["rows"]) is int


@pytest.mark.parametrize("value", [0.46, np.nan, np.inf, -0.445])
def test_a_number_off_its_expectation_raises_and_is_not_glued(value):
    with pytest.raises(AssertionError, match=r"recall is .*, expected 0\.445 within 0\.01"):
        book.number("recall", value, about=0.445, within=0.01)
    assert glued == {}


@pytest.mark.parametrize("value", ["0.445", None, True, np.bool_(True), [0.445], np.ones(2), 1j])
def test_what_is_not_one_real_number_is_refused(value):
    with pytest.raises(TypeError, match="recall must be one real number"):
        book.number("recall", value, about=1, within=9)


@pytest.mark.parametrize("within", [-0.1, np.nan, np.inf])
def test_a_tolerance_that_can_not_fail_is_refused(within):
    with pytest.raises(ValueError, match="within must be finite and not negative"):
        book.number("recall", 0.4, about=0.4, within=within)


def test_a_timing_has_no_expectation_but_must_be_a_time():
    book.timing("seconds", np.float64(0.2))
    assert glued == {"seconds": 0.2}
    with pytest.raises(ValueError, match="seconds must be finite and not negative"):
        book.timing("seconds", -1.0)


def test_a_text_is_checked_exactly():
    book.text("winner", "BM25", expected="BM25")
    assert glued == {"winner": "BM25"}
    with pytest.raises(AssertionError, match="winner is 'LSA', expected 'BM25'"):
        book.text("winner", "LSA", expected="BM25")
    with pytest.raises(TypeError, match="winner must be a string"):
        book.text("winner", 3, expected="3")


def test_without_a_notebook_or_myst_nb_the_check_still_runs():
    code = (
        "import sys; sys.modules['myst_nb'] = None\n"
        "from mlsd.book import number\n"
        "number('a', 1, about=1, within=0)\n"
        "try:\n    number('a', 2, about=1, within=0)\n"
        "except AssertionError:\n    print('checked')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "checked\n", done.stderr
