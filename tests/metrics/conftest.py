"""Settings of the tests of the metrics."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Test modules are imported without a path to look on (importlib), so that what two of them share is
# put in place by name.
for _name in ("common_data", "common_table", "common_changes"):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
