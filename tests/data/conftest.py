"""A toy wheel and a toy source archive, served to pip from a folder: no network."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from mlsd.data import _fetch
from mlsd.data._fetch import Source

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def _wheel(path):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy/data.txt", "from the wheel")
        wheel.writestr("toy-1.0.dist-info/METADATA", METADATA.format(name="toy"))
        wheel.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy-1.0.dist-info/RECORD", "")


def _sdist(path, marker):
    files = {
        "PKG-INFO": METADATA.format(name="trap"),
        "setup.py": f"open({str(marker)!r}, 'w').write('ran')\nimport setuptools\n",
        "trap/data.txt": "from the source archive",
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"trap-1.0/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of distributions that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    _wheel(folder / "toy-1.0-py3-none-any.whl")
    _sdist(folder / "trap-1.0.tar.gz", tmp_path / "setup-ran")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pins(index):
    """The two distributions, as sources.txt would pin them."""

    def pin(name, file, is_sdist):
        digest = hashlib.sha256((index / file).read_bytes()).hexdigest()
        return Source(name, "1.0", digest, is_sdist)

    return {
        "toy": pin("toy", "toy-1.0-py3-none-any.whl", False),
        "trap": pin("trap", "trap-1.0.tar.gz", True),
    }


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, named by the environment variable, and no spare folder yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MLSD_DATA_DIR", str(folder))
    monkeypatch.setattr(_fetch, "_spare_dirs", [])
    return folder


@pytest.fixture
def no_fetch(monkeypatch):
    """Fail the test if anything is fetched."""

    def refuse(source, folder):
        raise AssertionError(f"{source.name} was fetched")

    monkeypatch.setattr(_fetch, "_download", refuse)
