"""The reader of the prose catches what it is for, and lets the rest be."""

from __future__ import annotations

import pytest
from prose import directives, headings, typed_numbers


def found(text):
    return [(hit.line, hit.number) for hit in typed_numbers(text)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The recall is 0.445.", "0.445"),
        ("It won by 44 %.", "44 %"),
        ("It won by 44% and more.", "44%"),
        ("A single 7 stands here.", "7"),
        ("| BM25 | 0.445 |", "0.445"),
        ("```{admonition} The 12 rules\nNone.\n```", "12"),
        ("```{admonition} Note\n:class: tip\nIt is 0.3.\n```", "0.3"),
        (":::{note}\nIt is 0.3.\n:::", "0.3"),
        ("::::{tab-set}\n:::{tab-item} Weak\nIt is 0.3.\n:::\n::::", "0.3"),
        ("The value `0.445` in backticks.", "0.445"),
        ("See [the 17 ways](a.md).", "17"),
        ("See {ref}`the 17 ways <ways>`.", "17"),
        ("> It was 3 times.", "3"),
        ("BM25 reaches BM-0.445 today.", "0.445"),
        ("Half is ½ of it.", "½"),
        ("Gains of recall-44 % or so.", "44 %"),
        ("It costs $5 or $6.", "5"),
        ("# A heading of 2026", "2026"),
        (
            "```{code-cell}\n---\nmystnb:\n  figure:\n    caption: It is 0.4.\n---\nx = 1\n```",
            "0.4",
        ),
        ("```{figure} a.png\n:alt: It is 0.4.\n\nWords.\n```", "0.4"),
        ("- item with\n  0.445 below it", "0.445"),
        ("\\$5 and \\$6", "5"),
        ("{abbr}`the 5 rules`", "5"),
    ],
)
def test_a_typed_number_is_caught(text, number):
    assert number in [hit.number for hit in typed_numbers(text)]


@pytest.mark.parametrize(
    "text",
    [
        "The recall is {glue:text}`recall:.3f` of all.",
        "Over {given}`50,000` rows, {given}`$\\alpha = 0.05$`.",
        "Ranked by BM25, nDCG@10, LSA-200, F1, h2, p99 and recall@100.",
        "As {cite}`salton1975` and {cite:t}`jarvelin2002` and {eq}`eq1` show.",
        "See {ref}`the ways <ways2>`, {doc}`page2` and {py:func}`mlsd.metrics.ndcg_at_10`.",
        "The share $p_1 = 0.5$ and $$x^2 = 4$$ hold.",
        "A line $a +\n2$ broken.",
        "```{math}\n:label: e1\nx = 2\n```",
        "```{code-cell} ipython3\n:tags: [a1]\nx = 0.445\n```",
        "```python\nx = 0.445\n```",
        "1. first\n2. second",
        "> 1. first",
        "[words](page2.md#part-3) and <https://example.org/2>.",
        "(label-2)=\n",
        "Use `k=10` and `top_k(10)`.",
        "---\nkernelspec:\n  version: 3\n---\n\nWords.",
        "```{exercise}\n:label: ex-1\nWhich?\n```",
        "```{solution-start} ex-1\n:class: dropdown\n```\nWords.\n```{solution-end}\n```",
        "% version 2 of this text\n",
        "<!-- 0.445\n0.446 -->",
        "Two or three in a hundred.",
        "\\begin{align}\nx &= 2\n\\end{align}",
        "````{note}\n```{code-cell} ipython3\nx = 2\n```\nWords.\n````",
        "A footnote.[^1]",
    ],
)
def test_what_is_computed_declared_or_a_name_is_let_be(text):
    assert found(text) == []


def test_the_line_is_that_of_the_number():
    text = (
        "---\na: 1\n---\n\n# Title\n\n```{code-cell} ipython3\nx = 1\n```\n\nIt is\n0.445 here.\n"
    )
    assert found(text) == [(12, "0.445")]


def test_a_role_over_two_lines_keeps_the_lines_below_in_place():
    assert found("See {ref}`the\nways <ways>`.\nIt is 0.4.") == [(3, "0.4")]


def test_prose_after_a_closed_fence_is_read_again():
    assert found("```{code-cell} ipython3\nx = 1\n```\nIt is 0.4.") == [(4, "0.4")]


def test_directives_have_their_options_and_body():
    text = "```{exercise}\n:label: a\n\nWhich?\n```\n:::{admonition} Predict\nNow.\n:::\n"
    first, second = directives(text)
    assert (first.name, first.options, first.line) == ("exercise", {"label": "a"}, 1)
    assert "Which?" in first.body
    assert (second.name, second.argument, second.body) == ("admonition", "Predict", "Now.")


def test_nested_directives_are_all_listed():
    text = "::::{tab-set}\n:::{tab-item} A\nx\n:::\n:::{tab-item} B\ny\n:::\n::::\n"
    assert [(d.name, d.argument) for d in directives(text)] == [
        ("tab-set", ""),
        ("tab-item", "A"),
        ("tab-item", "B"),
    ]


def test_headings_are_not_comments_of_cells():
    text = (
        "# T\n\n## What breaks\n\nx\n\n```{code-cell} ipython3\n## not one\n```\n\n## Exercises\n"
    )
    assert list(headings(text)) == ["What breaks", "Exercises"]
    assert "## not one" in headings(text)["What breaks"]
