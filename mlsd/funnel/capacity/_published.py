"""Funnels that their makers described in public, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PUBLISHED", "PublishedFunnel", "published_table"]

Stage = tuple[str, int, int | None]


@dataclass(frozen=True, slots=True)
class PublishedFunnel:
    """A funnel as its makers described it.

    Attributes
    ----------
    system : str
        Maker and product.
    year : int or None
        Of the description, not of the system; None if it bears no date.
    stages : tuple of (str, int, int or None)
        Name of a stage, and the least and the most items that enter it for one request; None where
        the source sets no upper bound. Words became numbers by one rule: "a few hundred" is 200 to
        900, "tens of thousands" 10,000 to 99,000, "hundreds" 100 to 999, "millions" 1,000,000 or
        more, "up to 1,500" 0 to 1,500. Empty if the source gives no counts.
    latency_ms : tuple of (float, float) or None
        The least and the most milliseconds, of what `note` says; None if the source gives none.
    source : str
        Title, place and year, with a DOI, an arXiv number or an address.
    seen : {"source", "quoted"}
        Whether the figures were read in the words of the source, or only as others quote it.
    note : str
        What the figures cover.
    """

    system: str
    year: int | None
    stages: tuple[Stage, ...]
    latency_ms: tuple[float, float] | None
    source: str
    seen: Literal["source", "quoted"]
    note: str


PUBLISHED: tuple[PublishedFunnel, ...] = (
    PublishedFunnel(
        system="YouTube recommendations",
        year=2016,
        stages=(
            ("candidate generation", 1_000_000, None),
            ("ranking", 100, 999),
            ("shown", 12, 99),
        ),
        latency_ms=None,
        source=(
            "P. Covington, J. Adams and E. Sargin, Deep Neural Networks for YouTube "
            "Recommendations, RecSys 2016, doi 10.1145/2959100.2959190"
        ),
        seen="quoted",
        note="Two networks: millions of videos, hundreds, dozens.",
    ),
    PublishedFunnel(
        system="Instagram Explore",
        year=2019,
        stages=(
            ("retrieval", 1_000_000_000, None),
            ("first pass", 500, 500),
            ("second pass", 150, 150),
            ("final pass", 50, 50),
            ("first page", 25, 25),
        ),
        latency_ms=None,
        source=(
            "Powered by AI: Instagram's Explore recommender system, Meta AI blog, 2019, "
            "https://ai.meta.com/blog/powered-by-ai-instagrams-explore-recommender-system/"
        ),
        seen="quoted",
        note=(
            "The first pass is distilled from the other two. All of it makes 90 million "
            "predictions a second."
        ),
    ),
    PublishedFunnel(
        system="Alibaba display advertising, COLD",
        year=2020,
        stages=(("pre-ranking", 10_000, 99_000), ("ranking", 200, 900)),
        latency_ms=(10.0, 20.0),
        source=(
            "Z. Wang et al., COLD: Towards the Next Generation of Pre-Ranking System, "
            "arXiv 2007.16122, 2020"
        ),
        seen="quoted",
        note="The milliseconds are those of pre-ranking alone.",
    ),
    PublishedFunnel(
        system="Taobao display advertising, DCAF",
        year=2020,
        stages=(),
        latency_ms=None,
        source=(
            "B. Jiang et al., DCAF: A Dynamic Computation Allocation Framework for Online Serving "
            "System, arXiv 2006.09684, 2020"
        ),
        seen="source",
        note=(
            "No counts. Giving each request computation by its worth kept the business results "
            "with 20 % less of it."
        ),
    ),
    PublishedFunnel(
        system="Instagram Explore, system card",
        year=2023,
        stages=(("early-stage ranking", 0, 1_500), ("late-stage ranking", 100, 100)),
        latency_ms=None,
        source="Instagram Explore AI system, Meta Transparency Center, 2023",
        seen="quoted",
        note="The card has been revised since it was first published.",
    ),
    PublishedFunnel(
        system="Twitter For You timeline",
        year=2023,
        stages=(("candidate sources", 100_000_000, 999_000_000), ("ranking", 1_500, 1_500)),
        latency_ms=(0.0, 1_500.0),
        source=(
            "Twitter's Recommendation Algorithm, Twitter Engineering blog, 31 March 2023, "
            "https://blog.x.com/engineering/en_us/topics/open-source/2023/"
            "twitter-recommendation-algorithm"
        ),
        seen="source",
        note=(
            "The mean of the whole pipeline is under 1.5 s. Ranking is a network of about 48 "
            "million parameters. Also stated: 220 s of processor time a run, about 5 billion runs "
            "a day; see whether the two can hold together."
        ),
    ),
    PublishedFunnel(
        system="LinkedIn People You May Know",
        year=None,
        stages=(
            ("L0 candidate generation", 1_000_000_000, None),
            ("L1 light ranker", 2_000, 9_000),
            ("L2 rich ranker", 200, 900),
        ),
        latency_ms=None,
        source=(
            "Building a Large-Scale Recommendation System: People You May Know, LinkedIn "
            "Engineering blog, https://www.linkedin.com/blog/engineering/recommendations/"
            "building-a-large-scale-recommendation-system-people-you-may-know"
        ),
        seen="quoted",
        note="A re-ranker for fairness and diversity follows.",
    ),
    PublishedFunnel(
        system="Meta ads retrieval, Andromeda",
        year=2024,
        stages=(("retrieval", 10_000_000, 99_000_000), ("ranking", 2_000, 9_000)),
        latency_ms=None,
        source=(
            "Meta Andromeda: Supercharging Advantage+ automation with the next-gen personalized "
            "ads retrieval engine, Engineering at Meta, 2 December 2024, "
            "https://engineering.fb.com/2024/12/02/production-engineering/"
            "meta-andromeda-advantage-automation-next-gen-personalized-ads-retrieval-engine/"
        ),
        seen="source",
        note="Retrieval sees three orders of magnitude more ads than the stages after it.",
    ),
    PublishedFunnel(
        system="Vespa, defaults",
        year=None,
        stages=(("second phase", 0, 100), ("global phase", 0, 100)),
        latency_ms=None,
        source="Phased Ranking, Vespa documentation, https://docs.vespa.ai/en/phased-ranking.html",
        seen="source",
        note=(
            "The second phase re-ranks the best 100 of each content node, the global phase the "
            "best 100 of all; both can be set."
        ),
    ),
    PublishedFunnel(
        system="Elasticsearch rescorer, defaults",
        year=None,
        stages=(("rescore", 10, 500),),
        latency_ms=None,
        source=(
            "Rescoring, Elasticsearch documentation, "
            "https://www.elastic.co/guide/en/elasticsearch/reference/6.x/"
            "search-request-rescore.html"
        ),
        seen="source",
        note="A window of 10 on each shard unless set; the text speaks of 100 to 500.",
    ),
    PublishedFunnel(
        system="Metarank",
        year=None,
        stages=(),
        latency_ms=(10.0, 30.0),
        source=(
            "Performance, Metarank documentation, "
            "https://github.com/metarank/metarank/blob/stabledoc/doc/performance.md"
        ),
        seen="source",
        note="What a secondary re-ranker adds to a request.",
    ),
)


def published_table() -> list[dict[str, object]]:
    """Published funnels as rows for a table, one a system.

    Returns
    -------
    list of dict
        system, year (empty without a date), funnel (the counts in one line), latency_ms (in
        words), source, seen and note, as in :class:`PublishedFunnel`; in the order of
        :data:`PUBLISHED`.

    Examples
    --------
    >>> from mlsd.funnel.capacity import published_table
    >>> published_table()[0]["funnel"]
    'candidate generation 1,000,000 or more → ranking 100–999 → shown 12–99'
    """
    return [
        {
            "system": one.system,
            "year": "" if one.year is None else one.year,
            "funnel": " → ".join(f"{name} {_span(low, high)}" for name, low, high in one.stages),
            "latency_ms": "" if one.latency_ms is None else _span(*map(round, one.latency_ms)),
            "source": one.source,
            "seen": one.seen,
            "note": one.note,
        }
        for one in PUBLISHED
    ]


def _span(low: int, high: int | None) -> str:
    """Return the bounds in words."""
    if high is None:
        return f"{low:,} or more"
    if low == high:
        return f"{low:,}"
    return f"{low:,}–{high:,}" if low else f"up to {high:,}"
