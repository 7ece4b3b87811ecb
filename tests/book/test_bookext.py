"""The book's Sphinx extension: where the repository is found, and scripts that came twice."""

from __future__ import annotations

import types

import bookext
import pytest


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/someone/a-book",
        "https://github.com/someone/a-book.git",
        "https://token@github.com/someone/a-book.git",
        "git@github.com:someone/a-book.git",
        "ssh://git@github.com/someone/a-book.git\n",
    ],
)
def test_a_github_remote_is_an_address(origin):
    assert bookext.repository_url({}, origin) == "https://github.com/someone/a-book"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "/srv/git/book.git",
        "https://gitlab.com/a/b.git",
        "https://github.com.evil.org/a/b",
    ],
)
def test_any_other_remote_is_none(origin):
    assert bookext.repository_url({}, origin) is None


def test_the_environment_of_a_workflow_comes_first():
    environ = {"GITHUB_REPOSITORY": "me/fork"}
    origin = "git@github.com:someone/a-book.git"
    assert bookext.repository_url(environ, origin) == "https://github.com/me/fork"
    environ["GITHUB_SERVER_URL"] = "https://git.example.org"
    assert bookext.repository_url(environ, None) == "https://git.example.org/me/fork"


def test_without_an_address_there_are_no_buttons():
    assert bookext.repository_options(None) == {}


def test_binder_is_offered_only_for_an_address_that_it_knows():
    options = bookext.repository_options("https://github.com/someone/a-book")
    assert options["use_repository_button"]
    assert options["launch_buttons"]["binderhub_url"] == "https://mybinder.org"
    assert "launch_buttons" not in bookext.repository_options("https://git.example.org/a/b")


def test_a_folder_without_git_has_no_origin(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert bookext.git_origin(tmp_path) is None


def test_a_script_added_twice_is_kept_once_and_others_stay():
    def script(filename=None, **attributes):
        return types.SimpleNamespace(filename=filename, attributes=attributes)

    scripts = [script("a.js"), script(body="let x"), script("b.js"), script("", body="let x")]
    context = {"script_files": scripts}
    bookext.drop_repeated_scripts(None, "page", "page.html", context, None)
    assert context["script_files"] == scripts[:3]


def test_an_alt_text_shows_computed_and_given_numbers():
    glued = {"recall": {"data": {"text/plain": "0.4449"}}, "best": {"data": {"text/plain": "'A'"}}}
    alt = "Recall is {glue:text}`recall:.2f` at {given}`10`, and {glue:text}`best` wins."
    assert bookext.resolve_alt(alt, glued) == "Recall is 0.44 at 10, and A wins."
    with pytest.raises(KeyError, match="precision"):
        bookext.resolve_alt("{glue:text}`precision`", glued)
