"""Domain classifier: against scikit-learn's folds, what separates, and bad input."""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from mlsd.drift.domain import domain_auc


def rows(rng, n, sign=1):
    a, b, c = rng.normal(size=(3, n))
    return pd.DataFrame({"a": a, "b": sign * 0.6 * a + 0.8 * b, "c": c})


def test_boosting_sees_a_flipped_correlation_that_logistic_regression_does_not():
    rng = np.random.default_rng(0)
    ref, live = rows(rng, 2000), rows(rng, 2000, -1)
    boosted = domain_auc(ref, live, random_state=0)
    assert 0.72 < boosted.value < 0.84
    assert boosted.lower < boosted.value < boosted.upper
    assert boosted.p_value < 1e-12
    table = boosted.to_frame()
    assert set(table["column"][:2]) == {"a", "b"}
    assert (table["drop"][:2] > 0.15).all()
    assert abs(table["drop"][2]) < 0.02
    assert table["alone"].between(0.45, 0.55).all()
    linear = domain_auc(ref, live, estimator=LogisticRegression(), random_state=0)
    assert linear.value == pytest.approx(0.5, abs=0.05)
    assert linear.p_value > 0.01


def test_folds_are_stratified_and_pairs_of_all_weigh_alike():
    rng = np.random.default_rng(1)
    ref, live = rows(rng, 203), rows(rng, 101).add([1, 0, 0])

    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append((X.to_numpy(), y))
            return super().fit(X, y)

    result = domain_auc(ref, live, estimator=Spy(), cv=4, random_state=0)
    pooled = np.vstack((ref, live))
    truth = np.r_[np.zeros(203), np.ones(101)]
    values, weights = [], []
    for X, y in seen:
        test = ~(pooled[:, None, 0] == X[None, :, 0]).any(axis=1)
        assert 49 <= (1 - truth[test]).sum() <= 52
        assert 25 <= truth[test].sum() <= 26
        score = LogisticRegression().fit(X, y).predict_proba(pooled[test])[:, 1]
        values.append(roc_auc_score(truth[test], score))
        weights.append(truth[test].sum() * (1 - truth[test]).sum())
    assert result.fold_values == pytest.approx(values)
    assert result.value == pytest.approx(np.average(values, weights=weights))
    assert len(values) == 4


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), DecisionTreeClassifier(max_leaf_nodes=6, random_state=0)]
)
def test_no_change_is_no_alarm(estimator):
    rng = np.random.default_rng(2)
    with threadpool_limits(1):
        results = [
            domain_auc(rows(rng, 150), rows(rng, 100), estimator=estimator, random_state=rng)
            for _ in range(60)
        ]
    assert np.mean([result.p_value < 0.05 for result in results]) <= 0.12
    assert np.mean([result.lower <= 0.5 <= result.upper for result in results]) >= 0.88
    assert np.mean([result.value for result in results]) == pytest.approx(0.5, abs=0.02)


def test_columns_that_separate_trivially_are_named_and_can_be_left_out():
    rng = np.random.default_rng(3)
    ref, live = rows(rng, 300), rows(rng, 300)
    ref["time"] = pd.date_range("2025-01-01", periods=300, freq="h")
    live["time"] = pd.date_range("2025-03-01", periods=300, freq="h")
    ref["id"], live["id"] = np.arange(300), np.arange(300, 600)
    ref["session"] = [f"r{i}" for i in range(300)]
    live["session"] = [f"l{i}" for i in range(300)]
    ref["shop"], live["shop"] = rng.choice(list("xy"), 300), rng.choice(list("xy"), 300)
    live["price"], ref["price"] = rng.normal(6, 1, 300), rng.normal(0, 2, 300)
    result = domain_auc(ref, live, random_state=0)
    assert set(result.separating) == {"time", "id", "session", "price"}
    assert result.separating["time"] == "ranges without overlap"
    assert result.separating["session"] == "no value in common"
    assert result.separating["price"].startswith("AUC 0.9")
    assert result.value > 0.99
    assert "time (ranges without overlap)" in str(result)
    rest = domain_auc(ref, live, omit=list(result.separating), random_state=0)
    assert rest.value == pytest.approx(0.5, abs=0.1)
    assert rest.separating == {}
    assert rest.excluded == dict.fromkeys(result.separating, "omitted")


def test_categories_and_nulls_tell_too():
    rng = np.random.default_rng(4)
    ref = pd.DataFrame({"shop": rng.choice(list("xyz"), 600), "x": rng.normal(size=600)})
    live = pd.DataFrame({"shop": rng.choice(list("xyz"), 600), "x": rng.normal(size=600)})
    live.loc[rng.random(600) < 0.4, "shop"] = None
    result = domain_auc(ref, live, random_state=0)
    # NULL alone: 40 % of live rows are told from all, the rest is a toss.
    assert result.value == pytest.approx(0.7, abs=0.05)
    table = result.to_frame()
    assert table.loc[0, "column"] == "shop"
    assert table.loc[0, "alone"] == pytest.approx(0.7, abs=0.05)
    gone = live.assign(shop="x", x=np.where(rng.random(600) < 0.4, np.nan, live["x"]))
    numeric = domain_auc(ref.assign(shop="x"), gone, random_state=0).to_frame()
    assert numeric.loc[0, "column"] == "x"


def test_what_the_estimator_gets():
    seen = []

    class Spy(DummyClassifier):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    ref = pd.DataFrame(
        {
            "n": pd.array([1, None] * 10, dtype="Int64"),
            "flag": [True, False] * 10,
            "when": [pd.Timestamp("1970-01-03"), pd.NaT] * 10,
            "word": ["a", None] * 10,
            "gone": 1,
        }
    )
    result = domain_auc(pl.from_pandas(ref), ref.drop(columns="gone"), estimator=Spy(), cv=2)
    got = seen[0]
    assert 0 < got["n"].isna().sum() < 20
    assert got["n"].isna().equals(got["word"].isna())
    assert got["flag"].dtype == np.float64
    assert set(got["when"].dropna()) == {2.0}
    assert isinstance(got["word"].dtype, pd.CategoricalDtype)
    assert result.value == 0.5
    assert result.excluded == {"gone": "missing in X_live"}


def test_many_levels_share_one_category():
    rng = np.random.default_rng(5)
    words = [f"w{i}" for i in range(600)]
    ref, live = (pd.DataFrame({"w": rng.permutation(words)}) for _ in range(2))
    seen = []

    class Spy(DummyClassifier):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    domain_auc(ref, live, estimator=Spy(), cv=2, random_state=0)
    assert len(seen[0]["w"].cat.categories) == 251
    assert domain_auc(ref, live, random_state=0).value == pytest.approx(0.5, abs=0.1)


def test_rows_are_sampled_and_counted_and_a_seed_repeats_them():
    rng = np.random.default_rng(6)
    ref, live = rows(rng, 500), rows(rng, 60)
    options = {"estimator": LogisticRegression(), "max_rows": 100}
    result = domain_auc(ref, live, random_state=0, **options)
    assert (result.n_ref, result.n_live, result.rows_ref, result.rows_live) == (100, 60, 500, 60)
    assert "100 of 500 rows" in str(result)
    again = domain_auc(ref, live, random_state=0, **options)
    assert again == result
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())
    assert domain_auc(ref, live, random_state=1, **options) != result


def test_a_decision_function_will_do():
    rng = np.random.default_rng(7)
    ref, live = rows(rng, 200), rows(rng, 200) + 1
    assert domain_auc(ref, live, estimator=LinearSVC(), random_state=0).value > 0.7


FRAME = rows(np.random.default_rng(8), 20)


class Silent(DummyClassifier):
    predict_proba = property()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: domain_auc(FRAME, FRAME, cv=1), ValueError, "cv must be at least 2; got 1"),
        (lambda: domain_auc(FRAME, FRAME, cv=2.0), TypeError, "cv must be an integer"),
        (lambda: domain_auc(FRAME, FRAME, max_rows=3), ValueError, "max_rows must be at least 10"),
        (lambda: domain_auc(FRAME, FRAME.head(9)), ValueError, "X_live has 9 rows: at least 10"),
        (lambda: domain_auc(FRAME, FRAME, level=0), ValueError, "level must lie"),
        (lambda: domain_auc(FRAME, FRAME, omit="a"), TypeError, "omit must be a list"),
        (lambda: domain_auc(FRAME, FRAME, columns="a"), TypeError, "columns must be a list"),
        (lambda: domain_auc(FRAME, FRAME[[]]), ValueError, "X_live has no rows|share no column"),
        (lambda: domain_auc(FRAME, FRAME, omit=list("abc")), ValueError, "share no column"),
        (lambda: domain_auc(FRAME, [1]), TypeError, "X_live must be a table"),
        (
            lambda: domain_auc(FRAME, FRAME, estimator=Silent()),
            TypeError,
            "must have predict_proba or decision_function; got Silent",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_the_null_spread_is_that_of_all_ways_to_deal_the_ranks():
    """Every choice of 4 live rows among 8 in the order of their scores is as likely as any."""
    aucs = [
        np.mean([[place > other for other in range(8) if other not in live] for place in live])
        for live in itertools.combinations(range(8), 4)
    ]
    frame = rows(np.random.default_rng(9), 4)
    result = domain_auc(frame, frame, estimator=DummyClassifier(), cv=2)
    # Nadeau and Bengio's 1 + k / (k - 1), which is 3 for two folds.
    assert result.null_sd == pytest.approx(np.std(aucs) * np.sqrt(3))
    other = rows(np.random.default_rng(10), 50)
    wider = domain_auc(
        rows(np.random.default_rng(9), 30), other, estimator=LogisticRegression(), random_state=0
    )
    u_sd = np.sqrt(30 * 50 * (30 + 50 + 1) / 12)  # of Mann and Whitney's U
    assert wider.null_sd == pytest.approx(u_sd / (30 * 50) * 1.5)
    assert wider.p_value == pytest.approx(norm.sf((wider.value - 0.5) / wider.null_sd))


@pytest.mark.parametrize(
    "names", [(0, 1), ("self", "a"), (1, "1"), (("a", 1), "b"), (pd.Timestamp("2025-01-01"), "b")]
)
def test_any_name_of_a_column_will_do(names):
    rng = np.random.default_rng(11)
    ref, live = (
        pd.DataFrame({name: rng.normal(at * shift, size=60) for at, name in enumerate(names)})
        for shift in (0, 2)
    )
    frames = [frame.set_axis(pd.Index(names, tupleize_cols=False), axis=1) for frame in (ref, live)]
    result = domain_auc(*frames, estimator=LogisticRegression(), random_state=0)
    table = result.to_frame()
    assert list(table["column"]) == [names[1], names[0]]
    assert table["drop"][0] > 0.2 > abs(table["drop"][1])


def test_times_with_a_zone_are_times_and_timedeltas_are_seconds():
    seen = []

    class Spy(DummyClassifier):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X, y)

    berlin = pd.Timestamp("1970-01-03 01:00", tz="Europe/Berlin")  # midnight of UTC
    one = pd.DataFrame({"when": [berlin, pd.NaT] * 10, "lasts": [pd.Timedelta("1h"), pd.NaT] * 10})
    day = pd.Series([datetime.date(1970, 1, 3), None] * 10, dtype=object)
    loose = pd.Series([datetime.timedelta(hours=1), None] * 10, dtype=object)
    for other in (one, pl.from_pandas(one), one.assign(when=day, lasts=loose)):
        domain_auc(one, other, estimator=Spy(), cv=2)
        assert set(seen[-1]["when"].dropna()) == {2.0}
        assert set(seen[-1]["lasts"].dropna()) == {3600.0}


def test_a_later_time_with_a_zone_is_drift():
    rng = np.random.default_rng(12)
    ref, live = (
        pd.DataFrame(
            {
                "when": pd.Timestamp("2025-01-01", tz="Europe/Berlin")
                + pd.to_timedelta(rng.uniform(0, 86_400, 300) + later, "s")
            }
        )
        for later in (0, 43_200)
    )
    tree = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0)
    result = domain_auc(ref, live, estimator=tree, random_state=0)
    # Half a day later: where both have rows, a quarter of all pairs, every other pair is lost.
    assert result.value == pytest.approx(0.875, abs=0.05)
    assert list(result.to_frame()["kind"]) == ["datetime"]
    assert not result.separating
