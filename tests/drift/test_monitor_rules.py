"""Declarations, the schema and constant columns: what pages without a p-value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlsd.drift import DriftMonitor, Profile

N = 1_000


def table(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, size=n).astype(float),
            "price": rng.lognormal(size=n),
            "shop": rng.choice(["a", "b", "c"], size=n),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 999, n), "h"),
        }
    )


@pytest.fixture(scope="module")
def reference():
    return table(10_000, 1)


@pytest.fixture
def live():
    return table(N, 2)


def rules(report):
    return {(alarm.column, alarm.check) for alarm in report.page if alarm.is_rule}


def expecting(reference, **expect):
    return DriftMonitor(expect=expect).fit(reference)


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ({"nullable": False}, (0, None), "age: 1 of 1,000 values (0.1 %) are NULL; declared is"),
        ({"max_null_rate": 0.0005}, (0, None), "declared is at most 0.05 %"),
        ({"range": (0, 120)}, (0, 121), "the largest value is 121; declared is 0 to 120"),
        ({"range": (18, None)}, (0, -1), "the smallest value is -1; declared is at least 18"),
        ({"range": (None, 120)}, (0, 1e6), "the largest value is 1,000,000; declared is at most"),
        ({"range": (0, 120)}, (0, np.inf), "1 values are infinite"),
    ],
)
def test_one_value_breaks_a_declaration(reference, live, rule, change, said):
    monitor = expecting(reference, age=rule)
    assert not rules(monitor.compare(live))
    row, value = change
    broken = live.copy()
    broken.loc[row, "age"] = value
    (alarm,) = [alarm for alarm in monitor.compare(broken).page if alarm.is_rule]
    assert (alarm.column, alarm.check) == ("age", "declared")
    assert said in alarm.sentence
    assert alarm.first


def test_a_rule_that_holds_is_a_row_of_the_table(reference, live):
    rows = expecting(reference, age={"nullable": False}).compare(live).to_frame()
    (row,) = rows[rows["check"] == "declared"].to_dict("records")
    assert row["verdict"] == "ok"
    assert np.isnan(row["p"])


def test_a_declared_range_replaces_that_of_the_reference(reference, live):
    beyond = live.assign(age=live["age"] + (np.arange(N) < 50) * 60.0)
    assert ("age", "range") in {
        (alarm.column, alarm.check) for alarm in DriftMonitor().fit(reference).compare(beyond).page
    }
    rows = expecting(reference, age={"range": (0, 200)}).compare(beyond).to_frame()
    assert not ((rows["column"] == "age") & (rows["check"] == "range")).any()


def test_allowed_categories(reference, live):
    monitor = expecting(reference, shop={"allowed": ["a", "b", "c", "d"]})
    coming = live.assign(shop=live["shop"].mask(np.arange(N) < 5, "d"))
    assert not rules(monitor.compare(coming))
    wrong = live.assign(shop=live["shop"].mask(np.arange(N) < 2, "x"))
    (alarm,) = [alarm for alarm in monitor.compare(wrong).page if alarm.is_rule]
    assert "2 of 1,000 values (0.2 %) are not among the allowed categories: 'x' (2)" in (
        alarm.sentence
    )


def test_allowed_beyond_what_is_kept_by_name_is_unchecked(reference):
    names = [f"n{at:04d}" for at in range(1_000)]
    many = reference.assign(shop=np.resize(names, len(reference)))
    monitor = DriftMonitor(expect={"shop": {"allowed": names}}).fit(many)
    report = monitor.compare(many.head(N))
    assert not rules(report)
    assert any("whether they are allowed is not known" in line.reason for line in report.unchecked)


def test_schema(reference, live):
    broken = live.drop(columns="price").assign(age=live["age"].astype(str), extra=1)
    report = DriftMonitor().fit(reference).compare(broken)
    assert rules(report) == {("price", "schema"), ("age", "schema")}
    said = {alarm.column: alarm.sentence for alarm in (*report.page, *report.watch)}
    assert said["price"] == "price: the column is missing"
    assert said["age"] == "age: the type is str, float64 in the reference"
    assert said["extra"] == "extra: a new column that the reference does not have"
    assert [alarm.column for alarm in report.watch] == ["extra"]
    assert {"price", "age"} <= {line.column for line in report.unchecked}


def test_columns_in_another_order_are_watched(reference, live):
    report = DriftMonitor().fit(reference).compare(live[["price", "age", "shop", "when"]])
    assert not report.page
    (alarm,) = report.watch
    assert (
        alarm.sentence == "the columns come in another order: 2 are in another place (price, age)"
    )


def test_a_column_may_be_optional_or_required(reference, live):
    optional = expecting(reference, price={"required": False}).compare(live.drop(columns="price"))
    assert not rules(optional)
    assert ("price", "schema") in {(alarm.column, alarm.check) for alarm in optional.watch}
    required = expecting(reference, coming={"required": True})
    assert ("coming", "declared") in rules(required.compare(live))
    assert not rules(required.compare(live.assign(coming=1.0)))


@pytest.mark.parametrize(("column", "value"), [("price", 0.0), ("shop", "a"), ("shop", "new")])
def test_a_column_that_became_constant(reference, live, column, value):
    report = DriftMonitor().fit(reference).compare(live.assign(**{column: value}))
    assert (column, "constant") in rules(report)


@pytest.mark.parametrize("value", [1.0, "a", True])
def test_what_was_all_null_may_become_constant(reference, live, value):
    """The check of NULLs tells of it; a commonest value there was none."""
    monitor = DriftMonitor().fit(reference.assign(price=pd.Series(dtype=type(value))))
    report = monitor.compare(live.assign(price=pd.Series([value] * N, dtype=type(value))))
    found = {(alarm.column, alarm.check) for alarm in report.page}
    assert ("price", "constant") not in found
    assert found & {("price", "null"), ("price", "schema")}


@pytest.mark.parametrize(
    ("when", "verdict"),
    [
        ("1970-01-01", "page"),
        ("2026-01-03 04:05:06", "watch"),
        ("2025-12-31", "watch"),  # a default of long ago it is not
        ("2026-05-01", None),  # the rows of a later day
        ("9999-12-31", "watch"),
    ],
)
def test_times_that_are_all_one(reference, live, when, verdict):
    live = live.assign(when=np.full(N, np.datetime64(when, "s")))
    report = DriftMonitor().fit(reference).compare(live)
    found = {alarm.column: alarm for alarm in (*report.page, *report.watch)}
    assert (found["when"].verdict if "when" in found else None) == verdict
    if verdict:
        assert f"all 1,000 values are {when.replace(' ', 'T')}; in the" in found["when"].sentence


def test_times_that_vary_or_never_did(reference, live):
    monitor = DriftMonitor().fit(reference)
    assert not monitor.compare(live.assign(when=live["when"] - pd.Timedelta(days=9_999))).page
    flat = reference.assign(when=pd.Timestamp("2026-01-01"))
    early = live.assign(when=pd.Timestamp("1970-01-01"))
    report = DriftMonitor().fit(flat).compare(early)
    assert not report.page
    assert not report.watch


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "all 1,000 values are 0.5"), (np.nan, "all 1,000 values are NULL")]
)
def test_a_prediction_that_became_constant(reference, live, value, said):
    rng = np.random.default_rng(3)
    monitor = DriftMonitor().fit(reference, prediction=rng.random(len(reference)))
    report = monitor.compare(live, prediction=np.full(N, value))
    (alarm,) = [alarm for alarm in report.page if alarm.is_rule]
    assert (alarm.column, alarm.check) == ("prediction", "constant")
    assert said in alarm.sentence
    assert not monitor.compare(live, prediction=rng.random(N)).page
    assert not monitor.compare(live).page  # late, and no fault


def test_one_value_beyond_the_cap_is_not_known_to_be_one(reference, live):
    many = reference.assign(user=np.arange(len(reference)).astype(str))
    often = many.assign(user=many["user"].mask(np.arange(len(many)) < 2_000, "guest"))
    monitor = DriftMonitor().fit(often)
    report = monitor.compare(live.assign(user="guest"))
    assert ("user", "constant") in rules(report)
    for user in ("someone", np.arange(N).astype(str)):
        report = monitor.compare(live.assign(user=user))
        (line,) = [line for line in report.unchecked if line.check == "constant"]
        assert line.column == "user"
        assert line.reason.endswith("whether they are one and the same is not known")
    DriftMonitor().fit(many).compare(live.assign(user="someone"))  # no level is kept at all


def test_a_rare_flag_is_often_constant(reference):
    rare = reference.assign(fraud=np.arange(len(reference)) % 2_000 == 0)
    report = DriftMonitor().fit(rare).compare(rare.iloc[1:N])
    assert not report.page
    flat = reference.assign(fraud=False)
    assert not DriftMonitor().fit(flat).compare(flat.head(N)).page


def test_a_constant_of_the_reference_that_varies_pages(reference, live):
    monitor = DriftMonitor().fit(reference.assign(version=3.0))
    report = monitor.compare(live.assign(version=np.where(np.arange(N) < 500, 3.0, 4.0)))
    assert "version" in {alarm.column for alarm in report.page}


def test_rules_come_first_and_survive_a_stored_profile(reference, live):
    monitor = expecting(reference, age={"nullable": False})
    broken = live.assign(price=live["price"] * 3)
    broken.loc[0, "age"] = None
    for source in (broken, Profile.from_frame(broken, like=monitor.reference)):
        report = monitor.compare(source)
        assert report.page[0].check == "declared"
        assert "price" in {alarm.column for alarm in report.page}


def test_checks_can_be_chosen(reference, live):
    broken = live.drop(columns="price").assign(shop="a")
    monitor = DriftMonitor(checks=["null", "range"]).fit(reference)
    report = monitor.compare(broken)
    assert not report.page
    assert set(report.to_frame()["check"]) == {"null", "range"}


def test_declarations_may_be_scalars_of_numpy(reference, live):
    rules_of_age = {
        "nullable": np.False_,
        "max_null_rate": np.float32(0.25),
        "range": (np.int64(0), np.float32(120)),
    }
    monitor = expecting(reference, age=rules_of_age, price={"required": np.True_})
    again = DriftMonitor.from_json(monitor.to_json())
    plain = {"nullable": False, "max_null_rate": 0.25, "range": (0, 120)}
    for one in (monitor, again):
        assert one.expect == expecting(reference, age=plain, price={"required": True}).expect
        assert not rules(one.compare(live))


@pytest.mark.parametrize(
    ("expect", "error", "match"),
    [
        ([1], TypeError, "expect must be a dict of columns; got list"),
        ({"age": 3}, TypeError, r"expect\['age'\] must be a dict; got 3"),
        ({"age": {"nullabel": False}}, ValueError, r"unknown keys \['nullabel'\]"),
        ({"age": {"nullable": 1}}, TypeError, "must be True or False; got 1"),
        ({"age": {"nullable": np.int64(1)}}, TypeError, "must be True or False; got"),
        ({"age": {"range": (np.True_, 2)}}, TypeError, "must hold numbers"),
        ({"age": {"range": (np.nan, 2)}}, ValueError, "must rise"),
        ({"age": {"max_null_rate": np.True_}}, TypeError, "must be a number"),
        ({"age": {"max_null_rate": 2}}, ValueError, "between 0 and 1; got 2"),
        ({"age": {"max_null_rate": "2"}}, TypeError, "must be a number; got '2'"),
        ({"age": {"range": (3,)}}, ValueError, r"must be \(lowest, highest\)"),
        ({"age": {"range": (3, 1)}}, ValueError, "must rise"),
        ({"age": {"range": ("a", 1)}}, TypeError, "must hold numbers"),
        ({"shop": {"allowed": "abc"}}, TypeError, "must be a list of categories; got 'abc'"),
        ({"agee": {"nullable": False}}, ValueError, "'agee', which the reference lacks"),
        ({"shop": {"range": (0, 1)}}, ValueError, "declares a range; the column is categorical"),
        ({"age": {"allowed": ["a"]}}, ValueError, "declares categories; the column is numeric"),
    ],
)
def test_declarations_that_make_no_sense(reference, expect, error, match):
    with pytest.raises(error, match=match):
        DriftMonitor(expect=expect).fit(reference)
