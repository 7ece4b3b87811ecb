"""``mlsd drift``: compare live rows with a reference, and leave with 1 if someone must know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlsd.cli._output import STDOUT, check_writable, json_option, write
from mlsd.cli._profiles import check_columns, column_options, profile_of, read_profile
from mlsd.cli._tables import Table, all_rows, is_profile, open_table

if TYPE_CHECKING:
    from mlsd.drift import DriftMonitor, DriftReport, Profile

__all__ = ["drift"]


@click.command(short_help="Compare live rows with a reference.")
@click.argument("reference", type=click.Path())
@click.argument("live", type=click.Path())
@column_options
@click.option(
    "--segments",
    metavar="COLUMN",
    help="A column whose levels are compared each on its own too; all rows must fit in memory.",
)
@click.option(
    "--season",
    metavar="COLUMN",
    help="A column such as the weekday: live rows, of one season, are compared with their like; "
    "all rows must fit in memory.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="The rows of REFERENCE are in the order of time, and rows of one day or session hang "
    "together: measure on windows of it, each as long as LIVE, how much further apart than "
    "independent rows they lie. Needs ten such windows; all rows must fit in memory.",
)
@click.option(
    "--expect",
    metavar="FILE",
    help='Declarations as JSON, such as {"age": {"nullable": false, "range": [0, 120]}}; keys are '
    "nullable, max_null_rate, range (null for an open end), allowed, required. A broken one pages.",
)
@click.option(
    "--false-pages-per-quarter",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="False pages that you would put up with in 91 days.",
)
@click.option(
    "--runs-per-day",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="Comparisons a day.",
)
@click.option(
    "--min-effect",
    type=float,
    default=0.02,
    show_default=True,
    metavar="SIZE",
    help="Least standardised effect, at its lower 95 % bound, that pages.",
)
@click.option(
    "--min-rows",
    type=int,
    default=100,
    show_default=True,
    metavar="N",
    help="Fewer live rows are refused.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["page", "watch", "never"]),
    default="page",
    show_default=True,
    help="What exit code 1 stands for.",
)
@click.option(
    "--html",
    "html_to",
    metavar="FILE",
    help="Write the report as one page of HTML; - writes it to stdout, in place of the text.",
)
@json_option
def drift(
    reference: str,
    live: str,
    target: str | None,
    prediction: str | None,
    ignore: tuple[str, ...],
    segments: str | None,
    season: str | None,
    calibrate: bool,
    expect: str | None,
    false_pages_per_quarter: float,
    runs_per_day: float,
    min_effect: float,
    min_rows: int,
    fail_on: str,
    html_to: str | None,
    json_to: str | None,
) -> None:
    """Compare the rows of LIVE with those of REFERENCE.

    Both are CSV (.csv, .tsv, perhaps with .gz) or Parquet files; REFERENCE may be a profile that
    "mlsd profile" stored. In a CSV an empty field, NA, NaN, null and the like count as NULL.
    An identifier or a time stamp written as text tells nothing: leave it out with --ignore.

    \b
    Examples:
      mlsd drift reference.parquet live.parquet --html report.html
      mlsd drift reference.json today.csv --expect expect.json --json report.json
      mlsd drift last_month.csv today.csv --calibrate
      mlsd drift june.csv today.csv --target clicked --ignore user_id --fail-on watch

    \b
    Exit codes:
      0  nothing to page for (with --fail-on watch: nothing to watch either)
      1  something to page for (with --fail-on watch: or to watch)
      2  wrong usage, or a file that cannot be read
    With --fail-on never, 0 or 2.
    """
    from mlsd.drift import DriftMonitor

    if html_to == json_to == STDOUT:
        raise ValueError("--html - and --json - both claim stdout: give one of them a file")
    if calibrate and (season is not None or is_profile(reference)):
        other = "--season" if season is not None else f"the stored profile {reference}"
        raise ValueError(f"--calibrate cannot be used with {other}: it needs all rows in order")
    check_writable(html_to, "--html", reference, live, expect)
    check_writable(json_to, "--json", reference, live, expect)
    monitor = DriftMonitor(
        false_pages_per_quarter=false_pages_per_quarter,
        runs_per_day=runs_per_day,
        min_effect=min_effect,
        min_rows=min_rows,
        expect=None if expect is None else _read_expect(expect),
    )
    options = {"target": target, "prediction": prediction, "segments": segments, "season": season}
    if is_profile(reference):
        report = _against_profile(monitor, reference, live, ignore, options)
    else:
        report = _against_table(monitor, reference, live, ignore, options, calibrate)
    if html_to is not None:
        title = f"Drift of {Path(live).name} against {Path(reference).name}"
        write(report.to_html(title=title), html_to)
    if json_to is not None:
        write(report.to_json(indent=2), json_to)
    if STDOUT not in (json_to, html_to):
        click.echo(report.explain())
    _hint(report)
    if (report.page and fail_on != "never") or (report.watch and fail_on == "watch"):
        click.get_current_context().exit(1)


def _against_profile(
    monitor: DriftMonitor,
    reference: str,
    live: str,
    ignore: tuple[str, ...],
    options: dict[str, str | None],
) -> DriftReport:
    given = [f"--{name}" for name, value in options.items() if value is not None]
    given += ["--ignore"] if ignore else []
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be used with the stored profile {reference}: "
            "mlsd profile takes --target, --prediction and --ignore, and the others need the rows"
        )
    profile = read_profile(reference)
    with _named(reference):
        monitor.fit(profile)
    table = open_table(live, like=profile, ignore=frozenset())
    with _named(live):
        return monitor.compare(profile_of(table, like=profile))


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Name the file in place of the argument that holds its rows."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        if not text.startswith("X "):
            raise
        raise ValueError(f"{path}{text.removeprefix('X')}") from error


def _against_table(
    monitor: DriftMonitor,
    reference: str,
    live: str,
    ignore: tuple[str, ...],
    options: dict[str, str | None],
    calibrate: bool,
) -> DriftReport:
    before = open_table(reference, ignore=frozenset(ignore))
    check_columns(before, **options)
    target, prediction = options["target"], options["prediction"]
    if options["segments"] is None and options["season"] is None and not calibrate:
        profile = profile_of(before, target=target, prediction=prediction)
        with _named(reference):
            monitor.fit(profile)
        with _named(live):
            return monitor.compare(profile_of(_live(live, before, profile, ignore), like=profile))
    rows = all_rows(before)
    with _named(reference):
        monitor.fit(
            rows,
            y=target,
            prediction=prediction,
            segments=options["segments"],
            season=options["season"],
        )
    after = _live(live, before, profile_of(before, target=target, prediction=prediction), ignore)
    live_rows = all_rows(after)
    if calibrate:
        windows = max(len(live_rows), monitor.min_rows)
        with _named(reference):
            calibration = monitor.calibrate(
                rows, y=target, prediction=prediction, n_live=windows, held_out=False
            )
        click.echo(str(calibration), err=True)
    with _named(live):
        return monitor.compare(
            live_rows,
            y=target if target in after.names else None,
            prediction=prediction if prediction in after.names else None,
        )


def _live(live: str, before: Table, profile: Profile, ignore: tuple[str, ...]) -> Table:
    table = open_table(live, like=profile, ignore=frozenset(ignore))
    for name in ignore:
        if name not in before.header and name not in table.header:
            raise ValueError(f"--ignore {name}: neither {before.path} nor {live} has such a column")
    return table


def _read_expect(path: str) -> dict[str, Any]:
    """Return declarations that make sense, or say which key of which column does not."""
    from mlsd.drift import DriftMonitor

    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold an object of columns; got {type(found).__name__}")
    try:
        DriftMonitor(expect=found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return found


def _hint(report: DriftReport) -> None:
    """Name the columns that look like identifiers, on stderr: their values tell nothing."""
    names = [
        column.name
        for column in report.reference.columns
        if column.capped and 2 * column.n_singletons > column.n - column.n_null
    ]
    if names:
        options = " ".join(f"--ignore {name}" for name in names)
        click.echo(
            f"Note: {', '.join(names)}: most rows have a value of their own, as identifiers do; "
            f"leave them out with {options}",
            err=True,
        )
