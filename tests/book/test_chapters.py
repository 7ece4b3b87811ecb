"""Every chapter keeps the rules of the house: numbers computed, figures described, cells short."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from cells import draws, handed, uses_raw_glue
from prose import directives, headings, typed_numbers

from chapters import CHAPTERS, ROOT, code_cells, is_notebook, listed, read, reference, tags

PAGES = sorted(CHAPTERS.rglob("*.md"))
NOTEBOOKS = [page for page in PAGES if is_notebook(page)]
TEMPLATE = ROOT / "book" / "template.md"
# The template is held to the checklist too, or it would teach another.
APPROACH = [*(page for page in PAGES if page.parent == CHAPTERS / "approach"), TEMPLATE]
MAX_LINES, MAX_COLUMNS = 15, 75
GLUED = re.compile(r"\{glue:text\}`([^`:]+)(?::[^`]*)?`")


def by_name(pages):
    return pytest.mark.parametrize("page", pages, ids=["/".join(page.parts[-2:]) for page in pages])


def lines(problems):
    return "\n" + "\n".join(problems)


def test_the_contents_list_exactly_the_chapters():
    toc = listed()
    assert len(toc) == len(set(toc)), "a page is listed twice"
    assert sorted(toc) == PAGES


@by_name(PAGES)
def test_no_result_is_typed_by_hand(page: Path):
    problems = [
        f"{page.relative_to(ROOT)}:{hit.line}: {hit.number} in: {hit.context}"
        for hit in typed_numbers(page.read_text(encoding="utf-8"))
    ]
    hint = "compute it and show it with {glue:text}, or declare it with {given}:"
    assert not problems, hint + lines(problems)


@by_name(PAGES)
def test_each_number_shown_is_handed_over_once(page: Path):
    cells = code_cells(read(page)) if is_notebook(page) else []
    given = [value for cell in cells for value in handed(cell.source)]
    patterns = [value.pattern for value in given]
    assert len(patterns) == len(set(patterns)), "a name is handed over twice"
    shown = set(GLUED.findall(page.read_text(encoding="utf-8")))
    # A name written out has precedence over the pattern of a loop's names that it also fits; that
    # no loop hands over the same name, the build sees.
    literal = {name for name in shown if re.escape(name) in patterns}
    loops = {name: sum(value.defines(name) for value in given) for name in shown - literal}
    assert {name: count for name, count in loops.items() if count != 1} == {}


@by_name(PAGES)
def test_only_the_text_role_shows_numbers(page: Path):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\{glue(?::(?!text\})\w+)?\}(?!text)", text)


@by_name(NOTEBOOKS)
def test_no_cell_glues_past_the_checks(page: Path):
    assert [cell.source for cell in code_cells(read(page)) if uses_raw_glue(cell.source)] == []


@by_name(NOTEBOOKS)
def test_times_are_only_in_cells_whose_output_is_not_compared(page: Path):
    for cell in code_cells(read(page)):
        if any(value.function == "timing" for value in handed(cell.source)):
            assert "nbval-ignore-output" in tags(cell), cell.source


@by_name(NOTEBOOKS)
def test_cells_are_short_and_narrow(page: Path):
    problems = []
    for cell in code_cells(read(page)):
        first = cell.source.strip().split("\n")[0]
        count = sum(bool(line.strip()) for line in cell.source.splitlines())
        if count > MAX_LINES:
            problems.append(f"{count} lines in the cell that begins: {first}")
        problems += [
            f"{len(line)} columns: {line}"
            for line in cell.source.splitlines()
            if len(line) > MAX_COLUMNS
        ]
    assert not problems, lines(problems)


def is_sentence(words: object) -> bool:
    return (
        isinstance(words, str)
        and len(words.split()) >= 5
        and words[0].isupper()
        and words.rstrip().endswith(".")
        and ".png" not in words
    )


@by_name(NOTEBOOKS)
def test_each_figure_is_named_captioned_and_described(page: Path):
    cells = code_cells(read(page))
    outputs = [cell.outputs for cell in code_cells(nbformat.read(reference(page), as_version=4))]
    names = []
    for cell, output in zip(cells, outputs, strict=True):
        if not (draws(cell.source) or "<Figure size" in str(output)):
            continue
        mystnb = cell.metadata.get("mystnb", {})
        figure = mystnb.get("figure", {})
        assert is_sentence(mystnb.get("image", {}).get("alt")), f"alt text of:\n{cell.source}"
        assert is_sentence(figure.get("caption")), f"caption of:\n{cell.source}"
        assert figure.get("name"), f"name of:\n{cell.source}"
        names.append(figure["name"])
    assert len(names) == len(set(names))


@by_name(PAGES)
def test_each_exercise_has_a_solution(page: Path):
    found = directives(page.read_text(encoding="utf-8"))
    exercises = [d for d in found if d.name in {"exercise", "exercise-start"}]
    solved = [d.argument for d in found if d.name in {"solution", "solution-start"}]
    labels = [d.options.get("label") for d in exercises]
    assert None not in labels, "an exercise has no label"
    assert sorted(labels) == sorted(solved)
    assert all(
        d.options.get("class") == "dropdown"
        for d in found
        if d.name in {"solution", "solution-start"}
    ), "solutions are folded: `:class: dropdown`"


@by_name(APPROACH)
class TestChecklist:
    """What a chapter of the approach holds; the markers are named in CONTRIBUTING.md."""

    def test_it_opens_with_the_interviewer_and_the_outcomes(self, page: Path):
        found = directives(page.read_text(encoding="utf-8"))
        boxes = [d for d in found if d.name == "admonition"]
        assert boxes[0].argument == "The interviewer asks"
        assert found[0] is boxes[0], "something stands before the interviewer's question"
        opening = page.read_text(encoding="utf-8").split("\n## ")[0]
        outcomes = re.search(r"^\*\*You will be able to\*\*\n\n((?:.+\n)+)", opening, re.MULTILINE)
        assert outcomes, "a line **You will be able to**, then three numbered outcomes"
        assert re.findall(r"^(\d)\. ", outcomes[1], re.MULTILINE) == ["1", "2", "3"]
        assert re.search(r"^\*\*You need\*\* ", opening, re.MULTILINE), "prerequisites, run time"

    def test_it_asks_for_predictions(self, page: Path):
        found = directives(page.read_text(encoding="utf-8"))
        assert any(d.argument.startswith("Predict") for d in found if d.name == "admonition")

    def test_it_closes_with_sixty_seconds_that_speak_its_numbers(self, page: Path):
        text = page.read_text(encoding="utf-8")
        boxes = [d for d in directives(text) if d.name == "admonition"]
        assert boxes[-1].argument == "In sixty seconds"
        assert GLUED.search(boxes[-1].body)

    def test_it_says_what_breaks_and_what_is_traded(self, page: Path):
        sections = headings(page.read_text(encoding="utf-8"))
        header = re.compile(
            r"^\|\s*Symptom\s*\|\s*Cause\s*\|\s*Check\s*\|\s*Fix\s*\|", re.MULTILINE
        )
        assert header.search(sections["What breaks"])
        trade_offs = sections["Trade-offs"]
        assert re.search(r"^\|.*\{(?:glue:text|given)\}", trade_offs, re.MULTILINE), (
            "the table of trade-offs has numbers, not adjectives"
        )

    def test_it_answers_follow_up_questions_and_sets_exercises(self, page: Path):
        sections = headings(page.read_text(encoding="utf-8"))
        assert len(sections["Follow-up questions"].split()) > 50
        exercises = [d for d in directives(sections["Exercises"]) if d.name.startswith("exercise")]
        assert len([d for d in exercises if d.name != "exercise-end"]) >= 3
