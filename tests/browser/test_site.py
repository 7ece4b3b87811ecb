"""Every page, in both themes and at two widths: quiet, self-contained, legible, navigable."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from site_server import HTML, THEMES, WIDTHS, pages

PAGES = pages()
# Sphinx's own lists are checked like the rest, but hold no content of the book's.
CONTENT = [page for page in PAGES if page.startswith("chapters/")]


def test_the_site_was_built():
    assert "chapters/index.html" in PAGES, "run `make book` first"


@dataclass
class Visit:
    """A tab, and what it had to say."""

    tab: object
    width: int
    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=[(t, w) for t in THEMES for w in WIDTHS], ids=str)
def visit(request, browser, address):
    theme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    seen = Visit(context.new_page(), width)

    def guard(route):
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            seen.foreign.append(url)
            route.abort()

    context.route("**/*", guard)
    seen.tab.on("console", lambda m: seen.console.append(m.text) if m.type == "error" else None)
    seen.tab.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.tab.on(
        "response", lambda r: seen.failed.append(f"{r.status} {r.url}") if r.status >= 400 else None
    )
    yield seen
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quiet_self_contained_and_legible(visit, address, page):
    visit.console.clear()
    visit.foreign.clear()
    visit.failed.clear()
    visit.tab.goto(f"{address}/{page}")
    visit.tab.evaluate("window.MathJax?.startup?.promise")
    assert visit.console == []
    assert visit.foreign == []
    assert visit.failed == []
    assert "Math input error" not in visit.tab.inner_text("body")
    sideways = visit.tab.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert sideways <= 0, f"the page scrolls sideways by {sideways} px"
    # Contrast takes two thirds of the time, and is the theme's: once a theme is enough.
    rules = {"color-contrast": {"enabled": visit.width == max(WIDTHS)}}
    findings = [
        f"{finding['id']} ({finding['impact']}): {node['target']} {node['html'][:160]}"
        for finding in Axe().run(visit.tab, options={"rules": rules}).response["violations"]
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]
    assert findings == [], "\n".join(findings)


@pytest.fixture(scope="module")
def anchors(browser, address):
    """Each page's links and the identifiers that a link can lead to."""
    tab = browser.new_page()
    found = {}
    for page in PAGES:
        tab.goto(f"{address}/{page}")
        links = tab.eval_on_selector_all("a[href]", "as => as.map(a => a.getAttribute('href'))")
        identifiers = tab.eval_on_selector_all("[id]", "es => es.map(e => e.id)")
        found[page] = (links, set(identifiers))
    tab.close()
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(anchors, page):
    broken = []
    for link in anchors[page][0]:
        target, anchor = urldefrag(urljoin(f"http://site/{page}", link))
        if not target.startswith("http://site/"):
            continue
        path = target.removeprefix("http://site/").split("?")[0]
        there = path in anchors or (HTML / path).is_file()
        # "#" and "#top" lead to the top of any page.
        if not there or (anchor not in ("", "top") and anchor not in anchors[path][1]):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", CONTENT)
def test_each_picture_is_described_by_a_sentence(browser, address, page):
    tab = browser.new_page()
    tab.goto(f"{address}/{page}")
    alts = tab.eval_on_selector_all("article img", "is => is.map(i => [i.alt, i.naturalWidth])")
    tab.close()
    for alt, width in alts:
        assert alt.endswith("."), alt
        assert len(alt.split()) >= 5, alt
        assert "{" not in alt, "a role in the alt text was not resolved"
        assert width > 0, "the picture did not load"


def test_search_finds_a_word_of_the_book(browser, address):
    tab = browser.new_page()
    tab.goto(f"{address}/search.html?q=NDCG")
    tab.wait_for_selector("#search-results li a", timeout=10_000)
    found = tab.eval_on_selector_all("#search-results li a", "as => as.map(a => a.href)")
    tab.close()
    assert any("/chapters/" in link for link in found)


def test_the_theme_can_be_changed(browser, address):
    tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    tab.goto(f"{address}/chapters/index.html")
    seen = set()
    for _ in range(3):
        tab.click("button.theme-switch-button")
        seen.add(tab.evaluate("document.documentElement.dataset.theme"))
    tab.context.close()
    assert seen == {"light", "dark"}
