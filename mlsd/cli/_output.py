"""Where results go: text on stdout, JSON in a file or on stdout in place of the text."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import click

from mlsd._results import plain

__all__ = ["STDOUT", "as_json", "check_writable", "json_option", "write"]

STDOUT = "-"

json_option = click.option(
    "--json",
    "json_to",
    metavar="FILE",
    help="Write the result as JSON to FILE; - writes it to stdout, in place of the text.",
)


def check_writable(path: str | None, option: str, *inputs: str | None) -> None:
    """Raise before the work begins if a file could not be written after it, or is an input."""
    if path is None or path == STDOUT:
        return
    if any(Path(path).resolve() == Path(name).resolve() for name in inputs if name is not None):
        raise ValueError(f"{option} {path}: this would overwrite what is read")
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {folder}")
    if Path(path).is_dir():
        raise ValueError(f"{option} {path}: this is a folder, not a file")
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise ValueError(f"{option} {path}: no permission to write there")


def write(text: str, path: str) -> None:
    """Write text to a file, or to stdout."""
    if path == STDOUT:
        click.echo(text)
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")


def as_json(value: Any) -> str:
    """Return strict JSON: an undefined number is null."""
    return json.dumps(_defined(plain(value)), indent=2, allow_nan=False, ensure_ascii=False)


def _defined(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _defined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return value
