"""Settings of the tests of the experiments."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Test modules are imported without a path to look on (importlib), so that what several share is
# put in place by name.
_spec = importlib.util.spec_from_file_location(
    "report_data", Path(__file__).with_name("report_data.py")
)
sys.modules["report_data"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["report_data"])
