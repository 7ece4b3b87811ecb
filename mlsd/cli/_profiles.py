"""From files to profiles, with the options that both commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlsd.cli._tables import Chunks, Table

if TYPE_CHECKING:
    from mlsd.drift import Profile

__all__ = ["check_columns", "column_options", "profile_of", "read_profile"]


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name columns."""
    for option in (
        click.option(
            "--ignore",
            multiple=True,
            metavar="COLUMN",
            help="Leave a column out, such as an identifier; may be repeated.",
        ),
        click.option("--prediction", metavar="COLUMN", help="Column of the model's predictions."),
        click.option("--target", metavar="COLUMN", help="Column of the labels."),
    ):
        command = option(command)
    return command


def check_columns(table: Table, **columns: str | None) -> None:
    """Raise ValueError if an option names a column that a table does not have."""
    for option, name in columns.items():
        if name is not None and name not in table.names:
            raise ValueError(
                f"--{option} {name}: {table.path} has no such column; it has "
                f"{', '.join(table.names)}"
            )


def profile_of(
    table: Table,
    *,
    like: Profile | None = None,
    target: str | None = None,
    prediction: str | None = None,
) -> Profile:
    """Return the profile of a table in a file."""
    from mlsd.drift import Profile

    return Profile.from_chunks(Chunks(table), like=like, y=target, prediction=prediction)


def read_profile(path: str) -> Profile:
    """Return a stored profile."""
    from mlsd.drift import Profile

    try:
        return Profile.from_json(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no profile that mlsd profile wrote: {error}") from None
