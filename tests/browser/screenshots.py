"""Write screenshots for people to look at: `python tests/browser/screenshots.py OUTDIR [page…]`.

Each page is cut into slices of one viewport, in both themes and both widths.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from playwright.sync_api import sync_playwright
from site_server import HTML, THEMES, WIDTHS, launch, pages, serve

HEIGHT = {390: 1400, 1280: 1600}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("pages", nargs="*", help="such as chapters/index.html; all by default")
    parser.add_argument("--site", type=Path, default=HTML, help="the folder of the built site")
    arguments = parser.parse_intermixed_args()
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    with serve(arguments.site) as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for theme in THEMES:
            for width in WIDTHS:
                viewport = {"width": width, "height": HEIGHT[width]}
                context = browser.new_context(viewport=viewport, color_scheme=theme)
                tab = context.new_page()
                for page in arguments.pages or pages(arguments.site):
                    tab.goto(f"{address}/{page}")
                    tab.wait_for_load_state("networkidle")
                    stem = page.removesuffix(".html").replace("/", "-")
                    length = tab.evaluate("document.documentElement.scrollHeight")
                    for index, top in enumerate(range(0, length, HEIGHT[width])):
                        tab.evaluate(f"window.scrollTo(0, {top})")
                        name = f"{stem}-{width}-{theme}-{index}.png"
                        tab.screenshot(path=arguments.outdir / name)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
