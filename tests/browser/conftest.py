"""The built site in a browser: `make browser` builds it and installs what this needs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

# The other tests need neither a browser nor these packages.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

if importlib.util.find_spec("playwright"):
    from playwright.sync_api import sync_playwright
    from site_server import launch, serve

    @pytest.fixture(scope="session")
    def address():
        with serve() as where:
            yield where

    @pytest.fixture(scope="session")
    def browser():
        with sync_playwright() as playwright:
            browser = launch(playwright)
            yield browser
            browser.close()
