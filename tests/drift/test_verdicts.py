"""From rows of checks to verdicts: what pages, what is only watched, and what may never page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, fisher_exact

from mlsd.drift import DriftMonitor, Profile
from mlsd.drift._adjust import weighted_bh, weighted_holm
from mlsd.drift._hypotheses import CHECKS, LEAST, Reference, Rows
from mlsd.drift._verdicts import verdicts

BUDGET = {"false_pages_per_quarter": 4.55}  # a chance of 5 % a run
LIMITS = {"alpha": 0.05, "watch_fdr": 0.1, "min_effect": 0.02}


def by_hand(p, *, effect=0.5, bound=0.4, weight=1.0):
    """Return rows of which only what a verdict hangs on matters."""
    p = np.asarray(p, dtype=float)
    text = np.full(p.size, "", dtype=object)
    numbers = {
        name: np.broadcast_to(np.asarray(value, dtype=float), p.shape)
        for name, value in {"effect": effect, "bound": bound, "weight": weight}.items()
    }
    rest = {
        field.name: text if field.name in ("segment", "column", "check", "measure", "reason") else p
        for field in dataclasses.fields(Rows)
    }
    return Rows(**(rest | numbers))


def compared(ref, live, **options):
    """Return the rows of the checks, by column and check."""
    reference = Profile.from_frame(ref, **options)
    sides = {key: options[key] for key in ("y", "prediction") if key in options}
    rows = Reference(reference).compare(
        Profile.from_frame(live, like=reference, **sides), CHECKS, frozenset()
    )
    names = ("column", "check", "measure", "reason", "weight", "p", "effect", "bound")
    return pd.DataFrame({name: getattr(rows, name) for name in names})


def row_of(table, column, check):
    (row,) = table[(table["column"] == column) & (table["check"] == check)].to_dict("records")
    return row


def test_what_is_sure_by_the_share_of_false_alarms_alone_does_not_page():
    rows = by_hand(np.r_[np.full(60, 0.001), np.full(40, 0.5)])
    verdict, holm, fdr = verdicts(rows, **LIMITS)
    assert (fdr[:60] < LIMITS["alpha"]).all()
    assert (holm > LIMITS["alpha"]).all()
    assert (verdict[:60] == "watch").all()
    assert (verdict[60:] == "ok").all()


def test_the_bound_decides_and_not_the_effect():
    rows = by_hand(
        [1e-9] * 4, effect=[0.3, -0.3, 0.3, 0.3], bound=[0.019, 0.019, 0.021, 0.02], weight=1
    )
    assert verdicts(rows, **LIMITS)[0].tolist() == ["watch", "watch", "page", "watch"]
    nothing_asked = LIMITS | {"min_effect": 0.0}
    no_bound = by_hand([1e-9, 0.9], bound=0.0)
    assert verdicts(no_bound, **nothing_asked)[0].tolist() == ["page", "ok"]


def test_weights_decide_who_pages():
    rows = by_hand([0.02, 0.02, np.nan], weight=[8.0, 1.0, 1.0])
    verdict, holm, fdr = verdicts(rows, **LIMITS)
    assert holm[:2] == pytest.approx([0.02 * 10 / 8, 0.02 * 2], rel=1e-12)
    assert verdict.tolist() == ["page", "page", "unchecked"]
    np.testing.assert_array_equal(holm, weighted_holm(rows.p, rows.weight))
    np.testing.assert_array_equal(fdr, weighted_bh(rows.p, rows.weight))
    even = by_hand([0.02, 0.02, np.nan])
    assert verdicts(even, **LIMITS)[0].tolist() == ["watch", "watch", "unchecked"]


def test_every_column_weighs_as_much_as_any_other():
    rng = np.random.default_rng(1)
    n = 2_000
    frame = pd.DataFrame(
        {
            "many": rng.normal(size=n),
            "few": rng.integers(0, 4, size=n),
            "flag": rng.random(n) < 0.3,
            "shop": rng.choice(list("abc"), size=n),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 999, n), "h"),
            "y": rng.integers(0, 2, size=n).astype(float),
            "score": rng.random(n),
            "guess": rng.choice(["yes", "no"], size=n),
        }
    )
    for prediction in ("score", "guess"):
        table = compared(frame, frame, y="y", prediction=prediction)
        pairs = table["check"] == "correlation"
        assert pairs.sum() > 0
        assert table.loc[pairs, "weight"].sum() == pytest.approx(1)
        by_column = table[~pairs].groupby("column")["weight"].sum()
        assert by_column.to_dict() == pytest.approx(dict.fromkeys(by_column.index, 1.0))
        assert {"many", "few", "flag", "shop", "when"} <= set(by_column.index)
        assert (table["check"] == "prediction").sum() == 1


@pytest.mark.parametrize("null", [(10, 9), (10, 0), (400, 30), (5, 60)])
def test_the_p_value_of_nulls_is_fishers(null):
    sizes = 4_000, 500
    rng = np.random.default_rng(2)
    ref, live = (
        pd.DataFrame({"x": np.where(np.arange(n) < k, np.nan, rng.normal(size=n))})
        for k, n in zip(null, sizes, strict=True)
    )
    cells = [[null[1], sizes[1] - null[1]], [null[0], sizes[0] - null[0]]]
    tails = [fisher_exact(cells, alternative=side).pvalue for side in ("less", "greater")]
    table = DriftMonitor().fit(ref).compare(live).to_frame()
    row = row_of(table, "x", "null")
    assert row["p"] == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-9)
    assert np.sign(row["effect"]) == np.sign(null[1] / sizes[1] - null[0] / sizes[0])


def test_a_bump_that_leaves_mean_and_deviation_alone_pages():
    rng = np.random.default_rng(3)
    ref = pd.DataFrame({"x": rng.normal(size=20_000)})
    sides = rng.choice([-0.8, 0.8], size=4_000)
    live = pd.DataFrame({"x": sides + 0.6 * rng.normal(size=4_000)})
    report = DriftMonitor().fit(ref).compare(live)
    row = row_of(report.to_frame(), "x", "distribution")
    assert row["verdict"] == "page"
    assert row["measure"] == "V"
    assert row["bound"] > 0.1
    # Of the three that are compared, two see nothing.
    assert abs(report.live["x"].clipped_mean - report.reference["x"].clipped_mean) < 0.03
    assert report.live["x"].clipped_std == pytest.approx(
        report.reference["x"].clipped_std, rel=0.03
    )


def test_fewer_values_than_the_laws_need_are_not_compared():
    rng = np.random.default_rng(4)
    ref = pd.DataFrame({"x": rng.normal(size=1_000), "y": rng.normal(size=1_000)})
    ref["shop"] = rng.choice(list("ab"), size=1_000)
    for known in (LEAST - 1, LEAST):
        live = ref.head(200).where(pd.Series(np.arange(200) < known))
        table = compared(ref, live)
        values = table["check"].isin(["distribution", "scale", "histogram", "categories"])
        pairs = table["check"] == "correlation"
        assert values.sum() == 7
        assert pairs.sum() == 1
        assert (table.loc[values | pairs, "p"].isna() == (known < LEAST)).all()
        reasons = set(table.loc[values, "reason"])
        assert reasons == (
            {f"{known} live values are too few: {LEAST} are needed"} if known < LEAST else {""}
        )
        assert table.loc[table["check"].isin(["null", "range", "unseen"]), "p"].notna().all()


def rare_words(rng, n, levels, power=1.0):
    """Return words that fall off like those of a language."""
    shares = 1 / np.arange(1, levels + 1) ** power
    drawn = rng.choice(levels, size=n, p=shares / shares.sum())
    return pd.DataFrame({"word": np.char.add("w", drawn.astype(str)).astype(object)})


def test_words_that_come_once_foretell_new_ones():
    """Good and Turing: without them every clean window would have categories never seen."""
    rng = np.random.default_rng(5)
    p, effect = [], []
    for _ in range(40):
        ref, live = rare_words(rng, 2_000, 2_000), rare_words(rng, 1_000, 2_000)
        counts = ref["word"].value_counts()
        row = row_of(compared(ref, live, max_categories=2_000), "word", "unseen")
        new = (~live["word"].isin(counts.index)).mean()
        once = (counts == 1).sum() / 2_000
        assert min(new, once) > 0.1
        h = 2 * np.arcsin(np.sqrt(new)) - 2 * np.arcsin(np.sqrt(once))
        assert row["effect"] == pytest.approx(h, abs=1e-12)
        p.append(row["p"])
        effect.append(row["effect"])
    assert sum(value < 0.05 for value in p) <= binom.ppf(0.999, 40, 0.05)
    assert max(map(abs, effect)) < 0.2


@pytest.mark.parametrize("levels", [150, 500, 4_000])
def test_clean_windows_of_many_categories_keep_the_budget(levels):
    """The reference met its rare categories by luck: new rows have fewer of them."""
    rng = np.random.default_rng(levels)
    paged = 0
    for _ in range(60):
        monitor = DriftMonitor(**BUDGET, min_effect=0.0)
        monitor.fit(rare_words(rng, 1_000, levels))
        paged += bool(monitor.compare(rare_words(rng, 4_000, levels)).page)
    assert paged <= binom.ppf(0.999, 60, monitor.alpha)


def test_correlations_of_pairs_with_heavy_tails_do_not_cry_wolf():
    """A scale that both share leaves r at 0 and doubles its spread: 1 / n is not its variance."""
    rng = np.random.default_rng(7)

    def pair(n):
        scale = np.exp(0.6 * rng.normal(size=(n, 1)))
        return pd.DataFrame(scale * rng.normal(size=(n, 2)), columns=["a", "b"])

    p = [row_of(compared(pair(4_000), pair(1_000)), "a ~ b", "correlation")["p"] for _ in range(60)]
    assert sum(value < 0.05 for value in p) <= binom.ppf(0.999, 60, 0.05)


@pytest.mark.parametrize("shape", ["object", "category"])
def test_a_column_of_nothing_but_nulls_has_no_other_type(shape):
    rng = np.random.default_rng(6)
    ref = rare_words(rng, 1_000, 5).assign(size=rng.integers(0, 9, size=1_000).astype(float))
    gone = pd.Series([None] * 500, dtype=object).astype(shape)
    report = (
        DriftMonitor()
        .fit(ref.astype({"word": "category"}))
        .compare(pd.DataFrame({"word": gone, "size": gone}))
    )
    assert report.live.retyped == {}
    pages = {(alarm.column, alarm.check) for alarm in report.page if alarm.is_rule}
    assert pages == {("word", "constant"), ("size", "constant")}
    other = (
        DriftMonitor()
        .fit(ref)
        .compare(pd.DataFrame({"word": pd.Categorical([1, None] * 250), "size": gone}))
    )
    assert set(other.live.retyped) == {"word"}
