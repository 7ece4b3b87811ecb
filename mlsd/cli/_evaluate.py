"""``mlsd evaluate``: ranking metrics of a TREC run, with intervals over queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlsd.cli._output import STDOUT, as_json, check_writable, json_option, write

if TYPE_CHECKING:
    from mlsd.metrics import RankingResult

__all__ = ["evaluate"]

_DEFAULT = ("ndcg@10", "map", "mrr", "recall@100")


@click.command(short_help="Ranking metrics of a TREC run, with intervals.")
@click.argument("qrels", type=click.Path())
@click.argument("run", type=click.Path())
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Metric such as ndcg@10, map, mrr, recall@100, precision@5, err, rbp; may be repeated. "
    f"[default: {', '.join(_DEFAULT)}]",
)
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="RUN",
    help="Another run: the differences to it, query by query, with intervals and adjusted p-values "
    "(paired t, Holm).",
)
@click.option(
    "--gain",
    type=click.Choice(["linear", "exp2"]),
    default="linear",
    show_default=True,
    help="Gain of a relevance in NDCG.",
)
@click.option(
    "--ties",
    type=click.Choice(["average", "docid", "first", "rank", "worst"]),
    default="average",
    show_default=True,
    help="How equal scores rank; docid is the order of trec_eval.",
)
@click.option(
    "--empty",
    type=click.Choice(["nan", "0", "1"]),
    default="nan",
    show_default=True,
    help="Value of a query without a relevant document; nan leaves it out of the mean.",
)
@click.option("--per-query", is_flag=True, help="Show the values of each query too.")
@json_option
def evaluate(
    qrels: str,
    run: str,
    metrics: tuple[str, ...],
    baseline: str | None,
    gain: str,
    ties: str,
    empty: str,
    per_query: bool,
    json_to: str | None,
) -> None:
    """Evaluate the ranking RUN against the judgements QRELS, both TREC files.

    QRELS has the lines "query iteration document relevance", RUN the lines "query Q0 document rank
    score tag"; a name that ends in .gz is unpacked. Shown are means over queries with their 95 %
    intervals. A judged query that is absent from the run counts as 0.

    \b
    Examples:
      mlsd evaluate qrels.txt run.txt
      mlsd evaluate qrels.txt new.txt --baseline old.txt -m ndcg@10 -m mrr
      mlsd evaluate qrels.txt run.txt --per-query --json -

    Exit codes: 0 done; 2 wrong usage, or a file that cannot be read.
    """
    from mlsd.metrics import evaluate_ranking, read_qrels, read_run

    check_writable(json_to, "--json", qrels, run, baseline)
    judgements = read_qrels(qrels)
    wanted = list(metrics or _DEFAULT)
    options: dict[str, Any] = {
        "gain": gain,
        "ties": ties,
        "empty": empty if empty == "nan" else int(empty),
    }
    result = evaluate_ranking(judgements, read_run(run), wanted, **options)
    other = baseline and evaluate_ranking(judgements, read_run(baseline), wanted, **options)
    difference = result.compare(other) if other else None
    if json_to is not None:
        write(as_json(_record(result, difference, per_query)), json_to)
    if json_to == STDOUT:
        return
    if per_query:
        click.echo(result.per_query.to_string(float_format="{:.4f}".format) + "\n")
    click.echo(repr(result))
    if difference is not None:
        click.echo(f"\nDifference to {baseline} (paired t, 95% intervals, Holm):")
        click.echo(difference.to_string(index=False, float_format="{:.4g}".format))


def _record(result: RankingResult, difference: Any, per_query: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "metrics": result.to_frame().to_dict("index"),
        "diagnostics": result.diagnostics.to_dict(),
        "options": result.options,
    }
    if per_query:
        record["per_query"] = result.per_query.to_dict("index")
    if difference is not None:
        record["difference"] = difference.to_dict("records")
    return record
