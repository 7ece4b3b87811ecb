"""The build script: when it forgets executed cells, and what it says of a failure."""

from __future__ import annotations

import build
import pytest


@pytest.fixture
def project(tmp_path):
    (tmp_path / "mlsd" / "metrics").mkdir(parents=True)
    (tmp_path / "mlsd" / "metrics" / "a.py").write_text("x = 1\n")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "requirements.lock").write_text("numpy==1\n")
    return tmp_path


def test_the_fingerprint_stays_and_the_cache_with_it(project):
    target = project / "_build"
    assert build.drop_stale_cache(target, project)
    (target / ".jupyter_cache").mkdir()
    assert not build.drop_stale_cache(target, project)
    assert (target / ".jupyter_cache").exists()


@pytest.mark.parametrize(
    "changed",
    [
        "mlsd/metrics/a.py",
        "mlsd/new.py",
        "mlsd/pins.txt",
        "requirements.lock",
        "benchmarks/results/ranking.json",
    ],
)
def test_a_change_of_code_or_lock_drops_the_cache(project, changed):
    target = project / "_build"
    build.drop_stale_cache(target, project)
    (target / ".jupyter_cache").mkdir()
    (project / changed).write_text("x = 2\n")
    assert build.drop_stale_cache(target, project)
    assert not (target / ".jupyter_cache").exists()


def test_another_python_drops_the_cache(project, monkeypatch):
    before = build.fingerprint(project)
    monkeypatch.setattr(build.platform, "python_version", lambda: "3.99.0")
    assert build.fingerprint(project) != before


def test_the_failing_page_is_named():
    log = (
        "reading sources... [ 50%] chapters/approach/scale.md\n"
        "\x1b[91m/a/b/chapters/approach/metrics.md: WARNING: Executing notebook failed\x1b[0m\n"
        "/a/b/chapters/index.md:3: WARNING: undefined label\n"
        "/a/b/chapters/approach/metrics.md:9: WARNING: again\n"
    )
    assert build.failing_pages(log) == ["chapters/approach/metrics.md", "chapters/index.md"]


def test_one_thread_is_handed_to_the_kernels():
    environment = build.environment()
    assert environment.get("OPENBLAS_CORETYPE", "Haswell") == "Haswell"
    assert environment["OPENBLAS_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "1"
