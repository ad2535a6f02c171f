"""The floors of the house: imports only go left, no circles, files stay short, and starting up stays light."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
CHECKER = ROOT / "checker" / "calipers_check"

FLOORS = (
    {"catalogue"},
    {"core"},
    {"models"},
    {"io"},
    {"exact"},
    {"sampling"},
    {"variational"},
    {"bounds"},
    {"renormalization", "disorder", "learning"},
    {"auto"},
    {"zoo"},
    {"testing"},
    {"plots", "cli", "explore"},
)
RANK = {room: rank for rank, floor in enumerate(FLOORS) for room in floor}
TOP = len(FLOORS)  # calipers/__init__.py, the lazy front door, and calipers/__main__.py
LONGEST_FILE = 300


def modules(src: Path) -> dict[str, str]:
    """Dotted name → source text of every module under `src`; a package goes by the name of its folder."""
    found = {}
    for path in sorted(src.rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def run_time_nodes(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`, which never run."""
    nodes, queue = [], [tree]
    while queue:
        node = queue.pop()
        nodes.append(node)
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children = list(node.orelse)
        queue.extend(children)
    return nodes


def imports(name: str, source: str, known: dict[str, str]) -> set[str]:
    """The modules of `known` that this one imports, anywhere in its text (a late import is still an import)."""
    package = any(other.startswith(name + ".") for other in known)
    found = set()
    for node in run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            base = parts[: len(parts) - node.level + package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{origin}.{a.name}" if f"{origin}.{a.name}" in known else origin for a in node.names}
    return {target for target in found if target in known and target != name}


def room(name: str) -> str | None:
    """The floor's name a module belongs to; None for the front door."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else None


def rank(name: str) -> int:
    """The place of a module's floor, counted from the ground."""
    folder = room(name)
    return TOP if folder is None else RANK[folder]


def violations(known: dict[str, str]) -> list[str]:
    """Every import that does not go to a lower floor, or stay in its own room."""
    homeless = [f"{name} stands on no floor" for name in known if room(name) is not None and room(name) not in RANK]
    if homeless:
        return homeless
    return [
        f"{name} imports {target}"
        for name, source in known.items()
        for target in sorted(imports(name, source, known))
        if room(name) is not None and rank(target) >= rank(name) and room(target) != room(name)
    ]


def circle(known: dict[str, str]) -> list[str] | None:
    """A circle of imports, if there is one. The lazy front door, which is not run by its rooms, is left out."""
    inside = {name: source for name, source in known.items() if room(name) is not None}
    graph = {name: imports(name, source, inside) for name, source in inside.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return None


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_imports_only_go_left():
    assert violations(modules(SRC)) == []


def test_no_circles():
    assert circle(modules(SRC)) is None


def test_every_floor_name_is_known():
    names = {p.stem for p in (SRC / "calipers").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names - {"__init__", "__main__"} <= set(RANK)


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("calipers.core.bad", "from calipers.models import ising", "calipers.core.bad imports calipers.models.ising"),
        ("calipers.core.bad", "def f():\n    import calipers.auto", "calipers.core.bad imports calipers.auto"),
        ("calipers.models.bad", "from ..auto import Auto", "calipers.models.bad imports calipers.auto"),
        ("calipers.models.bad", "import calipers", "calipers.models.bad imports calipers"),
        ("calipers.plots", "import calipers.cli", "calipers.plots imports calipers.cli"),
        ("calipers.attic.bad", "", "calipers.attic.bad stands on no floor"),
    ],
)
def test_a_bad_module_is_caught(name, source, complaint):
    house = {"calipers": "", "calipers.core": "", "calipers.models.ising": "", "calipers.auto": "", "calipers.cli": ""}
    assert violations(house) == []
    assert violations({**house, name: source}) == [complaint]


def test_an_import_for_types_only_is_allowed():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import calipers.auto\n"
    assert violations({"calipers.core.model": source, "calipers.auto": ""}) == []


def test_a_circle_is_caught():
    bad = {"calipers.core.a": "from calipers.core import b", "calipers.core.b": "from .a import f"}
    assert set(circle(bad) or ()) == {"calipers.core.a", "calipers.core.b"}


def test_no_long_files():
    lengths = {p: p.read_text().count("\n") for folder in (SRC, CHECKER) for p in folder.rglob("*.py")}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > LONGEST_FILE} == {}


@pytest.mark.parametrize("entry", ["calipers", "calipers.cli", "calipers_check"])
def test_starting_up_imports_no_jax(entry):
    heavy = "{'jax', 'equinox', 'numba', 'matplotlib'}"
    done = run_python(f"import sys, {entry}; print(*({heavy} & set(sys.modules)))")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_checker_stands_alone():
    """It may import the standard library, numpy and python-flint, and nothing of Calipers."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "flint", "calipers_check"}
    for path in CHECKER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, path
