"""``mlsd profile``: what a table looks like, stored as the reference of later comparisons."""

from __future__ import annotations

import click

from mlsd.cli._output import STDOUT, check_writable, write
from mlsd.cli._profiles import check_columns, column_options, profile_of
from mlsd.cli._tables import open_table

__all__ = ["profile"]


@click.command(short_help="What a table looks like, stored as a reference.")
@click.argument("table", type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Store the profile as JSON in FILE, for mlsd drift; - writes it to stdout.",
)
@column_options
def profile(
    table: str,
    output: str | None,
    target: str | None,
    prediction: str | None,
    ignore: tuple[str, ...],
) -> None:
    """Show what the columns of TABLE look like, and store it as a reference.

    TABLE is a CSV (.csv, .tsv, perhaps with .gz) or a Parquet file. A profile holds counts and
    sums, at most 5 kB a column, and no row.

    \b
    Examples:
      mlsd profile reference.parquet -o reference.json
      mlsd profile june.csv.gz --target clicked --ignore user_id -o june.json

    Exit codes: 0 done; 2 wrong usage, or a file that cannot be read.
    """
    check_writable(output, "--output", table)
    file = open_table(table, ignore=frozenset(ignore))
    for name in ignore:
        if name not in file.header:
            raise ValueError(f"--ignore {name}: {table} has no such column")
    check_columns(file, target=target, prediction=prediction)
    found = profile_of(file, target=target, prediction=prediction)
    if output is not None:
        write(found.to_json(), output)
    if output == STDOUT:
        return
    click.echo(f"{table}: {found.n_rows:,} rows, {len(found.columns):,} columns")
    click.echo(found.to_frame().to_string(float_format="{:.4g}".format))
