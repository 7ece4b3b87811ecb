"""The rules of the house, read from the source: who imports whom, and what is kept out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mlsd"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

# Imports point down. What begins with an underscore at the top is floor 0.
FLOORS = {
    "__init__": 9,
    "__main__": 9,
    "metrics": 1,
    "experiments": 1,
    "ope": 1,
    "data": 1,
    "funnel": 2,
    "drift": 2,
    "world": 2,
    "engines": 3,
    "plotting": 3,
    "cli": 3,
    "practice": 3,
    "book": 3,
}
HEAVY = ("scipy", "sklearn", "matplotlib", "xgboost", "polars", "narwhals")


def ids(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def unit(name: str) -> str:
    """Return the part of the house that a module of mlsd belongs to: ``metrics``, ``_stats``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(name: str) -> int:
    return 0 if name.startswith("_") and name not in FLOORS else FLOORS[name]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def allowed_upwards(source: ast.Module) -> set[ast.AST]:
    """Return the one import that may point up: of the plotting, inside a method named plot."""
    return {
        statement
        for node in ast.walk(source)
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "plot"
        for statement in ast.walk(method)
        if isinstance(statement, ast.ImportFrom)
        and (statement.module, [alias.name for alias in statement.names]) == ("mlsd", ["plotting"])
    }


def mlsd_imports(source: ast.Module, module: str, is_package: bool) -> set[str]:
    """Return the units of mlsd that a module imports anywhere, functions included."""
    found = set()
    package = module if is_package else module.rpartition(".")[0]
    allowed = allowed_upwards(source)
    for node in ast.walk(source):
        if node in allowed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "mlsd" else {base}
    return {unit(name) for name in found if name == "mlsd" or name.startswith("mlsd.")}


def breaches(importer: str, imported: set[str]) -> set[str]:
    """Return the units that `importer` may not import: those above it and those beside it."""
    return {
        other
        for other in imported
        if other != importer
        and (floor(other) > floor(importer) or (floor(other) == floor(importer) != 0))
    }


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_imports_point_down(path):
    module = module_name(path)
    imported = mlsd_imports(tree(path), module, path.name == "__init__.py")
    assert breaches(unit(module), imported) == set()


@pytest.mark.parametrize(
    ("source", "module", "wrong"),
    [
        ("from mlsd import funnel", "mlsd.metrics._ranking", {"funnel"}),
        ("from mlsd.data import load", "mlsd.metrics._ranking", {"data"}),
        ("def f():\n    import mlsd.book", "mlsd.funnel.rerank", {"book"}),
        ("from ..funnel import x", "mlsd.metrics._ranking", {"funnel"}),
        ("from mlsd.metrics import x", "mlsd._stats", {"metrics"}),
        ("def plot():\n    from mlsd import plotting", "mlsd.metrics._x", {"plotting"}),
        ("class A:\n def draw(s):\n  from mlsd import plotting", "mlsd.metrics._x", {"plotting"}),
        ("class A:\n def plot(s):\n  from mlsd import cli", "mlsd.metrics._x", {"cli"}),
        ("class A:\n def plot(s):\n  from mlsd import plotting", "mlsd.metrics._x", set()),
        ("from mlsd.metrics import x", "mlsd.funnel.rerank", set()),
        ("from mlsd._stats import x\nfrom . import _other", "mlsd.metrics._ranking", set()),
        ("from mlsd._validation import x", "mlsd._stats", set()),
    ],
)
def test_the_test_of_the_floors_sees_a_wrong_import(source, module, wrong):
    assert breaches(unit(module), mlsd_imports(ast.parse(source), module, False)) == wrong


def test_every_part_has_a_floor():
    top = {
        path.stem if path.suffix == ".py" else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {name for name in top if not name.startswith("_") and name not in FLOORS} == set()


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "mlsd",
        "mlsd.metrics",
        "mlsd.data",
        "mlsd.funnel",
        "mlsd.drift",
        "mlsd.experiments",
        "mlsd.ope",
        "mlsd.world",
        "mlsd.book",
        "mlsd.plotting",
        "mlsd.cli",
    ],
)
def test_an_import_is_light(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(code) == "[]"


def test_metrics_of_plain_arrays_never_import_pandas():
    code = """
import sys
from mlsd import metrics
y, p = [0, 1, 1, 0], [0.2, 0.3, 0.9, 0.4]
metrics.roc_auc(y, p), metrics.roc_auc_ci(y, p), metrics.log_loss(y, p), metrics.brier(y, p)
metrics.precision_recall_f1(y, p), metrics.calibration_ratio(y, p), metrics.ndcg(y, p)
metrics.BinaryAccumulator().update(y, p).result()
print("pandas" in sys.modules)
"""
    assert run_python(code) == "False"


def test_import_mlsd_alone_does_not_import_its_parts_or_pandas():
    parts = ("data", "drift", "experiments", "funnel", "metrics", "ope", "world")
    wanted = [*(f"mlsd.{part}" for part in parts), "pandas", "numpy"]
    assert run_python(f"import sys, mlsd; print([m for m in {wanted} if m in sys.modules])") == "[]"


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_what_a_module_offers_is_explicit(path):
    body = tree(path).body
    exported = [
        node.value
        for node in body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    if path.stem.startswith("_") and path.name != "__init__.py" and not exported:
        return  # private: nobody is promised a name
    assert len(exported) == 1, "__all__ is assigned once, as a literal"
    names = ast.literal_eval(exported[0])
    assert len(names) == len(set(names))
    if path.name == "__init__.py" and path.parent == PACKAGE:
        return  # lazy: the subpackages are attributes on first use
    defined = {
        name
        for node in ast.walk(ast.Module(body, []))
        for name in (
            [node.name]
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else [(a.asname or a.name) for a in node.names]
            if isinstance(node, (ast.Import, ast.ImportFrom))
            else []
        )
    }
    assert set(names) - defined == set()


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_callers_get_errors_not_assertions_and_no_prints(path):
    source = tree(path)
    assert [n.lineno for n in ast.walk(source) if isinstance(n, ast.Assert)] == []
    if path.name != "__main__.py":  # a command prints, a library does not
        calls = [n for n in ast.walk(source) if isinstance(n, ast.Call)]
        assert [n.lineno for n in calls if getattr(n.func, "id", None) == "print"] == []


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_no_module_seeds_globally(path):
    assert not re.search(r"np\.random\.seed|\brandom\.seed\(", path.read_text(encoding="utf-8"))


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a clone: git does not say which files are the project's")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_package_registry_is_named():
    # Spelt in parts, or this file would be the first to name one.
    hosts = re.compile(
        "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "conda" + r"\.anaconda"])
    )
    texts = ((path, path.read_bytes().decode("utf-8", "replace")) for path in tracked())
    assert [path.name for path, text in texts if hosts.search(text)] == []


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    quoted = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|yml|toml|txt|lock|cfg|cff))`", text)
    missing = {name for name in [*targets, *quoted] if not (ROOT / name).exists()}
    assert {name for name in missing if not name.startswith(("_build/", ".venv/"))} == set()


def test_commands_that_the_readme_gives_are_targets_and_are_run_by_ci():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    fenced = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    commands = set(re.findall(r"^\s*make ([a-z-]+)", fenced, re.MULTILINE))
    assert {
        name for name in commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)
    } == set()
    assert {name for name in commands - {"serve", "record"} if f"make {name}" not in ci} == set()
