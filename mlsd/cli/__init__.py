"""Floor 3: the command line: ``mlsd evaluate``, ``mlsd profile`` and ``mlsd drift``.

Results go to stdout, all else to stderr. An expected mistake is one sentence and exit code 2.
"""

from __future__ import annotations

import click

from mlsd import __version__
from mlsd.cli._drift import drift
from mlsd.cli._evaluate import evaluate
from mlsd.cli._group import Commands
from mlsd.cli._profile import profile

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlsd", message="%(prog)s %(version)s")
def main() -> None:
    """Evaluate rankings, and watch tables for drift.

    \b
    Exit codes:
      0    done, and nothing to page for
      1    mlsd drift found something (see its --fail-on)
      2    wrong usage, or input that cannot be read
      130  interrupted
    """


for _command in (evaluate, profile, drift):
    main.add_command(_command)
