"""Read a chapter's code cells: which numbers they hand to the prose, and which draw."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

HANDING = frozenset({"number", "text", "timing"})
_DRAWS = re.compile(r"\bplt\.(?:subplots|subplot_mosaic|figure)\(|\.plot\.?\w*\(")


@dataclass(frozen=True)
class Handed:
    """A call of `mlsd.book` that hands a value to the prose under a name, or a pattern of names."""

    function: str
    pattern: str
    line: int

    def defines(self, name: str) -> bool:
        """Say whether `name` is one of the names handed over."""
        return re.fullmatch(self.pattern, name) is not None


def tree(source: str) -> ast.Module:
    """Parse a cell, magics and all."""
    return ast.parse(TransformerManager().transform_cell(source))


def _called(call: ast.Call) -> str | None:
    function = call.func
    if isinstance(function, ast.Attribute):
        # book.number(...), as against the number of some other object
        owner = function.value
        return function.attr if isinstance(owner, ast.Name) and owner.id == "book" else None
    return function.id if isinstance(function, ast.Name) else None


def _pattern(name: ast.expr) -> str | None:
    """Return the regular expression of a literal name, or of an f-string's names."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return re.escape(name.value)
    if isinstance(name, ast.JoinedStr):
        parts = (
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+"
            for part in name.values
        )
        return "".join(parts)
    return None


def handed(source: str) -> Iterator[Handed]:
    """Yield the values that a cell hands over. A name is written out or is an f-string."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Call) and _called(node) in HANDING:
            pattern = _pattern(node.args[0]) if node.args else None
            if pattern is None:
                raise ValueError(
                    f"line {node.lineno}: the first argument of {_called(node)} must be its name, "
                    "written out or as an f-string"
                )
            yield Handed(str(_called(node)), pattern, node.lineno)


def uses_raw_glue(source: str) -> bool:
    """Say whether a cell glues a value past the checks of `mlsd.book`."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Name) and node.id == "glue":
            return True
        if isinstance(node, ast.Attribute) and node.attr == "glue":
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and any(
            "myst_nb" in name for name in [getattr(node, "module", None) or "", *_names(node)]
        ):
            return True
    return False


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names]


def draws(source: str) -> bool:
    """Say whether a cell's code makes a figure, as far as its words tell."""
    return _DRAWS.search(source) is not None
