"""Settings shared by all tests."""

from __future__ import annotations

import hypothesis

# The same examples in every run, and no clock: a test fails for a reason, or not at all.
hypothesis.settings.register_profile("mlsd", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("mlsd")
