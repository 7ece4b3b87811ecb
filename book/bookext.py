"""The book's own Sphinx extension: a role, local MathJax, repository buttons, a cured theme."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Struct
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue.crossref import read_glue_cache
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

LOGGER = logging.getLogger(__name__)

GIVEN_TITLE = "assumption, parameter or cited fact"
MATHJAX = "static/mathjax/tex-svg.js"
_GITHUB = re.compile(
    r"(?:https?://(?:[^@/]+@)?|ssh://git@|git@)github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)

_ROLE_IN_ALT = re.compile(r"\{(given|glue:text)\}`([^`]+)`")


class given(nodes.Inline, nodes.TextElement):
    """A figure that the text states rather than computes."""


class GivenRole(SphinxRole):
    """``{given}`` marks a figure that was assumed, chosen or cited: the rest are computed."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Parse the content as MyST, so that it may hold maths."""
        node = given(self.rawtext, classes=["given"])
        memo = Struct(document=self.inliner.document, reporter=self.inliner.reporter, language=None)
        children, messages = self.inliner.parse(self.text, self.lineno, memo, node)
        node += children
        return [node], messages


def visit_given_html(self: Any, node: given) -> None:
    """Open a span with a hint."""
    self.body.append(self.starttag(node, "span", "", title=GIVEN_TITLE))


def depart_given_html(self: Any, node: given) -> None:
    """Close it."""
    self.body.append("</span>")


def visit_given_other(self: Any, node: given) -> None:
    """Writers without a notion of a hint print the words alone."""


def repository_url(environ: Mapping[str, str], origin: str | None) -> str | None:
    """Return the GitHub address of this repository, or None if it has none.

    GitHub Actions says it in the environment; elsewhere the remote named origin does.
    """
    if slug := environ.get("GITHUB_REPOSITORY"):
        return f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{slug}"
    match = _GITHUB.fullmatch(origin.strip()) if origin else None
    return f"https://github.com/{match[1]}/{match[2]}" if match else None


def git_origin(folder: Path) -> str | None:
    """Return the address of the remote named origin, or None without git or remote."""
    try:
        done = subprocess.run(
            ["git", "remote", "get-url", "origin"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def repository_options(url: str | None, branch: str = "main") -> dict[str, Any]:
    """Return the theme options that show the buttons: none without an address."""
    if url is None:
        return {}
    options: dict[str, Any] = {
        "repository_url": url,
        "repository_branch": branch,
        "path_to_docs": "",
        "use_repository_button": True,
        "use_issues_button": True,
    }
    if url.startswith("https://github.com/"):  # Binder's /gh/ address knows github.com alone
        options["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        }
    return options


def add_repository(app: Sphinx, config: Any) -> None:
    """Show the buttons of the repository, if there is one to show."""
    url = repository_url(os.environ, git_origin(Path(app.confdir)))
    config.html_theme_options.update(repository_options(url))


def resolve_alt(alt: str, glued: Mapping[str, Any]) -> str:
    """Return an alt text with its ``{glue:text}`` and ``{given}`` resolved, or raise KeyError."""

    def replacement(match: re.Match[str]) -> str:
        role, body = match.groups()
        if role == "given":
            return body
        name, _, specification = body.partition(":")
        return format_plain_text(glued[name]["data"]["text/plain"], specification or "s")

    return _ROLE_IN_ALT.sub(replacement, alt)


def resolve_alts(app: Sphinx, doctree: nodes.document) -> None:
    """Let alt texts show computed numbers too: MyST reads no role in them."""
    for image in doctree.findall(nodes.image):
        if "{" not in (alt := image.get("alt", "")):
            continue
        glued = read_glue_cache(str(app.env.mystnb_config.output_folder), app.env.docname)
        try:
            image["alt"] = resolve_alt(alt, glued)
        except KeyError as missing:
            LOGGER.warning("alt text shows %s, which no cell hands over", missing, location=image)


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Put the one MathJax file that the pages load beside them."""
    if exception is not None or app.builder.format != "html":
        return
    # Not importable by its hyphenated name in a statement, and its own setup copies 15 MB.
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package sphinx-mathjax-offline is not installed")
    source = Path(next(iter(spec.submodule_search_locations))) / MATHJAX
    target = Path(app.outdir) / "_static" / app.config.mathjax_path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def drop_repeated_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Keep the first of scripts added twice: sphinx-thebe's second one throws on every page."""
    kept = {}
    for script in context.get("script_files", []):
        # A script in the page has the name None the first time, and "" the second.
        key = (str(script.filename or ""), script.attributes.get("body"))
        kept.setdefault(key, script)
    context["script_files"] = list(kept.values())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register it all with Sphinx."""
    other = (visit_given_other, visit_given_other)
    app.add_node(
        given, html=(visit_given_html, depart_given_html), latex=other, text=other, man=other
    )
    app.add_role("given", GivenRole())
    app.connect("config-inited", add_repository)
    app.connect("doctree-read", resolve_alts)
    # Late, after the extensions have added theirs.
    app.connect("html-page-context", drop_repeated_scripts, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
