"""Read a chapter's MyST: its directives, and the digits in its prose that no cell computed.

This is no second parser of Markdown. It knows the few constructs that the chapters use, keeps line
numbers, and errs on the side of reporting a digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Directives whose body is no prose, and those whose argument is a name, a path or a layout.
_NO_PROSE = {"code-cell", "code-block", "code", "math", "bibliography", "eval-rst", "raw"}
_NO_PROSE |= {"mermaid", "toctree", "literalinclude"}
_NO_TITLE = _NO_PROSE | {"solution", "solution-start", "solution-end", "exercise-end", "glossary"}
_NO_TITLE |= {"figure", "image", "include", "grid", "glue"}
_PROSE_OPTIONS = frozenset({"alt", "caption", "title"})

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,}|:{3,})\s*(?P<info>.*?)\s*$")
_DIRECTIVE = re.compile(r"^\{(?P<name>[^}]+)\}\s*(?P<argument>.*)$")
_OPTION = re.compile(r"^\s*:(?P<key>[\w-]+):\s?(?P<value>.*)$")
_YAML_PROSE = re.compile(r"^\s*(?:alt|caption):\s?(?P<value>.*)$")

# Of these the page shows nothing that was typed: results, declared figures, targets, maths.
_ROLES = r"given|glue(?::\w+)?|cite(?::\w+)?|eq|numref|ref|doc|term|math|download|py:\w+"
_ROLE = re.compile(rf"\{{(?:{_ROLES})\}}(?P<ticks>`+)(?P<body>.+?)(?P=ticks)", re.DOTALL)
_OTHER_ROLE = re.compile(r"\{[\w:+-]+\}(?P<ticks>`+)(?P<body>[^`]+?)(?P=ticks)")
_TARGETED = re.compile(r"^(?P<text>.*?)\s*<[^<>]+>$", re.DOTALL)
_MASKS = [
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^[ ]{0,3}%.*$", re.MULTILINE),  # a MyST comment
    re.compile(r"\\begin\{(?P<env>[\w*]+)\}.*?\\end\{(?P=env)\}", re.DOTALL),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<![\\$\w])\$(?=\S)(?:\\.|[^$\n]|\n(?!\s*\n))+?(?<=\S)\$(?![\d$])"),
]
_INLINE_CODE = re.compile(r"(?P<ticks>`+)(?P<body>[^`]+?)(?P=ticks)")
_BARE_NUMBER = re.compile(r"[\s\d.,%+±~-]+")
_AFTER_CODE = [
    re.compile(r"(?<=\])\([^()\s]*(?:\s+\"[^\"]*\")?\)"),  # the target of a link
    re.compile(r"(?<=[\])])\{[^{}`]*\}"),  # attributes
    re.compile(r"<(?:https?://|mailto:)[^>\s]+>"),
    re.compile(r"</?[A-Za-z][^<>]*>"),  # inline HTML
    re.compile(r"^\s{0,3}\[[^\]]+\]:\s.*$", re.MULTILINE),  # a link's definition
    re.compile(r"\[\^[\w-]+\]"),  # a footnote's mark
    re.compile(r"^\([\w.:-]+\)=\s*$", re.MULTILINE),  # a label
    re.compile(r"^[\s>]*\d+[.)](?=\s)", re.MULTILINE),  # the marker of a list
    # Names that hold an integer: nDCG@10, BM25, LSA-200, F1, h2, p99. A decimal or a per cent sign
    # after the name is a result that leans on it.
    re.compile(r"(?<![\w.])[A-Za-z]+(?:[@_-]?\d+[A-Za-z]*)+(?![\w]|[.,]\d|\s?%)"),
]
_DIGIT = re.compile(r"(?:\d[\d.,]*\d|\d|[¼½¾⅐-⅞])(?:\s?%)?")


@dataclass
class Directive:
    """One fenced directive: ``name`` and ``argument`` from its first line, and what it encloses."""

    name: str
    argument: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class TypedNumber:
    """A number in the prose that no cell computed and no role declares."""

    line: int
    number: str
    context: str


@dataclass
class _Open:
    indent: int
    fence: str
    prose: bool
    directive: Directive | None
    start: int
    options_done: bool = False
    in_yaml: bool = False


def _walk(text: str) -> tuple[list[str], list[Directive]]:
    """Return the lines, blank where they are no prose, and the directives in order of opening."""
    source = text.splitlines()
    lines: list[str] = []
    found: list[Directive] = []
    stack: list[_Open] = []
    front = source[:1] == ["---"]
    for number, line in enumerate(source, start=1):
        if front:
            lines.append("")
            front = number == 1 or line != "---"
            continue
        match = _FENCE.match(line)
        top = stack[-1] if stack else None
        if match and top and not match["info"] and _closes(match["fence"], top.fence):
            stack.pop()
            if top.directive is not None:
                top.directive.body = "\n".join(source[top.start : number - 1])
            lines.append("")
            continue
        if match and (top is None or top.prose) and (match["info"] or match["fence"][0] != ":"):
            opened, shown = _opened(match, number)
            if opened.directive is not None:
                found.append(opened.directive)
            stack.append(opened)
            lines.append(shown)
            continue
        lines.append(line if top is None else _inside(line, top))
    return lines, found


def _closes(fence: str, opened: str) -> bool:
    return fence[0] == opened[0] and len(fence) >= len(opened)


def _opened(match: re.Match[str], number: int) -> tuple[_Open, str]:
    directive = None
    prose, shown = False, ""
    if info := _DIRECTIVE.match(match["info"]):
        directive = Directive(info["name"], info["argument"], number)
        prose = info["name"] not in _NO_PROSE
        shown = "" if info["name"] in _NO_TITLE else info["argument"]
    opened = _Open(len(match["indent"]), match["fence"], prose, directive, number)
    opened.options_done = directive is None
    return opened, shown


def _inside(line: str, top: _Open) -> str:
    """Return what of a line within a directive is prose: its text, and the words of its options."""
    if not top.options_done:
        if top.in_yaml:
            top.in_yaml = line.strip() != "---"
            top.options_done = not top.in_yaml
            words = _YAML_PROSE.match(line)
            return words["value"] if words else ""
        if line.strip() == "---":
            top.in_yaml = True
            return ""
        if option := _OPTION.match(line):
            if top.directive is not None:
                top.directive.options[option["key"]] = option["value"].strip()
            return option["value"] if option["key"] in _PROSE_OPTIONS else ""
        top.options_done = True
    return line if top.prose else ""


def directives(text: str) -> list[Directive]:
    """Return the directives of a page, in the order in which they open."""
    return _walk(text)[1]


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def _role(match: re.Match[str]) -> str:
    """Keep the words of ``{ref}`words <target>```; all else in a role is computed or declared."""
    targeted = _TARGETED.match(match["body"])
    if targeted is None or match[0].startswith("{given}"):
        return _blank(match)
    return targeted["text"] + "\n" * (match[0].count("\n") - targeted["text"].count("\n"))


def _code(match: re.Match[str]) -> str:
    # A number alone in backticks is still a number typed by hand.
    return match["body"] if _BARE_NUMBER.fullmatch(match["body"]) else _blank(match)


def prose(text: str) -> str:
    """Return a page's prose, line for line: code, maths, roles, targets and names blanked."""
    kept = "\n".join(_walk(text)[0])
    for mask in _MASKS:
        kept = mask.sub(_blank, kept)
    kept = _OTHER_ROLE.sub(lambda role: role["body"], _ROLE.sub(_role, kept))
    kept = _INLINE_CODE.sub(_code, kept)
    for mask in _AFTER_CODE:
        kept = mask.sub(_blank, kept)
    return kept


def typed_numbers(text: str) -> Iterator[TypedNumber]:
    """Yield the numbers that somebody typed into the prose, a table, a title or a caption."""
    source = text.splitlines()
    for number, line in enumerate(prose(text).splitlines(), start=1):
        for match in _DIGIT.finditer(line):
            yield TypedNumber(number, match[0], source[number - 1].strip())


def headings(text: str) -> dict[str, str]:
    """Return the sections of the second level, heading to text, cells and all."""
    sections: dict[str, str] = {}
    current: str | None = None
    fence: str | None = None
    for line in text.splitlines():
        match = _FENCE.match(line)
        if match and fence is None and match["info"]:
            fence = match["fence"]
        elif match and fence is not None and not match["info"] and _closes(match["fence"], fence):
            fence = None
        elif fence is None and line.startswith("## "):
            current = line[3:].strip()
            sections[current] = ""
            continue
        if current is not None:
            sections[current] += f"{line}\n"
    return sections
