"""Who may import whom, read from the sources."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tachograph"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "_otel", "notices", "parsers", "version"),
    ("catalogue", "settings", "contain"),
    ("metrics", "correlation", "intake", "fork"),
    ("operations", "genai", "logs", "audit", "export", "scrape", "propagation", "sampling", "ids"),
    ("integrations",),
    ("bootstrap",),
    ("distro", "testing", "__init__"),
    ("cli", "pytest_plugin"),  # its demo is an application like any other
    ("__main__",),
)
LAYER = {module: number for number, modules in enumerate(LAYERS) for module in modules}

# The one shared vocabulary of the features' layer.
SHARED = {"genai.model", "genai.derive", "genai.pricing", "genai.budgets", "genai"}

# Third-party packages outside the core dependencies, and the one part of the layout that may import each.
OPTIONAL = {
    "fastapi": "cli",
    "genai_prices": "genai",
    "httpx": "cli",
    "pytest": "pytest_plugin",
    "rich": "cli",
    "starlette": "cli",
    "uvicorn": "cli",
    "wrapt": "integrations",
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def unit(path: Path) -> str:
    """The part of the layout that a file belongs to: the first folder, or the module itself."""
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, in full, with the line; a name that is a submodule counts as that."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((_resolved(node.module or "", alias.name), node.lineno) for alias in node.names)


def _resolved(module: str, name: str) -> str:
    inside = module.removeprefix("tachograph").strip(".").replace(".", "/")
    candidate = SOURCE / inside / name
    is_module = module.startswith("tachograph") and (candidate.with_suffix(".py").exists() or candidate.is_dir())
    return f"{module}.{name}" if is_module else module


def own(path: Path) -> Iterator[tuple[str, int]]:
    for name, line in imported(path):
        if name == "tachograph" or name.startswith("tachograph."):
            yield name.removeprefix("tachograph").strip(".") or "__init__", line


def test_every_module_has_a_layer():
    """
    A new module must be placed before it can be imported.
    """
    assert {unit(path) for path in modules()} <= set(LAYER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path):
    """
    A module imports from its own package or from a lower layer; siblings never import each other.
    """
    here = unit(path)
    wrong = [
        f"{path.name}:{line} imports {name}"
        for name, line in own(path)
        if (there := name.split(".")[0]) != here and LAYER[there] >= LAYER[here] and name not in SHARED
    ]

    assert wrong == []


def test_shared_vocabulary_is_for_operations_alone():
    """
    Of the features, only operations may use the neutral record and what is derived from it.
    """
    users = {
        unit(path)
        for path in modules()
        for name, _ in own(path)
        if name in SHARED and unit(path) != "genai" and LAYER[unit(path)] == LAYER["genai"]
    }

    assert users <= {"operations"}


def test_underscored_paths_of_opentelemetry_stand_in_one_module():
    """
    `opentelemetry._logs` and `opentelemetry.sdk._logs` are upstream's public paths; every other underscore is not.
    """
    allowed = {"opentelemetry._logs", "opentelemetry.sdk._logs", "opentelemetry.sdk._logs.export"}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in modules()
        if unit(path) != "_otel"
        for name, line in imported(path)
        if name.startswith("opentelemetry") and name not in allowed and ("._" in name or "_incubating" in name)
    ]

    assert wrong == []


def test_environment_is_read_in_one_module():
    """
    Settings are declared once; nobody else looks into the environment.
    """
    wrong = [
        str(path.relative_to(SOURCE))
        for path in modules()
        if unit(path) not in ("settings", "cli")
        and any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]

    assert wrong == []


def test_optional_packages_are_imported_where_they_may():
    """
    A third-party package outside the core dependencies is named here, with the one part that uses it.
    """
    core = {"opentelemetry", "orjson", "structlog", "tachograph"}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in modules()
        for name, line in imported(path)
        if (top := name.split(".")[0]) not in core
        and top not in sys.stdlib_module_names
        and OPTIONAL.get(top) != unit(path)
    ]

    assert wrong == []


def test_no_type_is_ignored():
    """
    A suppressed type error is a seam that was not drawn.
    """
    marker = "type:" + " ignore"
    found = [
        str(path)
        for folder in (SOURCE, SOURCE.parents[1] / "tests")
        for path in folder.rglob("*.py")
        if marker in path.read_text()
    ]

    assert found == []
