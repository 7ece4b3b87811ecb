"""The group of commands: expected mistakes become one sentence, and no crash looks like a page."""

from __future__ import annotations

import errno
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any, NoReturn

import click

__all__ = ["Commands", "Refused"]

# What a caller can get wrong: an argument, a file, what is in it.
_EXPECTED = (ValueError, TypeError, OSError, EOFError, zlib.error)


class Refused(click.ClickException):
    """Input that the command cannot work with; the message is one sentence."""

    exit_code = 2


class Commands(click.Group):
    """A group whose commands leave with 2 on any error: 1 is kept for what they found."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; tell warnings and mistakes on stderr."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                return super().invoke(ctx)
            except (click.ClickException, click.exceptions.Exit, click.Abort):
                raise
            except KeyboardInterrupt:
                click.echo("Interrupted.", err=True)
                ctx.exit(130)
            except _EXPECTED as error:
                if getattr(error, "errno", None) == errno.EPIPE:
                    raise  # whoever read the output has seen enough; click ends quietly
                if _by_accident(error):
                    _own_fault(ctx)
                raise Refused(_sentence(error)) from None
            except Exception:  # a fault of ours must not look like a page to whoever reads codes
                _own_fault(ctx)
            finally:
                _tell(caught)


def _by_accident(error: BaseException) -> bool:
    """Return whether a TypeError is no refusal: no line raised it, an operation failed."""
    if not isinstance(error, TypeError):
        return False
    line = traceback.extract_tb(error.__traceback__)[-1].line
    return bool(line) and not str(line).lstrip().startswith("raise")


def _own_fault(ctx: click.Context) -> NoReturn:
    click.echo(traceback.format_exc(), err=True)
    click.echo("This is a fault of mlsd, not of your input.", err=True)
    ctx.exit(2)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{Path(error.filename)}: {error.strerror}"
    # Messages of libraries may run over several lines.
    return " ".join(str(error).split()) or type(error).__name__


def _tell(caught: list[warnings.WarningMessage]) -> None:
    """Write each warning for users once; those for programmers are not theirs to mend."""
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    for message in dict.fromkeys(said):
        click.echo(f"Warning: {message}", err=True)
