"""What a world refuses, and that it says which argument was wrong and what it was."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from mlsd.world._log import LogParts, as_of
from mlsd.world._presets import PRESETS, Preset
from mlsd.world.world import World

SMALL = {"n_users": 60, "n_items": 40}


@pytest.fixture
def world():
    return World("feed", **SMALL)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"preset": "news"},
            ValueError,
            r"preset must be one of 'feed', 'shop', 'ads'; got 'news'",
        ),
        ({"preset": None}, TypeError, r"preset must be a name .* or a Preset; got NoneType"),
        ({"n_users": 0}, ValueError, r"n_users must be at least 1; got 0"),
        ({"n_users": 10.0}, TypeError, r"n_users must be an integer; got 10.0"),
        ({"n_items": 29}, ValueError, r"n_items must be at least the 30 candidates.*got 29"),
        ({"n_items": True}, TypeError, r"n_items must be an integer; got True"),
        ({"random_state": "x"}, TypeError, r"random_state must be an integer.*got 'x'"),
        ({"random_state": -1}, ValueError, r"random_state must lie between.*got -1"),
        ({"novelties": 1}, TypeError, r"'novelties' is no parameter.*did you mean 'novelty'"),
        ({"zzz": 1}, TypeError, r"'zzz' is no parameter of a world; Preset lists them"),
        ({"churn": -0.1}, ValueError, r"churn must be at least 0 and at most 1; got -0.1"),
        ({"requests_per_day": 0}, ValueError, r"requests_per_day must be above 0; got 0"),
        ({"requests_per_day": -1.0}, ValueError, r"requests_per_day must be above 0; got -1.0"),
        ({"base_rate": 1.5}, ValueError, r"base_rate must be at least 1e-06 and at most .*1.5"),
        ({"base_rate": math.nan}, ValueError, r"base_rate must be .*got nan"),
        ({"novelty": math.inf}, ValueError, r"novelty must be finite; got inf"),
        ({"novelty": "1"}, TypeError, r"novelty must be a number; got '1' \(str\)"),
        ({"slate": 2.5}, TypeError, r"slate must be an integer; got 2.5"),
        ({"slate": 31}, ValueError, r"candidates must be at least the slate, 31; got 30"),
        ({"new_users": -0.1}, ValueError, r"new_users must be at least 0 and at most 1; got -0.1"),
        ({"hourly": (1.0,) * 23}, ValueError, r"hourly must have 24 numbers"),
        ({"hourly": (0.0,) * 24}, ValueError, r"hourly is 0 everywhere"),
        ({"weekday": (1.0,) * 6 + (-1.0,)}, ValueError, r"weekday must be finite and not negative"),
        ({"monthly": 3.0}, ValueError, r"monthly must be a tuple of numbers; got 3.0"),
        ({"monthly": ("a",) * 12}, TypeError, r"monthly must be numbers"),
        ({"quantities": (1, 2)}, ValueError, r"quantity_share must have 2 numbers"),
        ({"segments": ("a", "a", "b")}, ValueError, r"segments must differ"),
        ({"segments": "phone"}, TypeError, r"segments must be a tuple of names; got 'phone'"),
        ({"segments": ("a", "b")}, ValueError, r"segment_share must have 2 numbers"),
        ({"examination": "eye"}, ValueError, r"examination must be one of .*got 'eye'"),
        ({"value": "gold"}, ValueError, r"value must be one of .*got 'gold'"),
        ({"auction": 1}, TypeError, r"auction must be True or False; got 1"),
        ({"start": "soon"}, ValueError, r"start must be a date.*got 'soon'"),
        ({"start": ""}, ValueError, r"start must be a date.*got ''"),
        ({"start": "NaT"}, ValueError, r"start must be a date.*got 'NaT'"),
        ({"start": "now"}, ValueError, r"start must be a date.*got 'now'"),  # another each day
        ({"taste_scale": 60.0}, ValueError, r"no base rate of 0.05 can be reached.*taste_scale"),
        ({"start": 2024}, TypeError, r"start must be a string; got 2024"),
        ({"trust_plus": 0.1, "trust_minus": 0.2}, ValueError, r"trust_minus must be at most"),
    ],
)
def test_no_such_world(arguments, error, message):
    with pytest.raises(error, match=message):
        World(**{"preset": "feed", **SMALL, **arguments})


def test_every_number_of_a_preset_is_checked():
    for one in dataclasses.fields(Preset):
        if one.metadata:
            with pytest.raises((TypeError, ValueError), match=one.name):
                Preset(**{one.name: "much"})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"days": 0}, ValueError, r"days must be at least 1; got 0"),
        ({"days": 1.5}, TypeError, r"days must be an integer; got 1.5"),
        ({"explore": -0.1}, ValueError, r"explore must lie between 0 and 1; got -0.1"),
        ({"explore": 1.1}, ValueError, r"explore must lie between 0 and 1; got 1.1"),
        ({"explore": math.nan}, ValueError, r"explore must lie between 0 and 1; got nan"),
        ({"explore": True}, TypeError, r"explore must be a number; got True"),
        ({"temperature": 0}, ValueError, r"temperature must be finite and above 0; got 0"),
        ({"temperature": "hot"}, TypeError, r"temperature must be a number; got 'hot'"),
        ({"explore": 0.1, "temperature": 1.0}, ValueError, r"explore and temperature are two ways"),
        ({"chunk_rows": 0}, ValueError, r"chunk_rows must be at least 1; got 0"),
        ({"unit": "page"}, ValueError, r"unit must be one of 'user_id', .*got 'page'"),
        ({"assign": "hash"}, TypeError, r"assign must be callable; got str"),
        (
            {"assign": lambda units: ["x"] * len(units)},
            ValueError,
            r"assign returned 'x', which is",
        ),
        ({"assign": lambda units: ["flat_policy"]}, ValueError, r"assign returned 1 arms for"),
    ],
)
def test_no_such_service(world, flat, options, error, message):
    with pytest.raises(error, match=message):
        world.serve(flat, **{"days": 1, **options})
    assert world.day == 0


def of(scores):
    """Return a policy that returns what `scores` makes of the number of candidates."""
    return lambda requests, candidates: scores(len(candidates))


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        (3, TypeError, r"policy 'int' must be callable"),
        (None, TypeError, r"policy 'NoneType' must be callable"),
        ({}, ValueError, r"policy is a mapping without arms"),
        ({1: None}, TypeError, r"policy must have strings as the names of arms; got 1"),
        ({"a": len, "b": 3}, TypeError, r"policy 'b' must be callable"),
        (of(lambda n: np.zeros(n - 1)), ValueError, r"policy '<lambda>' returned .* scores for"),
        (of(lambda n: np.full(n, np.nan)), ValueError, r"policy '<lambda>' holds \d+ NaN among"),
        (of(lambda n: np.full(n, np.inf)), ValueError, r"policy '<lambda>' returned .* infinite"),
        (of(lambda n: np.full(n, -np.inf)), ValueError, r"policy '<lambda>' returned .* infinite"),
        (of(lambda n: ["a"] * n), TypeError, r"the score of policy '<lambda>' must be numeric"),
        (of(lambda n: np.zeros((n, 2))), ValueError, r"policy '<lambda>' must be one-dim"),
        (of(lambda n: None), TypeError, r"policy '<lambda>' must be array-like; got NoneType"),
        (of(lambda n: 1.0), TypeError, r"policy '<lambda>' must be array-like"),
        (of(lambda n: pd.DataFrame({"s": np.zeros(n)})), ValueError, r"without the column 'score'"),
        (of(lambda n: pd.DataFrame({"score": np.zeros(3)})), ValueError, r"returned 3 rows for"),
        (
            of(lambda n: pd.DataFrame({"score": np.zeros(n), "click": 1})),
            ValueError,
            r"policy '<lambda>' returned a column 'click', which the log writes itself",
        ),
        (
            lambda requests, candidates: candidates[::-1].assign(score=1.0),
            ValueError,
            r"policy '<lambda>' returned another request_id than that of the candidates",
        ),
        (
            lambda requests, candidates: candidates.assign(score=1.0, doc_id=10**6),
            ValueError,
            r"policy '<lambda>' returned another doc_id .*add no documents",
        ),
    ],
)
def test_no_such_policy(world, policy, error, message):
    with pytest.raises(error, match=message):
        world.serve(policy, 1)


def test_the_arm_that_went_wrong_is_named(world, flat):
    with pytest.raises(ValueError, match="policy 'new' returned"):
        world.serve({"old": flat, "new": of(lambda n: np.zeros(1))}, 1, assign=half)


def half(units):
    return np.where(np.asarray(units) % 2 == 0, "old", "new")


class Ranker:
    """Ranks the documents that it was given, the same for all."""

    def __init__(self, doc_id, **columns):
        self.doc_id = doc_id
        self.columns = columns

    def rank(self, queries):
        k = len(self.doc_id)
        n = len(queries)
        run = pd.DataFrame(
            {
                "query_id": np.repeat(queries["query_id"].to_numpy(), k),
                "doc_id": np.tile(self.doc_id, n),
                "score": np.tile(-np.arange(k, dtype=float), n),
                "rank": np.tile(np.arange(1, k + 1), n),
            }
        )
        return run.assign(**self.columns)


@pytest.mark.parametrize(
    ("ranker", "error", "message"),
    [
        (Ranker([0, 1, 10_000]), ValueError, r"documents that do not exist, such as 10000"),
        (Ranker([0, -1]), ValueError, r"documents that do not exist, such as -1"),
        (Ranker([0, 1, 0]), ValueError, r"duplicates: document 0 more than once in one slate"),
        (Ranker(["0", "1"]), TypeError, r"must return the doc_id of world.items.*got object"),
        (Ranker([0, 1], score=np.nan), ValueError, r"policy 'Ranker' holds .* NaN"),
        (Ranker([0, 1], score=np.inf), ValueError, r"policy 'Ranker' returned .* infinite"),
        (Ranker([0, 1], query_id=-5), ValueError, r"the query_id -5, which is none of its"),
        (Ranker([0, 1], query_id=0), ValueError, r"duplicates: document"),
        (Ranker([]), ValueError, r"returned no documents for \d+ requests"),
        (Ranker([0, 1], click=1), ValueError, r"returned a column 'click'"),
    ],
)
def test_no_such_ranking(world, ranker, error, message):
    with pytest.raises(error, match=message):
        world.serve(ranker, 1)


def test_a_ranker_may_not_show_what_has_expired(world, flat):
    world.drift("catalogue", 0, 1.0)
    with pytest.raises(ValueError, match=r"documents that have expired, such as 0: rank those"):
        world.serve(Ranker([0, 1]), 1)


@pytest.mark.parametrize("options", [{"explore": 0.1}, {"temperature": 1.0}])
def test_a_ranker_cannot_explore(world, options):
    with pytest.raises(ValueError, match=r"needs a policy that scores candidates: policy 'Ranker'"):
        world.serve(Ranker([0, 1]), 1, **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("weather", 0, 0.1), ValueError, r"kind must be one of 'taste', .*got 'weather'"),
        (("taste", -1, 0.1), ValueError, r"at must not be over: the next day is 0; got -1"),
        (("taste", 0.5, 0.1), TypeError, r"at must be the number of a day; got 0.5"),
        (("taste", 0, 1.1), ValueError, r"strength of 'taste' must lie between 0 and 1; got 1.1"),
        (("catalogue", 0, -0.1), ValueError, r"strength of 'catalogue' must lie between.*-0.1"),
        (
            ("new_users", 0, -1),
            ValueError,
            r"strength of 'new_users' must be finite and at least 0",
        ),
        (("season", 0, math.inf), ValueError, r"strength of 'season' must be finite"),
        (("season", 0, None), TypeError, r"strength must be a number; got None"),
        (("nulls", 0, 2.0), ValueError, r"strength of 'nulls' must lie between 0 and 1; got 2.0"),
        (("units", 0, 0.0), ValueError, r"strength of 'units' must be finite and above 0; got 0.0"),
    ],
)
def test_no_such_drift(world, arguments, error, message):
    with pytest.raises(error, match=message):
        world.drift(*arguments)


@pytest.mark.parametrize(
    ("change", "time", "error", "message"),
    [
        (lambda log: 3, "2024-01-01", TypeError, r"log must be a pandas DataFrame"),
        (lambda log: log.drop(columns="value"), "2024-01-01", ValueError, r"log lacks .*value"),
        (lambda log: log, "soon", ValueError, r"time must be a point in time; got 'soon'"),
        (lambda log: log, 3, TypeError, r"time must be .*such as world.now, and no number; got 3"),
        (lambda log: log, True, TypeError, r"time must be .* and no number; got True"),
        (lambda log: log, None, ValueError, r"time must be a point in time; it is missing"),
        (
            lambda log: log.assign(time=log["time"].dt.tz_localize(None)),
            "2024-01-01",
            TypeError,
            r"log\['time'\] must be times with a zone; got datetime64",
        ),
    ],
)
def test_no_such_past(world, flat, change, time, error, message):
    log = world.serve(flat, 1)
    with pytest.raises(error, match=message):
        as_of(change(log), time)


def test_a_failed_service_leaves_the_world_as_it_was(flat):
    def late(requests, candidates):
        if requests["time"].iloc[0] >= pd.Timestamp("2024-01-03", tz="UTC"):
            raise RuntimeError("down")
        return np.zeros(len(candidates))

    for preset in PRESETS:
        world, other = World(preset, **SMALL), World(preset, **SMALL)
        with pytest.raises(RuntimeError, match="down"):
            world.serve(late, 3)
        assert world.day == 0
        pd.testing.assert_frame_equal(world.serve(flat, 3), other.serve(flat, 3))


def test_a_log_that_cannot_be_put_together_leaves_the_world_as_it_was(world, flat, monkeypatch):
    def full(log):
        raise MemoryError("full")

    with monkeypatch.context() as broken:
        broken.setattr(LogParts, "frame", full)
        with pytest.raises(MemoryError, match="full"):
            world.serve(flat, 1)
    assert world.day == 0
    pd.testing.assert_frame_equal(world.serve(flat, 1), World("feed", **SMALL).serve(flat, 1))
