"""What a world gives: its log, its frames, its clock, its twins and its drifts."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.world._candidates import CandidateSets, inclusion
from mlsd.world._log import as_of
from mlsd.world._presets import PRESETS, Preset
from mlsd.world.world import World

COLUMNS = {
    "request_id": "int64",
    "user_id": "int64",
    "time": "datetime64[s, UTC]",
    "doc_id": "int64",
    "position": "int64",
    "score": "float64",
    "propensity": "float64",
    "click": "int8",
    "dwell": "float64",
    "conversion_time": "datetime64[s, UTC]",
    "value": "float64",
    "policy": "category",
}
SMALL = {"n_users": 150, "n_items": 60}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_log(preset, cheap):
    world = World(preset, n_users=400, n_items=80, base_rate=0.3, conversion_rate=0.4)
    log = world.serve(cheap, 3)
    assert world.preset.name == preset
    wanted = COLUMNS | ({"bid": "float64", "paid": "float64"} if preset == "ads" else {})
    assert {name: str(dtype) for name, dtype in log.dtypes.items()} == wanted
    pd.testing.assert_index_equal(log.index, pd.RangeIndex(len(log)))
    assert log["time"].is_monotonic_increasing
    assert log["time"].dt.date.nunique() == 3
    by_request = log.groupby("request_id")
    for name in ("user_id", "time"):
        assert (by_request[name].transform("first") == log[name]).all()
    assert (log["position"] == by_request.cumcount() + 1).all()
    assert (by_request["position"].max() <= world.preset.slate).all()
    assert log["request_id"].is_monotonic_increasing
    assert not log.duplicated(["request_id", "doc_id"]).any()
    assert (by_request["score"].diff().dropna() <= 0).all()
    assert ((log["dwell"] > 0) == (log["click"] == 1)).all()
    assert np.allclose(log["dwell"] * 10, np.round(log["dwell"] * 10))
    bought = log["conversion_time"].notna()
    assert 0 < bought.sum() < log["click"].sum()
    assert (log.loc[bought, "click"] == 1).all()
    assert ((log["value"] > 0) == bought).all()
    assert (log.loc[bought, "conversion_time"] >= log.loc[bought, "time"]).all()
    assert log["policy"].unique().tolist() == ["cheap_policy"]
    assert log["propensity"].eq(1).all()


def test_what_a_conversion_is_worth(flat):
    feed = World("feed", **SMALL, base_rate=0.3, conversion_rate=0.4).serve(flat, 2)
    assert set(feed["value"]) == {0.0, 1.0}
    world = World("shop", **SMALL, base_rate=0.3, conversion_rate=0.4)
    shop = world.serve(flat, 2)
    bought = shop[shop["value"] > 0]
    pieces = bought["value"] / world.items["price"].to_numpy()[bought["doc_id"]]
    assert np.abs(pieces - pieces.round()).max() < 0.01 * pieces.max()
    assert set(pieces.round()) <= set(world.preset.quantities)
    assert pieces.round().nunique() > 3


def test_what_ads_pay(flat):
    world = World("ads", n_users=600, n_items=60, base_rate=0.2, budget_clicks=2.0)
    log = world.serve(lambda requests, candidates: candidates["bid"], 2)
    items = world.items
    assert (log["bid"] == items["bid"].to_numpy()[log["doc_id"]]).all()
    assert (log["paid"] <= log["bid"]).all()
    assert (log.loc[log["click"] == 0, "paid"] == 0).all()
    spent = log.groupby([log["time"].dt.date, "doc_id"])["paid"].sum().reset_index()
    budget = items["budget"].to_numpy()[spent["doc_id"]]
    assert (spent["paid"] <= budget + 1e-9).all()
    assert (spent["paid"] > 0.99 * budget).sum() > 10  # it is the budgets that ended them
    # A budget that is gone is gone: nothing is shown in the hours after it.
    hour = log["time"].dt.floor("h")
    last = log[log["paid"] > 0].groupby([log["time"].dt.date, "doc_id"])["time"].max()
    gone = spent.set_index(["time", "doc_id"])["paid"].to_numpy() > budget - 1e-6
    ended = last[gone].dt.floor("h").rename("ended").reset_index()
    shown = log.assign(time=log["time"].dt.date, hour=hour).merge(ended, on=["time", "doc_id"])
    assert len(shown)
    assert (shown["hour"] <= shown["ended"]).all()


def test_the_price_of_a_click_is_the_least_bid_that_keeps_the_place():
    world = World("ads", n_users=300, n_items=60, base_rate=0.2, budget_clicks=1e4)
    runners = {}

    def by_bid(requests, candidates):
        for request, bids in candidates.groupby("request_id")["bid"]:
            runners[request] = np.sort(bids)[::-1]
        return candidates["bid"]

    log = world.serve(by_bid, 1)
    log["following"] = log.groupby("request_id")["score"].shift(-1)
    clicks = log[log["click"] == 1]
    inner = clicks[clicks["following"].notna()]
    assert len(inner) > 500
    np.testing.assert_allclose(inner["paid"], inner["following"], atol=1e-6)
    last = clicks[clicks["following"].isna()]
    assert len(last) > 100
    for row in last.itertuples():  # that of the best ad not shown, among those that took part
        assert row.paid == world.preset.reserve or row.paid in runners[row.request_id]
        assert row.paid <= row.bid
    full = last[last["position"] == world.preset.slate]
    assert (full["paid"] > world.preset.reserve).mean() > 0.5  # most have a runner-up


@pytest.mark.parametrize("options", [{}, {"explore": 0.5}, {"temperature": 1.0}])
def test_requests_for_which_no_ad_bids_are_counted(options):
    seen = []

    def by_bid(requests, candidates):
        seen.extend(requests["request_id"])
        return candidates["bid"]

    world = World("ads", **SMALL, slate=3, candidates=3)
    log = world.serve(by_bid, 1, **options)
    served = set(log["request_id"])
    assert log.attrs["empty_requests"] == len(set(seen) - served) > 20
    size = log.groupby("request_id").size()
    assert set(size) == {1, 2, 3}
    assert (log["position"] == log.groupby("request_id").cumcount() + 1).all()
    assert (log["propensity"] > 0).all()
    assert np.isfinite(log["score"]).all()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("options", [{}, {"explore": 0.3}, {"temperature": 2.0}])
def test_the_same_seed_gives_the_same_bytes_whatever_the_chunks(preset, options, cheap):
    def score(requests, candidates):
        return pd.DataFrame({"score": cheap(requests, candidates), "age": candidates["age"]})

    tiny = {"n_users": 60, "n_items": 60, "requests_per_day": 1.0}
    policy = {"a": cheap, "b": score}
    logs = [
        World(preset, **tiny, random_state=3, interference=0.5, novelty=0.5)
        .drift("nulls", 1, 0.0)
        .serve(policy, 3, chunk_rows=rows, **options)
        for rows in (1_000_000, 1_000_000, 500, 1)
    ]
    first = logs[0].to_csv()
    for log in logs[1:]:
        pd.testing.assert_frame_equal(log, logs[0], check_exact=True)
        assert log.to_csv() == first
    other = World(preset, **tiny, random_state=4).serve(policy, 3, **options)
    assert other.to_csv() != first


def test_a_day_without_requests_has_an_empty_log_of_the_same_kinds(flat):
    for preset in PRESETS:
        closed = World(preset, **SMALL, weekday=(0.0,) * 6 + (1.0,))
        log = closed.serve(flat, 2)
        assert log.empty
        assert closed.day == 2
        busy = closed.serve(flat, 5)
        assert len(busy)
        assert dict(log.dtypes) == dict(busy.dtypes)


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        ({}, "b9924b3c9b888c28"),
        ({"auction": True, "value": "advertiser", "examination": "cascade"}, "7093b8936c8c49db"),
    ],
)
def test_the_same_bytes_on_every_machine(changes, digest, cheap):
    # Of parameters that no fit to data moves. Another digest is another world: say so in the log
    # of changes.
    world = World(Preset(name="plain"), n_users=50, n_items=40, random_state=11, **changes)
    log = world.serve(cheap, 3, explore=0.25)
    assert len(log) > 1_000
    assert hashlib.sha256(log.to_csv().encode()).hexdigest()[:16] == digest


def test_in_one_go_or_day_by_day(cheap):
    one, other = World(**SMALL), World(**SMALL)
    days = [other.serve(cheap, 1, explore=0.2) for _ in range(4)]
    pd.testing.assert_frame_equal(
        one.serve(cheap, 4, explore=0.2), pd.concat(days, ignore_index=True), check_exact=True
    )


def test_users_do_not_change_items_nor_items_users():
    for preset in PRESETS:
        few, many = World(preset, n_users=50, n_items=60), World(preset, n_users=900, n_items=60)
        pd.testing.assert_frame_equal(few.items, many.items)
        pd.testing.assert_frame_equal(
            few.users.drop(columns="community"), many.users[:50].drop(columns="community")
        )
        less = World(preset, n_users=50, n_items=40)
        pd.testing.assert_frame_equal(few.users, less.users)
        pd.testing.assert_frame_equal(few.items[:40], less.items)


def test_twins_share_their_luck_and_nothing_else(flat, cheap):
    world = World(n_users=600, n_items=60, base_rate=0.3)
    world.serve(flat, 2)
    twin, witness = world.copy(), world.copy()
    other = twin.serve(cheap, 1)
    log = world.serve(flat, 1)
    keys = ["request_id", "user_id", "time"]
    pd.testing.assert_frame_equal(log[keys], other[keys])  # the day's requests are settled
    # Of what both show at the same place the clicks are the same, and of what they show at
    # different places, all that differs is whether it was examined.
    both = log.merge(other, on=["request_id", "doc_id"], suffixes=("", "_other"))
    same = both[both["position"] == both["position_other"]]
    assert same["click"].sum() > 30
    assert (same["click"] == same["click_other"]).all()
    assert (same["dwell"] == same["dwell_other"]).all()
    pd.testing.assert_frame_equal(witness.serve(flat, 1), log)  # and no twin moved another
    twin.serve(cheap, 3)
    pd.testing.assert_frame_equal(witness.serve(flat, 2), world.serve(flat, 2))


def test_a_click_on_what_is_seen_goes_with_the_document_and_not_with_its_place(flat, cheap):
    world = World(n_users=300, n_items=60, base_rate=0.3, examination="none")
    both = world.copy().serve(flat, 1).merge(world.serve(cheap, 1), on=["request_id", "doc_id"])
    moved = both[both["position_x"] != both["position_y"]]
    assert moved["click_x"].sum() > 200
    for name in ("click", "dwell", "conversion_time", "value"):
        assert moved[f"{name}_x"].equals(moved[f"{name}_y"].rename(f"{name}_x"))


def test_the_clock_and_the_frames(flat):
    world = World(**SMALL, start="2024-02-28")
    assert world.day == 0
    log = world.serve(flat, 2)
    assert world.day == 2
    assert world.now == pd.Timestamp("2024-03-01", tz="UTC")
    assert log["time"].min() >= pd.Timestamp("2024-02-28", tz="UTC")
    assert log["time"].max() < world.now
    users, items = world.users, world.items
    assert list(users) == ["user_id", "segment", "community", "joined"]
    assert list(items) == ["doc_id", "topic", "price", "born", "live"]
    assert list(World("ads", **SMALL).items)[5:] == ["bid", "budget"]
    assert (users["joined"] <= world.now).all()
    assert set(log["user_id"]) <= set(users["user_id"])
    users["segment"] = "x"
    items["price"] = 0.0
    assert World(**SMALL, start="2024-02-28").serve(flat, 2).equals(log)
    assert world.items["live"].sum() == 60  # what a caller does to a frame stays with the caller


def test_as_of(flat):
    log = World(
        "shop", n_users=800, n_items=60, base_rate=0.3, conversion_rate=0.3, delay_hours=20
    ).serve(flat, 3)
    kept = log.copy()
    moment = pd.Timestamp("2024-01-02 10:00", tz="UTC")
    seen = as_of(log, moment)
    pd.testing.assert_frame_equal(log, kept)
    pd.testing.assert_frame_equal(as_of(log, "2024-01-02 10:00"), seen)
    pd.testing.assert_frame_equal(as_of(log, moment.tz_convert("Asia/Tokyo")), seen)
    rows = []  # one by one
    for row in log.itertuples():
        if row.time < moment:
            known = row.conversion_time is not pd.NaT and row.conversion_time < moment
            rows.append((row.Index, row.value if known else 0.0, known))
    assert seen.index.tolist() == [row[0] for row in rows]
    assert seen["value"].tolist() == [row[1] for row in rows]
    assert seen["conversion_time"].notna().tolist() == [row[2] for row in rows]
    assert 0 < seen["value"].gt(0).sum() < log.loc[seen.index, "value"].gt(0).sum()
    assert dict(seen.dtypes) == dict(log.dtypes)
    pd.testing.assert_frame_equal(as_of(log, "2030-01-01"), log)
    # What comes at the very second is not known yet, be it a request or a conversion.
    first = log["conversion_time"].min()
    assert as_of(log, first)["conversion_time"].isna().all()
    assert (as_of(log, log["time"].iloc[1_000])["time"] < log["time"].iloc[1_000]).all()
    assert as_of(log, "2024-01-01").empty


def test_drift_of_the_catalogue_and_of_the_users(flat):
    world = World(n_users=1_000, n_items=400, lifetime=1e6)
    before = world.items
    assert world.drift("catalogue", at=2, strength=0.25) is world
    world.drift("new_users", at=1, strength=0.5)
    world.serve(flat, 1)
    assert (world.users["joined"] == world.now).sum() > 500
    world.serve(flat, 1)
    after = world.items
    replaced = ~after["live"][: len(before)]
    assert abs(replaced.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)
    assert after["live"].sum() == 400
    assert (after.loc[len(before) :, "born"] == world.now).all()


def test_drift_of_tastes():
    drifted, quiet = World(n_users=2_000), World(n_users=2_000)
    drifted.drift("taste", at=0, strength=0.3)
    before, after = quiet.truth.users, drifted.truth.users
    taste = [name for name in before if name.startswith("taste_")]
    changed = (before[taste] != after[taste]).all(axis=1)
    assert abs(changed.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2_000)
    assert (before.loc[~changed, taste] == after.loc[~changed, taste]).all(axis=None)
    moved = np.corrcoef(
        before.loc[changed, taste].to_numpy().ravel(), after.loc[changed, taste].to_numpy().ravel()
    )
    assert abs(moved[0, 1]) < 4 / np.sqrt(12 * changed.sum())
    assert abs(after[taste].to_numpy().std() - before[taste].to_numpy().std()) < 0.02


def test_drift_of_the_season(flat):
    monthly = (2.0,) + (10 / 11,) * 11
    requests = {
        strength: World(n_users=4_000, monthly=monthly, weekday=(1.0,) * 7, churn=0.0)
        .drift("season", at=1, strength=strength)
        .serve(flat, 2)
        .drop_duplicates("request_id")["time"]
        .dt.day.value_counts()
        for strength in (0.0, 1.0, 2.0)
    }
    for strength, count in requests.items():
        ratio, expected = count[2] / count[1], (1 + strength) / 2
        assert abs(ratio / expected - 1) < 4 * np.sqrt(1 / count[1] + 1 / count[2])


@pytest.mark.parametrize(("kind", "strength"), [("nulls", 0.4), ("units", 100.0), ("schema", 1.0)])
def test_a_breakage_is_in_the_eye_of_the_policy_only(kind, strength, flat):
    seen = {}

    def look(requests, candidates):
        seen.setdefault(requests["time"].iloc[0].date(), []).append(candidates)
        return np.zeros(len(candidates))

    broken = World("shop", **SMALL).drift(kind, at=1, strength=strength)
    log = broken.serve(look, 2)
    whole = World("shop", **SMALL)
    pd.testing.assert_frame_equal(
        log.drop(columns="policy"), whole.serve(flat, 2).drop(columns="policy")
    )
    good, bad = (pd.concat(frames) for frames in seen.values())
    items = whole.items.set_index("doc_id")
    for frame, right in ((good, True), (bad, False)):
        true = items.loc[frame["doc_id"]]
        price, topic = frame["price"].to_numpy(), frame["topic"].to_numpy()
        same = (price == true["price"].to_numpy()) & (topic == true["topic"].to_numpy())
        assert same.all() == right
    if kind == "nulls":
        share = bad["price"].isna().mean()
        assert abs(share - 0.4) < 4 * np.sqrt(0.24 / len(bad))


def test_candidates_are_as_frequent_as_their_weights_say():
    world = World("feed", n_users=10, n_items=100, random_state=5)
    items = world._catalogue
    chance = inclusion(items.weight[items.live], 30)
    assert abs(chance.sum() - 30) < 1e-9
    free = chance < 1
    ratio = chance[free] / items.weight[items.live][free]
    assert np.allclose(ratio, ratio[0])
    assert (items.weight[items.live][~free].min(initial=np.inf)) >= items.weight[items.live][
        free
    ].max()
    counts = np.zeros(100)
    first = np.zeros(100)
    n = 0
    for day in range(6):
        sets = CandidateSets(items, 30, 5, day)
        user = np.arange(50_000)
        got = sets.of(user, user % 7)
        assert (np.diff(np.sort(got, axis=1), axis=1) > 0).all()
        counts += np.bincount(got.ravel(), minlength=100)
        first += np.bincount(got[:, 0], minlength=100)
        n += user.size
    # Thousands of sets a day, so the error is that of as many draws, not of the requests.
    tolerance = 5 * np.sqrt(chance * (1 - chance) / (6 * 4_096)) + 2e-3
    assert (np.abs(counts / n - chance) < tolerance).all()
    tolerance = 5 * np.sqrt(chance / 30 / (6 * 4_096)) + 2e-3
    assert (np.abs(first / n - chance / 30) < tolerance).all()  # no place is anyone's


@given(
    weights=st.lists(st.floats(0.01, 1e3), min_size=2, max_size=30),
    data=st.data(),
)
@settings(max_examples=60)
def test_inclusion(weights, data):
    n = data.draw(st.integers(1, len(weights)))
    chance = inclusion(np.array(weights), n)
    assert abs(chance.sum() - n) < 1e-6
    assert (chance <= 1 + 1e-12).all()
    order = np.argsort(weights)
    assert (np.diff(chance[order]) >= -1e-12).all()


def test_presets_say_what_is_fitted():
    for name, preset in PRESETS.items():
        frame = preset.to_frame()
        assert preset.name == name
        assert set(frame["origin"]) == {"fitted", "assumed"}
        assert frame.loc["hourly", "origin"] == "fitted"
        assert frame.loc["churn", "origin"] == "assumed"
    changed = World("feed", **SMALL, popularity_sigma=0.3).preset
    assert changed.popularity_sigma == 0.3
    assert changed.to_frame().loc["popularity_sigma", "origin"] == "assumed"
    assert changed.to_frame().loc["activity_sigma", "origin"] == "fitted"
    assert Preset(name="mine").to_frame().loc["hourly", "origin"] == "assumed"
    assert World(changed, **SMALL).preset == changed
