"""The page of HTML: complete, self-contained, escaped, readable; and the bars it draws."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.drift import DriftMonitor, Profile
from mlsd.drift._bars import bars_of
from mlsd.drift._html import render
from mlsd.drift._html_style import STYLE
from mlsd.drift._html_svg import effect_bar, histogram

EVIL = "<script>alert(1)</script>"
QUOTED = 'it\'s "quoted" & <b>bold</b>'
VOID = {"meta", "br", "path", "rect"}


def frame(n, seed, *, columns=0):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n)
    return pd.DataFrame(
        {
            "shifted": rng.normal(50, 10, n),
            "nulls": np.exp(rng.normal(size=n)),
            "outliers": rng.normal(size=n),
            "one": rng.normal(size=n) + hidden,
            "two": rng.normal(size=n) + hidden,
            "counts": rng.poisson(3, n).astype(float),
            "fine": rng.normal(size=n),
            "gone": rng.normal(size=n),
            "text": rng.normal(size=n),
            "declared": rng.random(n),
            "shop": rng.choice(["north", "south", QUOTED], n),
            "many": rng.choice([f"level {i}" for i in range(40)], n),
            "flag": rng.random(n) < 0.3,
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"),
            EVIL: rng.normal(size=n),
        }
        | {f"more_{i:03d}": rng.normal(size=n) for i in range(columns)}
    )


def broken(n, seed, **options):
    live = frame(n, seed, **options)
    live["shifted"] += 6
    live.loc[: n // 10, "nulls"] = np.nan
    live.loc[: n // 50, "outliers"] = -999.0
    live["two"] = live["two"].to_numpy()[::-1].copy()
    live["counts"] = 7.0
    live[EVIL] += 1
    live["shop"] = live["shop"].replace("north", "<i>new</i>")
    live["text"] = live["text"].astype(str)
    live["<u>added</u>"] = 1
    return live.drop(columns="gone")


@pytest.fixture(scope="module")
def monitor():
    return DriftMonitor(expect={"declared": {"range": (0.5, None)}}).fit(frame(8000, 0))


@pytest.fixture(scope="module")
def report(monitor):
    return monitor.compare(broken(1500, 1))


@pytest.fixture(scope="module")
def clean():
    return DriftMonitor().fit(frame(8000, 0)).compare(frame(1500, 2))


class Page(HTMLParser):
    """What a browser would make of it: elements with their text, and nesting that is sound."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.source = text
        self.open, self.elements, self.attributes = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        element = {"tag": tag, "attrs": dict(attrs), "text": ""}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and all(element["attrs"].get(name) == value for name, value in attributes.items())
        ]

    def section(self, name):
        found = self.all("section", **{"aria-labelledby": name})
        return found[0]["text"] if found else ""

    def __contains__(self, text):
        return text in self.all("body")[0]["text"]


@pytest.fixture(scope="module")
def page(report):
    return Page(render(report))


def test_the_page_is_sound_and_needs_nothing_else(page):
    assert page.open == []
    assert page.source.startswith("<!doctype html>")
    assert {e["tag"] for e in page.elements}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "form", "use", "image"}
    )
    names = {name for _, name, _ in page.attributes}
    assert names.isdisjoint({"src", "href", "xlink:href", "style", "data", "action"})
    assert not {name for name in names if name.startswith("on")}
    assert not re.search(r"https?:|url\(|@import|javascript:", page.source)
    assert ("meta", "charset", "utf-8") in page.attributes


def test_names_and_levels_are_escaped(page, report):
    assert any(alarm.column == EVIL for alarm in report.page)
    assert EVIL in page
    assert QUOTED in page
    assert "<u>added</u>" in page
    assert "<i>new</i>" in page
    assert {e["tag"] for e in page.elements}.isdisjoint({"b", "i", "u", "script"})
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    assert any(EVIL in label for label in labels)


def test_title_segment_and_season_are_escaped(report):
    alarm = dataclasses.replace(report.page[0], segment=EVIL)
    odd = dataclasses.replace(report, page=(alarm,), season=EVIL, notes=(EVIL,))
    found = Page(render(odd, title=EVIL))
    assert not found.all("script")
    assert found.all("h1")[0]["text"] == EVIL
    assert EVIL in found.all("title")[0]["text"]
    assert EVIL in found.section("page")
    assert EVIL in found.section("settings")
    assert EVIL in found.section("notes")


def said(alarm):
    text = alarm.sentence.removeprefix(f"{alarm.column}: ")
    return text[:1].upper() + text[1:] if text != alarm.sentence else text


def test_every_alarm_is_told_with_what_to_check_first(page, report):
    checks = {alarm.check for alarm in (*report.page, *report.watch)}
    assert {"schema", "declared", "constant", "null", "range", "unseen", "correlation"} <= checks
    for alarms, name in ((report.page, "page"), (report.watch, "watch")):
        assert alarms
        text = page.section(name)
        for alarm in alarms:
            assert said(alarm).rstrip(".") in text or alarm.sentence.rstrip(".") in text
            assert alarm.first in text


def test_chances_have_their_names_and_are_escaped(report):
    """No other p than Holm's, no other q than that of Benjamini and Hochberg."""
    tested = next(alarm for alarm in report.page if not alarm.is_rule)
    page = dataclasses.replace(tested, p_adj=1e-200, q=1e-201)
    watch = dataclasses.replace(tested, verdict="watch", p_adj=0.5, q=0.0625)
    source = render(dataclasses.replace(report, page=(page,), watch=(watch,)))
    assert "< 1e-99" not in source
    found = Page(source)
    assert f"{tested.check}: p < 1e-99 (Holm)" in found.section("page")
    assert f"{tested.check}: q 0.062 (Benjamini-Hochberg)" in found.section("watch")


def test_the_verdict_comes_first(report, clean):
    found = Page(render(report))
    body = " ".join(found.all("body")[0]["text"].split())
    assert re.match(r"Drift report Page: \d+ alarms in \d+ columns and \d+ correlations?\.", body)
    assert int(re.search(r"Page: (\d+) alarms", body)[1]) == len(report.page)
    assert f"Page: {len(report.page)} alarms" in found.all("title")[0]["text"]
    assert "1,500 live rows against 8,000" in body
    headings = [element["attrs"]["id"] for element in found.all("h2")]
    wanted = ["page", "watch", "schema", "checks", "columns", "unchecked", "settings"]
    assert [name for name in headings if name != "notes"] == wanted
    assert "Nothing to page for" in Page(render(clean)).all("header")[0]["text"]


@pytest.mark.parametrize(
    ("n_page", "n_watch", "words", "look"),
    [
        (1, 0, "Page: 1 alarm in 1 column.", "page"),
        (0, 1, "Nothing to page for; 1 alarm in 1 column to watch.", "watch"),
        (0, 0, "Nothing to page for.", "ok"),
    ],
)
def test_verdicts(report, n_page, n_watch, words, look):
    page, watch = report.page[:n_page], report.watch[:n_watch]
    found = Page(render(dataclasses.replace(report, page=page, watch=watch)))
    assert found.all("p", **{"class": "verdict"})[0]["text"] == words
    assert found.all("header")[0]["attrs"]["class"] == look


def test_all_checks_are_in_the_table_the_worst_first(page, report):
    table = report.to_frame()
    wanted = table[
        (table["verdict"] != "unchecked")
        & ~((table["check"] == "correlation") & (table["verdict"] == "ok"))
    ]
    heads = [element["text"] for element in page.all("th", scope="row")]
    expected = (wanted["column"].replace("", "table") + wanted["check"]).tolist()
    assert sorted(heads) == sorted(expected)
    words = re.findall(r"<td><span class='badge (\w+)'>", page.source)
    assert len(words) == len(heads)
    order = ["page", "watch", "ok"]
    assert words == sorted(words, key=order.index)
    assert {word: words.count(word) for word in order} == {
        word: int((wanted["verdict"] == word).sum()) for word in order
    }
    folded = (table["check"].eq("correlation") & table["verdict"].eq("ok")).sum()
    assert f"({folded} more in the JSON of the report)" in page.section("checks")
    assert [e["attrs"].get("scope") for e in page.all("th")].count(None) == 0
    assert len(page.all("caption")) == len(page.all("table")) == 2


def test_schema_reasons_notes_and_settings(page, report):
    schema = page.section("schema")
    assert "Missinggone" in schema
    assert "New<u>added</u>" in schema
    assert "text from float64 to" in schema
    reasons = page.section("unchecked")
    for line in report.unchecked:
        assert line.reason[1:] in reasons
        if line.check != "correlation":
            assert line.column in reasons
    text = page.section("settings")
    assert "once in 91 runs" in text
    assert ".02 at the lower 95 % bound" in text
    assert "10 % false discoveries" in text
    noted = dataclasses.replace(report, notes=("a & b",), calibrated=True, season="may")
    found = Page(render(noted))
    assert "a & b" in found.section("notes")
    assert "scaled to windows" in found.section("settings")
    assert "season may" in found.all("header")[0]["text"]


def test_another_order_of_columns_is_told():
    before = pd.DataFrame({"a": np.arange(500.0) % 7, "b": np.arange(500.0) % 5})
    moved = DriftMonitor().fit(before).compare(before[["b", "a"]])
    assert "another order" in Page(render(moved)).section("schema")
    assert Page(render(DriftMonitor().fit(before).compare(before))).section("schema") == ""


def test_drawings_are_described(page, report):
    drawings = page.all("svg")
    assert len(page.all("svg", role="img")) >= 12
    for drawing in drawings:
        if drawing["attrs"].get("role") == "img":
            assert "reference against live" in drawing["attrs"]["aria-label"]
        else:
            assert drawing["attrs"]["aria-hidden"] == "true"
    (label,) = [
        value
        for _, name, value in page.attributes
        if name == "aria-label" and value.startswith("nulls,")
    ]
    assert "NULL 0 %, live 10" in label


def test_a_column_has_one_histogram_however_many_alarms(page, report):
    labels = [value for _, name, value in page.attributes if name == "aria-label"]
    names = [label.split(", reference against")[0] for label in labels]
    assert len(names) == len(set(names))
    assert set(names) == set(report.reference.names) & set(report.live.names)


def test_fifty_columns_are_light_and_a_thousand_draw_only_alarms():
    wide = DriftMonitor().fit(frame(2000, 0, columns=35)).compare(broken(1500, 1, columns=35))
    assert len(wide.reference.names) == 50
    assert len(render(wide).encode()) < 300_000
    monitor = DriftMonitor().fit(Profile.from_frame(frame(2000, 0, columns=985), pairs=False))
    wide = monitor.compare(Profile.from_frame(broken(1500, 1, columns=985), like=monitor.reference))
    found = Page(render(wide))
    drawn = {
        value.split(", reference")[0] for _, name, value in found.attributes if name == "aria-label"
    }
    assert {"shifted", "nulls", EVIL} <= drawn
    assert drawn <= {alarm.column for alarm in (*wide.page, *wide.watch)}
    assert found.section("columns") == ""
    heads = [element["text"] for element in found.all("th", scope="row")]
    assert {name for name in wide.live.names if any(h.startswith(name) for h in heads)} == set(
        wide.live.names
    )
    assert len(found.source.encode()) < 700_000


# --- what it looks like


def luminance(color):
    digits = color.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, two):
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes():
    found = [dict(re.findall(r"--(\w+):(#\w+)", part)) for part in STYLE.split("@media", 1)]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("colors", themes(), ids=["light", "dark"])
def test_contrast_is_enough_in_both_themes(colors):
    for ground in ("bg", "card"):
        for text in ("text", "quiet", "page", "watch", "ok", "live"):
            assert contrast(colors[text], colors[ground]) >= 4.5
        # Of what is drawn, the line carries the meaning; it is seen on the area too.
    for badge in ("page", "watch", "ok", "quiet"):
        assert contrast(colors["on"], colors[badge]) >= 4.5
    assert contrast(colors["live"], colors["area"]) >= 3


def test_the_style_has_no_request():
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "prefers-color-scheme:dark" in STYLE


# --- the bars


def both(before, after):
    reference = Profile.from_frame(pd.DataFrame({"x": before}))
    return reference["x"], Profile.from_frame(pd.DataFrame({"x": after}), like=reference)["x"]


def total(bars, which):
    return float(getattr(bars, which).sum()) + sum(
        item[1 + (which == "live")] for item in bars.extra
    )


VALUES = st.lists(
    st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.integers(-3, 3).map(float)),
    min_size=1,
    max_size=80,
)
LEVELS = st.lists(st.one_of(st.none(), st.sampled_from([f"l{i}" for i in range(30)])), min_size=1)


@given(
    st.one_of(
        st.tuples(VALUES, VALUES),
        st.tuples(LEVELS.filter(any), LEVELS.filter(any)),
    )
)
@settings(max_examples=150, deadline=None)
def test_every_row_is_in_one_bar(pair):
    kind = "float64" if not any(isinstance(v, str) for v in pair[0]) else "object"
    columns = both(*(pd.Series(values, dtype=kind) for values in pair))
    bars = bars_of(*columns)
    assert bars.ref.shape == bars.live.shape
    assert (bars.ref >= -1e-12).all()
    if bars.ref.size:
        assert total(bars, "ref") == pytest.approx(1)
        assert total(bars, "live") == pytest.approx(1)
    histogram(*columns)


def test_bars_of_equal_width_are_those_of_the_values():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=20_000), rng.normal(0.5, 1.2, 5_000)
    columns = both(before, after)
    bars = bars_of(*columns)
    low, high = np.quantile(before, [0.001, 0.999])
    np.testing.assert_allclose(bars.edges[[0, -1]], [low, high], atol=0.01)
    inside = after[(after >= before.min()) & (after <= before.max())]
    counts, _ = np.histogram(np.clip(inside, *bars.edges[[0, -1]]), bars.edges)
    # A bar's end may cut a cell of 1/512 of the reference, of which each side gets its part.
    assert np.abs(bars.live - counts / after.size).max() < 2 / 512
    beside = {name: (old, new) for name, old, new in bars.extra}
    assert beside["above"] == (0.0, np.mean(after > before.max()))
    assert bars.labels == (f"{low:.4g}", f"{high:.4g}")


def test_few_values_have_a_bar_each():
    bars = bars_of(*both([1.0, 1, 2, 5], [5.0, 5, 2, np.nan]))
    np.testing.assert_array_equal(bars.ref, [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(bars.live, [0, 0.25, 0.5])
    assert bars.extra == (("NULL", 0.0, 0.25),)
    assert bars.axis == "one bar a value, 3 values"
    assert bars.labels == ("1", "5")


@pytest.mark.parametrize("scale", [1.5, 3.0])
def test_a_crowded_axis_becomes_logarithmic(scale):
    rng = np.random.default_rng(0)
    before, after = np.exp(scale * rng.normal(size=9000)), np.exp(scale * rng.normal(size=900) + 1)
    bars = bars_of(*both(before, after))
    assert bars.axis == "logarithmic axis"
    np.testing.assert_allclose(np.diff(np.log(bars.edges)), np.log(bars.edges[1] / bars.edges[0]))
    counts, _ = np.histogram(np.clip(before, *bars.edges[[0, -1]]), bars.edges)
    assert np.abs(bars.ref - counts / before.size).max() < 2 / 512


def test_without_a_logarithm_bars_are_of_equal_shares():
    rng = np.random.default_rng(0)
    before, after = (rng.normal(size=n) ** 9 for n in (9000, 900))
    bars = bars_of(*both(before, after))
    assert bars.edges is None
    assert bars.axis == "cells of about equal reference share"
    np.testing.assert_allclose(bars.ref, 1 / 20, atol=1 / 512)


def test_of_many_categories_those_that_changed_are_shown():
    before = [f"l{i:02d}" for i in range(40) for _ in range(100 - i)]
    after = [level for level in before if level != "l30"] + ["new"] * 10
    bars = bars_of(*both(before, after))
    assert len(bars.labels) == 13
    assert "l30" in bars.labels
    assert bars.labels[bars.rest] == "28 more"
    assert bars.extra == (("new", 0.0, 10 / len(after)),)
    assert total(bars, "live") == pytest.approx(1)


def test_times_have_their_nulls():
    times = pd.Series(pd.to_datetime(["2026-01-01", None, "2026-01-03", "2026-01-04"]))
    bars = bars_of(*both(times, times.iloc[2:]))
    assert bars.extra == (("NULL", 0.25, 0.0),)


def test_heights_in_the_drawing_are_the_shares():
    drawing = histogram(*both([1.0] * 6 + [2.0] * 4, [1.0] * 2 + [2.0] * 8))
    area, line = re.findall(r'class="[rl]"[^>]* d="([^"]+)"', drawing)
    base = float(re.match(r"M[\d.]+ ([\d.]+)", line)[1])
    tops = [[base - float(y) for y in re.findall(r"V([\d.]+)H", path)] for path in (area, line)]
    np.testing.assert_allclose(
        np.divide(tops, max(map(max, tops))), [[0.75, 0.5], [0.25, 1]], atol=1e-3
    )
    assert "highest 80 %" in drawing


@pytest.mark.parametrize(
    ("effect", "lo", "hi", "bar", "line"),
    [
        (0.25, 0.16, 0.36, 50, (40, 60)),
        (-0.25, -0.36, -0.16, 50, (40, 60)),
        (0.01, -0.04, 0.09, 10, (0, 30)),
        (4.0, 3.0, 5.0, 100, (100, 100)),
    ],
)
def test_effects_are_on_the_scale_of_the_square_root(effect, lo, hi, bar, line):
    drawing = effect_bar(effect, lo, hi, 0.04)
    assert f"M0 1H{bar}V7" in drawing
    assert f"M{line[0]} 4H{line[1]}" in drawing
    assert "M20 0V8" in drawing
    assert effect_bar(float("nan"), lo, hi, 0.04) == ""
