"""The command line: what it prints, what it writes, how it leaves, and how it refuses."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd import metrics
from mlsd.cli import _csv, _drift, _progress, main
from mlsd.cli._tables import all_rows, open_table
from mlsd.drift import DriftMonitor, Profile

ROOT = Path(__file__).resolve().parent.parent
NOTHING = frozenset()

QRELS = "q1 0 a 2\nq1 0 b 0\nq1 0 c 1\nq2 0 a 1\nq2 0 d 0\nq3 0 z 1\n"
RUN = "q1 Q0 b 1 3.0 x\nq1 Q0 a 2 2.0 x\nq1 Q0 c 3 1.0 x\nq2 Q0 a 1 2.0 x\nq2 Q0 e 2 1.0 x\n"
BETTER = "q1 Q0 a 1 3.0 y\nq1 Q0 c 2 2.0 y\nq2 Q0 a 1 2.0 y\nq3 Q0 z 1 1.0 y\n"


def run(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


def good(*arguments, code=0):
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return result


def table(n, seed, *, shift=0.0):
    rng = np.random.default_rng(seed)
    price = np.round(rng.normal(50 + shift, 10, n), 2)
    return pd.DataFrame(
        {
            "price": price,
            "items": rng.poisson(3, n),
            "shop": rng.choice(["north", "south", "007"], n),
            "paid": rng.random(n) < 0.3,
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"),
            "clicked": rng.integers(0, 2, n),
            "score": rng.random(n),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, frame in {
        "reference": table(3000, 0),
        "same": table(1000, 1),
        "shifted": table(1000, 2, shift=5),
    }.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        frame.to_csv(folder / f"{name}.csv.gz", index=False)
        frame.to_csv(folder / f"{name}.tsv", index=False, sep="\t")
        frame.to_parquet(folder / f"{name}.parquet")
    (folder / "qrels.txt").write_text(QRELS)
    (folder / "run.txt").write_text(RUN)
    (folder / "better.txt").write_text(BETTER)
    return folder


# --- evaluate


def test_evaluate_prints_the_means_and_intervals_of_the_library(files):
    result = good("evaluate", files / "qrels.txt", files / "run.txt", "-m", "ndcg@10", "-m", "mrr")
    expected = metrics.evaluate_ranking(
        metrics.read_qrels(files / "qrels.txt"),
        metrics.read_run(files / "run.txt"),
        ["ndcg@10", "mrr"],
    )
    assert result.stdout == f"{expected!r}\n"
    assert "lower" in result.stdout
    assert result.stderr == ""


def test_evaluate_writes_json_of_the_same(files, tmp_path):
    arguments = ["evaluate", files / "qrels.txt", files / "run.txt", "-m", "map", "--per-query"]
    only = good(*arguments, "--json", "-")
    found = json.loads(only.stdout)
    # q1: 1/2 and 2/3 over two; q2: 1; q3 is absent from the run and counts 0.
    assert found["per_query"] == {
        "q1": {"map": pytest.approx((1 / 2 + 2 / 3) / 2)},
        "q2": {"map": 1.0},
        "q3": {"map": 0.0},
    }
    assert found["metrics"]["map"]["mean"] == pytest.approx((7 / 12 + 1) / 3)
    assert found["metrics"]["map"]["lower"] < found["metrics"]["map"]["mean"]
    assert found["diagnostics"]["missing_queries"] == 1
    both = good(*arguments, "--json", tmp_path / "out.json")
    assert "q2" in both.stdout
    assert json.loads((tmp_path / "out.json").read_text()) == found


def test_evaluate_without_metrics_takes_the_usual_ones(files):
    found = json.loads(
        good("evaluate", files / "qrels.txt", files / "run.txt", "--json", "-").stdout
    )
    assert list(found["metrics"]) == ["ndcg@10", "map", "mrr", "recall@100"]


def test_evaluate_compares_with_a_baseline(files):
    arguments = ["evaluate", files / "qrels.txt", files / "better.txt", "-m", "mrr"]
    arguments += ["--baseline", files / "run.txt"]
    (row,) = json.loads(good(*arguments, "--json", "-").stdout)["difference"]
    assert row["mean"] == 1.0
    assert row["other"] == pytest.approx(0.5)
    assert row["difference"] == pytest.approx(0.5)
    assert "p_adjusted" in good(*arguments).stdout


def test_evaluate_passes_its_options_on(files):
    def mean(*options):
        text = good(
            "evaluate",
            files / "qrels.txt",
            files / "run.txt",
            "-m",
            "ndcg",
            "--json",
            "-",
            *options,
        ).stdout
        return json.loads(text)["metrics"]["ndcg"]["mean"]

    assert mean() != mean("--gain", "exp2")


def test_an_undefined_metric_is_null_and_warned_of(files, tmp_path):
    (tmp_path / "none.txt").write_text("q1 0 a 0\n")
    result = good("evaluate", tmp_path / "none.txt", files / "run.txt", "-m", "map", "--json", "-")
    assert json.loads(result.stdout)["metrics"]["map"]["mean"] is None
    assert result.stderr.startswith("Warning: ")
    (tmp_path / "none.txt").write_text("q1 0 a 0\nq2 0 a 1\n")
    arguments = ["evaluate", tmp_path / "none.txt", files / "run.txt", "-m", "map", "--json", "-"]
    assert json.loads(good(*arguments, "--empty", "0").stdout)["metrics"]["map"]["mean"] == 0.5


# --- profile


@pytest.mark.parametrize("name", ["reference.csv", "reference.csv.gz", "reference.tsv"])
def test_profile_of_a_csv_is_that_of_its_frame(files, tmp_path, name):
    result = good("profile", files / name, "-o", tmp_path / "p.json", "--target", "clicked")
    stored = Profile.from_json((tmp_path / "p.json").read_text())
    frame = table(3000, 0).assign(at=lambda f: f["at"].dt.tz_localize("UTC"))
    expected = Profile.from_frame(frame, y="clicked")
    assert stored.fingerprint == expected.fingerprint
    for name in expected.names:
        np.testing.assert_array_equal(stored[name].counts, expected[name].counts)
    assert "3,000 rows, 6 columns" in result.stdout
    assert "price" in result.stdout


def test_profile_writes_to_stdout_alone_and_leaves_columns_out(files):
    result = good("profile", files / "reference.parquet", "-o", "-", "--ignore", "price")
    stored = Profile.from_json(result.stdout)
    assert stored.names == ("items", "shop", "paid", "at", "clicked", "score")
    assert stored.n_rows == 3000


# --- drift


def test_clean_rows_leave_with_0_and_shifted_ones_with_1(files):
    clean = good("drift", files / "reference.csv", files / "same.csv")
    assert "Nothing to page for" in clean.stdout
    assert clean.stderr == ""
    shifted = good("drift", files / "reference.csv", files / "shifted.csv", code=1)
    assert "PAGE price" in shifted.stdout
    assert shifted.stderr == ""


@pytest.mark.parametrize("reference", ["reference.csv", "reference.csv.gz", "reference.parquet"])
@pytest.mark.parametrize("live", ["shifted.tsv", "shifted.parquet"])
def test_formats_agree(files, reference, live):
    result = good("drift", files / reference, files / live, "--json", "-", code=1)
    found = json.loads(result.stdout)
    frames = [table(3000, 0), table(1000, 2, shift=5)]
    expected = DriftMonitor().fit(frames[0]).compare(frames[1])
    assert [(alarm["column"], alarm["check"]) for alarm in found["page"]] == [
        (alarm.column, alarm.check) for alarm in expected.page
    ]
    effects = [row["effect"] for row in found["table"] if row["effect"] is not None]
    own = expected.to_frame()["effect"].dropna()
    np.testing.assert_allclose(effects, own, rtol=1e-9, atol=1e-12)


def test_a_stored_profile_serves_as_the_reference(files, tmp_path):
    stored = tmp_path / "reference.json"
    good("profile", files / "reference.csv", "-o", stored, "--target", "clicked")
    options = ["--json", "-", "--fail-on", "never"]
    from_profile = good("drift", stored, files / "shifted.csv", *options)
    target = ["--target", "clicked"]
    from_rows = good("drift", files / "reference.csv", files / "shifted.csv", *options, *target)
    assert json.loads(from_profile.stdout) == json.loads(from_rows.stdout)
    assert "target" in {row["check"] for row in json.loads(from_profile.stdout)["table"]}


def test_target_and_prediction_are_no_features(files):
    options = ["--target", "clicked", "--prediction", "score", "--json", "-"]
    result = good("drift", files / "reference.csv", files / "same.csv", *options)
    rows = {(row["column"], row["check"]) for row in json.loads(result.stdout)["table"]}
    assert {("target", "target"), ("prediction", "prediction")} <= rows
    assert {column for column, _ in rows}.isdisjoint({"clicked", "score"})


@pytest.mark.parametrize(
    ("live", "fail_on", "code"),
    [
        ("shifted", "page", 1),
        ("shifted", "watch", 1),
        ("shifted", "never", 0),
        ("watched", "page", 0),
        ("watched", "watch", 1),
        ("watched", "never", 0),
        ("same", "watch", 0),
    ],
)
def test_fail_on_decides_what_1_stands_for(files, tmp_path, live, fail_on, code):
    name = files / f"{live}.csv"
    if live == "watched":  # a new column is watched, as a rule
        name = tmp_path / "watched.csv"
        table(1000, 1).assign(new=1).to_csv(name, index=False)
    good("drift", files / "reference.csv", name, "--fail-on", fail_on, code=code)


def test_ignored_columns_are_not_compared(files):
    arguments = ["drift", files / "reference.csv", files / "shifted.csv", "--json", "-"]
    result = good(*arguments, "--ignore", "price", "--ignore", "at")
    names = {row["column"] for row in json.loads(result.stdout)["table"]}
    assert "items" in names
    assert names.isdisjoint({"price", "at"})


def test_html_is_written_and_named_after_the_files(files, tmp_path):
    page = tmp_path / "report.html"
    good("drift", files / "reference.csv", files / "shifted.csv", "--html", page, code=1)
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "Drift of shifted.csv against reference.csv" in text
    only = good("drift", files / "reference.csv", files / "shifted.csv", "--html", "-", code=1)
    assert only.stdout.strip() == text.strip()


def test_options_reach_the_monitor(files):
    def report(*options):
        arguments = ["drift", files / "reference.csv", files / "same.csv", *options]
        return json.loads(good(*arguments, "--json", "-").stdout)

    assert report()["alpha"] == pytest.approx(1 / 91)
    busy = report("--false-pages-per-quarter", "2", "--runs-per-day", "24")
    assert busy["alpha"] == pytest.approx(2 / (91 * 24))
    assert report("--min-effect", "0.5")["min_effect"] == 0.5


def test_a_broken_declaration_pages(files, tmp_path):
    expect = tmp_path / "expect.json"
    expect.write_text('{"price": {"range": [0, null]}, "shop": {"allowed": ["north", "south"]}}')
    arguments = ["drift", files / "reference.csv", files / "same.csv", "--expect", expect]
    found = json.loads(good(*arguments, "--json", "-", code=1).stdout)
    assert [(alarm["column"], alarm["check"]) for alarm in found["page"]] == [("shop", "declared")]


def test_segments_and_seasons(files):
    arguments = ["drift", files / "reference.csv", files / "shifted.csv", "--json", "-"]
    found = json.loads(good(*arguments, "--segments", "shop", code=1).stdout)
    assert {alarm["segment"] for alarm in found["page"]} == {"", "north", "south", "007"}
    result = good(*arguments, "--season", "shop", code=2)
    assert "holds rows of 3 seasons" in result.stderr


def test_a_season_is_compared_with_its_like(tmp_path):
    rng = np.random.default_rng(0)
    days = np.repeat(["sat", "mon"], 1000)
    frame = pd.DataFrame({"day": days, "sales": rng.normal(np.where(days == "sat", 9, 5), 1)})
    frame.to_csv(tmp_path / "ref.csv", index=False)
    live = pd.DataFrame({"day": "sat", "sales": rng.normal(9, 1, 500)})
    live.to_csv(tmp_path / "live.csv", index=False)
    arguments = ["drift", tmp_path / "ref.csv", tmp_path / "live.csv"]
    assert json.loads(good(*arguments, "--season", "day", "--json", "-").stdout)["season"] == "sat"
    good(*arguments, "--ignore", "day", code=1)


def test_an_identifier_is_named_as_one(tmp_path):
    for name, start in (("ref", 0), ("live", 10_000)):
        ids = [f"u{start + row}" for row in range(1000)]
        pd.DataFrame({"user": ids, "x": np.arange(1000) % 7}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    result = run("drift", tmp_path / "ref.csv", tmp_path / "live.csv")
    assert "--ignore user" in result.stderr
    assert "--ignore user" not in result.stdout
    result = good("drift", tmp_path / "ref.csv", tmp_path / "live.csv", "--ignore", "user")
    assert result.stderr == ""


# --- the types of a CSV


def small_chunks(monkeypatch, rows):
    monkeypatch.setattr(_csv, "rows_a_chunk", lambda n_columns: rows)


def read(path, like=None):
    return all_rows(open_table(str(path), like=like, ignore=NOTHING))


FIELDS = {
    "whole": st.integers(-5, 5).map(str),
    "whole or nothing": st.one_of(st.integers(-5, 5).map(str), st.just("")),
    "number": st.floats(-1e6, 1e6).map(repr),
    "flag": st.sampled_from(["True", "False", ""]),
    "date": st.sampled_from(["2026-01-02", "2026-01-02T03:04:05", ""]),
    "anything": st.sampled_from(["1", "2.5", "", "True", "2026-01-02", "x"]),
}


@given(data=st.data(), rows=st.integers(1, 12), size=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_types_do_not_depend_on_the_parts(data, rows, size, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    columns = {
        name: data.draw(st.lists(field, min_size=rows, max_size=rows), label=name)
        for name, field in FIELDS.items()
    }
    pd.DataFrame({"row": range(rows)} | columns).to_csv(path, index=False)
    whole = read(path)
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch, size)
        parts = read(path)
    for name, values in columns.items():
        pd.testing.assert_series_equal(parts[name], whole[name])
        assert parts[name].isna().tolist() == [value == "" for value in values]


def test_types_are_settled_over_the_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text(
        "late_float,late_text,late_null,flag,day,empty\n"
        "1,1,1,True,2026-01-01,\n2,2,2,,2026-01-02,\n1,3,3,False,,\n2.5,four,,True,2026-01-04,\n"
    )
    small_chunks(monkeypatch, 1)
    frame = read(path)
    assert frame["late_float"].tolist() == [1.0, 2.0, 1.0, 2.5]
    assert frame["late_text"].tolist() == ["1", "2", "3", "four"]
    assert frame["late_null"].dtype == "float64"
    assert frame["flag"].dtype == "boolean"
    assert frame["day"].dtype.kind == "M"
    assert frame["empty"].isna().all()


def test_what_only_looks_like_a_date_is_text(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n2026-01-02,2026-01-02\n2026-13-45,2026-01-02x\n")
    frame = read(tmp_path / "t.csv")
    assert frame["a"].tolist() == ["2026-01-02", "2026-13-45"]
    assert frame["b"].tolist() == ["2026-01-02", "2026-01-02x"]


def test_text_of_the_reference_is_read_as_text(tmp_path):
    reference = Profile.from_frame(pd.DataFrame({"code": ["007", "x", None], "note": ["a"] * 3}))
    (tmp_path / "live.csv").write_text("code,note\n007,\n012,\n")
    frame = read(tmp_path / "live.csv", like=reference)
    assert frame["code"].tolist() == ["007", "012"]
    live = Profile.from_frame(frame, like=reference)
    assert live.retyped == {}
    assert live["note"].n_null == 2


def test_a_number_that_became_text_is_retyped_and_no_error(files, tmp_path):
    live = table(1000, 1).astype({"price": object})
    live.loc[900, "price"] = "n/k"
    live.to_csv(tmp_path / "live.csv", index=False)
    result = good("drift", files / "reference.csv", tmp_path / "live.csv", "--json", "-", code=1)
    (alarm,) = json.loads(result.stdout)["page"]
    assert (alarm["column"], alarm["check"]) == ("price", "schema")
    assert "type" in alarm["sentence"]


def test_row_numbers_without_a_name_are_left_out_and_told_of(tmp_path):
    for name in ("ref", "live"):
        table(500, 3).to_csv(tmp_path / f"{name}.csv")  # with the index
    result = good("drift", tmp_path / "ref.csv", tmp_path / "live.csv")
    assert result.stderr.count("column 1 has no name and is left out") == 2


@pytest.mark.parametrize(
    "text", ["a;b\n1,5;x\n2,5;y\n", "\ufeffa,b\n1,x\n2,y\n", "a|b\n1|x\n2|y\n"]
)
def test_separators_and_marks(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    frame = read(tmp_path / "t.csv")
    assert list(frame) == ["a", "b"]
    assert frame["b"].tolist() == ["x", "y"]


def test_numbers_are_the_nearest_as_in_parquet(tmp_path):
    values = np.random.default_rng(0).normal(size=2000) * 10.0 ** np.arange(-100, 100).repeat(10)
    pd.DataFrame({"x": values}).to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(read(tmp_path / "t.csv")["x"].to_numpy(), values)


@pytest.mark.parametrize(
    ("version", "exact"), [("2.2.3", False), ("3.0.1", False), ("3.1.0", True)]
)
def test_older_pandas_is_asked_for_the_nearest_number(monkeypatch, version, exact):
    monkeypatch.setattr(_csv.pd, "__version__", version, raising=False)
    assert _csv._exact() == ({} if exact else {"float_precision": "round_trip"})


def test_parquet_comes_in_parts(files, monkeypatch):
    from mlsd.cli import _parquet

    monkeypatch.setattr(_parquet, "rows_a_chunk", lambda n_columns: 700)
    opened = open_table(str(files / "reference.parquet"), ignore=frozenset({"at"}))
    assert [part.num_rows for part in opened.chunks()] == [700, 700, 700, 700, 200]
    expected = table(3000, 0).drop(columns="at")
    pd.testing.assert_frame_equal(
        all_rows(opened).to_pandas(), expected, check_dtype=False, check_column_type=False
    )


# --- refusals


def write_bad(folder):
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (folder / "long.csv").write_text("a,b\n1,2,3\n1,2,3\n")
    (folder / "double.csv").write_text("a,a\n1,2\n")
    (folder / "latin.csv").write_bytes("name\nZürich\n".encode("latin-1"))
    (folder / "umlaut.csv").write_bytes("größe\n1\n".encode("latin-1"))
    (folder / "latin.json").write_bytes('{"größe": {}}'.encode("latin-1"))
    (folder / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 5000)[:40])
    (folder / "plain.csv.gz").write_text("a,b\n1,2\n")
    (folder / "plain.parquet").write_text("a,b\n1,2\n")
    (folder / "none.parquet").write_bytes(b"")
    (folder / "table.xlsx").write_bytes(b"PK")
    (folder / "broken.json").write_text('{"kind": "pro')
    (folder / "other.json").write_text('{"a": 1}')
    (folder / "list.json").write_text("[1]")
    (folder / "key.json").write_text('{"price": {"nulable": false}}')
    (folder / "range.json").write_text('{"price": {"range": [3, 1]}}')
    (folder / "rate.json").write_text('{"price": {"max_null_rate": "x"}}')
    (folder / "column.json").write_text('{"prize": {"nullable": false}}')
    (folder / "line.txt").write_text("q1 0 a 1\nq1 0 b\n")
    table(20, 0).to_csv(folder / "few.csv", index=False)


R, S = "{files}/reference.csv", "{files}/same.csv"
BAD = {
    "no file": (["drift", "{bad}/absent.csv", S], r"absent\.csv: No such file"),
    "a folder": (["profile", "{bad}"], r"by the ending of the name"),
    "an unknown format": (["profile", "{bad}/table.xlsx"], r"table\.xlsx: tables are read from"),
    "an empty file": (["profile", "{bad}/empty.csv"], r"empty\.csv is empty"),
    "only a header": (["profile", "{bad}/header.csv"], r"header\.csv has a header and no row"),
    "a ragged line": (["profile", "{bad}/ragged.csv"], r"ragged\.csv cannot be read.* line 3"),
    "long lines": (["profile", "{bad}/long.csv"], r"long\.csv cannot be read as CSV"),
    "double names": (["profile", "{bad}/double.csv"], r"several columns of the name \['a'\]"),
    "latin-1": (["profile", "{bad}/latin.csv"], r"latin\.csv is not UTF-8"),
    "a latin-1 header": (["profile", "{bad}/umlaut.csv"], r"umlaut\.csv is not UTF-8"),
    "all ignored": (
        ["profile", "{bad}/header.csv", "--ignore", "a", "--ignore", "b"],
        r"no column",
    ),
    "expect in latin-1": (["drift", R, S, "--expect", "{bad}/latin.json"], r"json is not UTF-8"),
    "a cut gzip": (["profile", "{bad}/cut.csv.gz"], r"cut\.csv\.gz cannot be unpacked"),
    "no gzip": (["profile", "{bad}/plain.csv.gz"], r"plain\.csv\.gz cannot be unpacked"),
    "no parquet": (["profile", "{bad}/plain.parquet"], r"plain\.parquet is not a Parquet file"),
    "no bytes": (["profile", "{bad}/none.parquet"], r"none\.parquet is not a Parquet file"),
    "a corrupt profile": (["drift", "{bad}/broken.json", S], r"broken\.json is no profile"),
    "another json": (["drift", "{bad}/other.json", S], r"other\.json is no profile"),
    "a profile as live": (["drift", R, "{bad}/other.json"], r"the rows of a table are needed"),
    "options of rows": (["drift", "{bad}/other.json", S, "--target", "x"], r"--target cannot be"),
    "no such target": (["drift", R, S, "--target", "clack"], r"--target clack: .* price, items"),
    "no such segment": (["drift", R, S, "--segments", "b"], r"--segments b: .*no such column"),
    "nothing to ignore": (["drift", R, S, "--ignore", "prize"], r"--ignore prize: neither"),
    "nothing to leave out": (["profile", R, "--ignore", "prize"], r"--ignore prize: "),
    "few rows": (["drift", R, "{bad}/few.csv"], r"few\.csv has 20 rows; min_rows=100 are"),
    "few of the reference": (["drift", "{bad}/few.csv", S], r"few\.csv has 20 reference rows"),
    "few by segment": (
        ["drift", R, "{bad}/few.csv", "--segments", "shop"],
        r"few\.csv has 20 rows",
    ),
    "expect is no json": (["drift", R, S, "--expect", "{bad}/broken.json"], r"is not JSON"),
    "expect is a list": (["drift", R, S, "--expect", "{bad}/list.json"], r"an object of columns"),
    "expect key": (
        ["drift", R, S, "--expect", "{bad}/key.json"],
        r"key\.json: expect\['price'\] has the unknown keys \['nulable'\]",
    ),
    "expect range": (["drift", R, S, "--expect", "{bad}/range.json"], r"\['price'\]\['range'\]"),
    "expect rate": (["drift", R, S, "--expect", "{bad}/rate.json"], r"\['max_null_rate'\] must be"),
    "expect column": (["drift", R, S, "--expect", "{bad}/column.json"], r"'prize'"),
    "budget": (["drift", R, S, "--false-pages-per-quarter", "0"], r"false_pages_per_quarter"),
    "no folder": (["drift", R, S, "--html", "{bad}/no/r.html"], r"there is no folder .*no"),
    "a folder to write": (["drift", R, S, "--json", "{bad}"], r"this is a folder"),
    "an input": (["drift", R, "{bad}/few.csv", "--html", "{bad}/few.csv"], r"would overwrite"),
    "its own input": (["profile", R, "-o", R], r"would overwrite"),
    "both on stdout": (["drift", R, S, "--html", "-", "--json", "-"], r"both claim stdout"),
    "no qrels": (["evaluate", "{bad}/absent.txt", "{files}/run.txt"], r"No such file"),
    "a bad line": (["evaluate", "{bad}/line.txt", "{files}/run.txt"], r"line\.txt, line 2"),
    "a metric": (["evaluate", "{files}/qrels.txt", "{files}/run.txt", "-m", "ndgc"], r"'ndgc'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_sentence_and_exit_code_2(files, tmp_path, name):
    arguments, message = BAD[name]
    write_bad(tmp_path)
    result = run(*(argument.format(files=files, bad=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_parquet_without_pyarrow_says_how_to_get_it(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = good("profile", files / "reference.parquet", code=2)
    assert 'pip install "mlsd[parquet]"' in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ZeroDivisionError("boom"), 2, "a fault of mlsd"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (TypeError("a must be a number"), 2, "Error: a must be a number"),
    ],
)
def test_no_crash_looks_like_a_page(files, monkeypatch, error, code, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(_drift, "open_table", fail)
    result = good("drift", files / "reference.csv", files / "same.csv", code=code)
    assert said in result.stderr
    assert result.stdout == ""


def test_a_type_error_that_nobody_raised_is_a_fault(files, monkeypatch):
    monkeypatch.setattr(_drift, "open_table", lambda *_, **__: 1 + "")
    result = good("drift", files / "reference.csv", files / "same.csv", code=2)
    assert "a fault of mlsd" in result.stderr
    assert "Traceback" in result.stderr
    assert result.stdout == ""


def test_unknown_options_and_commands_leave_with_2():
    assert run("drift", "--nonsense").exit_code == 2
    assert run("drfit").exit_code == 2


def test_help_names_the_exit_codes():
    for command in ([], ["drift"], ["profile"], ["evaluate"]):
        text = good(*command, "--help").stdout
        assert "Exit codes:" in text
        assert "2" in text
    assert "--fail-on [page|watch|never]" in good("drift", "--help").stdout


def test_version():
    from mlsd import __version__

    assert good("--version").stdout == f"mlsd {__version__}\n"


# --- the bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("terminal", "patience", "shown"), [(1, 0, 1), (1, 1e9, 0), (0, 0, 0)])
def test_a_bar_for_long_work_on_a_terminal(monkeypatch, terminal, patience, shown):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(_progress, "_PATIENCE", patience)
    with _progress.Progress("Reading t.csv") as progress:
        for share in (0.25, 0.5, 1.0):
            progress.show(share)
    assert ("Reading t.csv" in stream.getvalue()) == bool(shown)
    assert ("100%" in stream.getvalue()) == bool(shown)


def test_as_a_module(files):
    done = subprocess.run(
        [sys.executable, "-m", "mlsd", "drift", files / "reference.csv", files / "shifted.csv"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "PAGE price" in done.stdout
    assert done.stderr == ""


@pytest.fixture(scope="module")
def by_day(tmp_path_factory):
    """Thirty days of 300 rows whose level differs from day to day, and one day more."""
    folder = tmp_path_factory.mktemp("days")
    rng = np.random.default_rng(4)
    level = np.repeat(rng.normal(0, 1, 31), 300)
    rows = pd.DataFrame({"x": level + rng.normal(0, 1, level.size)})
    rows.iloc[:9_000].to_csv(folder / "month.csv", index=False)
    rows.iloc[9_000:].to_parquet(folder / "today.parquet")
    (rows.iloc[9_000:] + 20).to_csv(folder / "wrong.csv", index=False)
    return folder


def test_calibrate_quietens_days_and_still_pages_for_a_fault(by_day):
    month, today = by_day / "month.csv", by_day / "today.parquet"
    good("drift", month, today, code=1)
    calm = good("drift", month, today, "--calibrate")
    assert "Pages on clean windows of 300 rows: 100.0% before" in calm.stderr
    assert "x" in good("drift", month, by_day / "wrong.csv", "--calibrate", code=1).stdout


def test_calibrate_needs_the_rows_in_order(by_day, files, tmp_path):
    month, today = by_day / "month.csv", by_day / "today.parquet"
    good("profile", month, "-o", tmp_path / "month.json")
    for arguments, why in [
        ((tmp_path / "month.json", today), "cannot be used with the stored profile"),
        ((month, today, "--season", "x"), "cannot be used with --season"),
        ((today, month), "windows are needed"),
    ]:
        result = good("drift", *arguments, "--calibrate", code=2)
        assert why in result.stderr
        assert "Traceback" not in result.stderr
