"""Imports go one way only. Looks at syntax trees; imports nothing of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lifting"

# Rooms in the order of the layers. A room imports lower layers and itself; within layer 1 the
# later may import the earlier, as in the last; rooms of layer 2 do not import one another, but for
# the pairs in BESIDE.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("typing", "errors", "atomic", "listing"),
    ("actions", "files", "skeleton", "geometry", "batch", "poses", "motion", "body", "nn"),
    ("data", "metrics", "visualization", "tto", "teacher", "export"),
    ("methods", "weights"),
    ("experiment",),
    ("studies", "cli", "interface"),
)
ORDERED_LAYERS = {0, 1, 5}
BESIDE = {("data", "teacher")}  # the one room that may use another of its unordered layer
# What experiments are validated with, and what names methods, must stay free of torch.
NO_TORCH = (
    "errors.py", "atomic.py", "listing.py", "__init__.py", "skeleton/__init__.py",
    "skeleton/sets.py", "skeleton/naming.py",
    "skeleton/recipes.py", "skeleton/proportions.py", "motion/__init__.py", "motion/options.py",
    "export/__init__.py", "export/names.py",
    "data/config.py", "data/sets/__init__.py", "methods/settings.py", "methods/discovery.py",
    "methods/clip_config.py",
    "tto/__init__.py", "tto/config.py",
    "teacher/__init__.py", "teacher/options.py",
    "experiment/config.py", "experiment/load.py", "experiment/schema.py",
    "experiment/folder.py", "experiment/lock.py", "experiment/__init__.py",
    "experiment/sweep.py", "studies/command.py", "studies/plan.py", "studies/robustness/plan.py",
    "cli/main.py", "cli/robustness.py", "cli/options.py", "data/__init__.py",
    "methods/__init__.py", "cli/__init__.py",
)  # fmt: skip
HEAVY = {"torch", "pytorch_lightning", "torchmetrics", "wandb", "matplotlib", "scipy", "numpy"}
LAZY_PLACES = ("cli/", "methods/discovery.py", "experiment/prediction.py")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def is_type_checking(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def imports(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool, int]]:
    """Imported modules, whether inside a function, and the line; type-checking blocks left out."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node) or isinstance(node, ast.expr):  # which hold no imports
            continue
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import at line {node.lineno}"
            module = node.module or ""
            if module == "lifting":
                yield from ((f"lifting.{alias.name}", inside, node.lineno) for alias in node.names)
            else:
                yield module, inside, node.lineno
        yield from imports(node, inside=inside or function)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "lifting" and len(parts) > 1 else None


def place(room: str) -> tuple[int, int]:
    for layer, rooms in enumerate(LAYERS):
        if room in rooms:
            return layer, rooms.index(room)
    raise AssertionError(f"'{room}' is in no layer of {__file__}; decide where it belongs")


def complaint(room: str, target: str) -> str | None:
    (layer, position), (other, other_position) = place(room), place(target)
    if room == target or other < layer or (room, target) in BESIDE:
        return None
    if other > layer:
        return "upward"
    return None if layer in ORDERED_LAYERS and other_position < position else "sideways"


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {name_of(p): ast.parse(p.read_text(encoding="utf-8")) for p in sources()}


def test_imports_go_down(trees):
    wrong = []
    for name, tree in trees.items():
        room = name.split("/")[0].removesuffix(".py")
        if room == "__init__":
            continue
        for module, _, line in imports(tree):
            target = room_of(module)
            if target is None or target == "__version__":
                continue
            kind = complaint(room, target)
            if kind:
                wrong.append(f"lifting/{name}:{line} imports {module} ({kind})")
    assert not wrong, "\n" + "\n".join(wrong)


def test_methods_do_not_import_one_another(trees):
    folders = {p.name for p in (PACKAGE / "methods").iterdir() if (p / "module.py").is_file()}
    wrong = []
    for name, tree in trees.items():
        parts = name.split("/")
        if parts[0] != "methods":
            continue
        own = parts[1]
        for module, _, line in imports(tree):
            target = module.split(".")
            other = target[2] if target[:2] == ["lifting", "methods"] and target[2:] else own
            if other in folders and other != own:
                wrong.append(f"lifting/{name}:{line} imports {module}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_imports_of_the_package_stand_at_the_top(trees):
    wrong = [
        f"lifting/{name}:{line} imports {module} inside a function"
        for name, tree in trees.items()
        if not name.startswith(LAZY_PLACES)
        for module, inside, line in imports(tree)
        if inside and module.split(".")[0] == "lifting"
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_configuration_needs_no_torch(trees):
    listed = ("methods/", "data/sets/")
    configs = [n for n in trees if n.startswith(listed) and n.endswith("/config.py")]
    packages = [n for n in trees if n.startswith("methods/") and n.endswith("/__init__.py")]
    wrong = [
        f"lifting/{name}:{line} imports {module}"
        for name in (*NO_TORCH, *configs, *packages)
        for module, inside, line in imports(trees[name])
        if not inside and module.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_method_is_complete():
    for folder in sorted((PACKAGE / "methods").iterdir()):
        if not folder.is_dir() or folder.name == "__pycache__":
            continue
        for needed in ("__init__.py", "config.py", "module.py", "README.md"):
            assert (folder / needed).is_file(), f"{folder.name} has no {needed}"


def test_no_drawer_for_leftovers():
    names = {p.stem for p in sources()}
    assert not names & {"utils", "helpers", "common", "misc", "tools"}


def test_the_checks_see_what_they_look_for():
    code = (
        "import lifting.data.config\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from lifting.cli import main\n"
        "def f():\n    from lifting.methods import base\n"
    )
    found = list(imports(ast.parse(code)))
    assert ("lifting.data.config", False, 1) in found
    assert ("lifting.methods", True, 6) in found
    assert not any(module.startswith("lifting.cli") for module, _, _ in found)
    assert complaint("data", "metrics") == "sideways"
    assert complaint("geometry", "batch") == "sideways"
    assert complaint("batch", "geometry") is None
    assert complaint("data", "teacher") is None
    assert complaint("teacher", "data") == "sideways"
    assert complaint("data", "experiment") == "upward"
    assert complaint("cli", "data") is None


def test_every_data_set_is_complete(trees):
    inside = [n.split("/") for n in trees if n.startswith("data/sets/")]
    sets = {parts[2] for parts in inside if parts[-1] == "config.py"}
    wanted = {f"data/sets/{s}/{m}.py" for s in sets for m in ("__init__", "reader")}
    assert not wanted - set(trees)
