"""Imports go one way, as in docs/architecture.md, and reading a study's report asks for no torch."""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import thalweg

SOURCE = Path(thalweg.__file__).parent
KINDS = [
    "optim", "schedule", "gradient", "average", "wrapper", "penalty", "loss", "stop", "prune", "activation", "norm",
    "init", "dropout", "augment",
]  # fmt: skip
LIBRARY = ["errors", "files", "cache", "technique", "key", "graph", *KINDS, "recipe", "task", "surgery", "train"]
MAY_IMPORT = {
    "errors": [],
    "files": [],
    "cache": ["files"],
    "technique": ["errors"],
    "key": ["errors"],
    "graph": ["errors", "key"],
    "optim": ["errors", "cache", "technique", "key"],
    "schedule": ["errors", "technique", "key"],
    # What goes around an optimizer uses the words of its formulas.
    "gradient": ["errors", "technique", "key", "optim"],
    "average": ["errors", "technique", "key", "optim"],
    "wrapper": ["errors", "technique", "key", "optim"],
    # These too, and what is a weight is what optimizers decay.
    "penalty": ["errors", "technique", "key", "optim"],
    "loss": ["errors", "technique", "key", "optim"],
    "prune": ["errors", "technique", "key", "graph", "optim"],
    "stop": ["errors", "technique", "key"],
    "activation": ["errors", "technique", "key", "optim"],
    # Precise statistics pool moments, as averages need them.
    "norm": ["errors", "technique", "key", "graph", "optim", "average"],
    # How large weights are to be is said by the activation that follows.
    "init": ["errors", "technique", "key", "graph", "optim", "activation"],
    "dropout": ["errors", "technique", "key", "optim"],
    "augment": ["errors", "cache", "technique", "key", "optim"],
    "recipe": ["errors", "technique", "key", *KINDS],
    "task": ["errors", "technique", "key", *KINDS],
    "latex": ["errors", "technique", "key", *KINDS, "recipe"],
    "notation": ["errors", "technique", "key", *KINDS, "recipe"],
    "catalogue": ["errors", "technique", "key", *KINDS, "recipe"],
    "stubs": ["errors", "technique", "key", *KINDS, "recipe", "catalogue"],
    "record": ["errors"],
    "report": ["errors", "files", "cache", "record"],
    "surgery": ["errors", "technique", "graph"],
    "train": ["errors", "files", "cache", "technique", "key", *KINDS, "recipe", "task", "surgery", "record"],
    "study": ["version", *LIBRARY, "latex", "record", "report"],
    "inspect": [*LIBRARY, "record", "report"],
    "watch": ["errors", "record", "report"],
    "cli": ["version", *LIBRARY, "notation", "catalogue", "record", "report", "study", "inspect", "watch"],
    "__main__": ["cli"],
}
"""What each part may import beside itself; each line names only parts of lines above it, or beside ``record``."""


def name_of(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def only_for_types(test):
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"


def imports(source, package, types=True):
    """Yield (line, module) for every import, anywhere in a source, of something of thalweg.

    What is fetched through the façade is imported from where it lives; strings given to ``import_module`` count.

    Args:
        source: Python.
        package: the package that relative imports start from.
        types: count what is imported for type checkers alone.
    """
    waiting = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        found = []
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package.split(".")[: len(package.split(".")) + 1 - level] if level else []
                home = ".".join([*base, *([module] if module else [])])
                found = [whole(home, alias.name) for alias in names]
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[name, *_]):
                match name:
                    case ast.Constant(value=str(text)):
                        found = [text]
                    case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                        found = [text.rstrip(".")]
        yield from ((node.lineno, module) for module in found if module.split(".")[0] == "thalweg")
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and only_for_types(node.test) and not types:
            children = node.orelse
        waiting.extend(children)


def whole(home, name):
    """Return the module that ``from home import name`` reads."""
    if home == "thalweg" and name in thalweg._HOME:
        return f"thalweg.{thalweg._HOME[name]}"
    if home == "thalweg" and name in ("InputError", "unknown"):
        return "thalweg.errors"
    if home == "thalweg" and name == "__version__":
        return "thalweg.version"
    return f"{home}.{name}" if f"{home}.{name}" in MODULES else home


def package_of(module):
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def part(module):
    return module.split(".")[1] if "." in module else ""


def upward(module, source, package):
    """Return the imports of a module's source that go up or sideways."""
    here = part(module)
    allowed = {here, *MAY_IMPORT[here]}
    return [
        f"{module}, line {line}: {there}" for line, there in imports(source, package) if part(there) not in allowed
    ]


def test_every_part_has_its_place():
    assert {part(module) for module in MODULES} - {""} == MAY_IMPORT.keys()
    list(TopologicalSorter(MAY_IMPORT).static_order())  # raises if they go in a circle


def test_the_places_are_those_of_the_architecture():
    around = "gradient/average/wrapper/penalty/loss/stop/prune/activation"
    order = ["errors", "technique/key", "graph", "optim/schedule", around, "norm/init", "recipe/task", "train"]
    order += ["study", "cli"]
    height = {name: i for i, names in enumerate(order) for name in names.split("/")}
    for here, below in MAY_IMPORT.items():
        for there in height.keys() & set(below):
            assert here not in height or height[there] < height[here]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "thalweg"])
def test_imports_go_down(module):
    assert upward(module, MODULES[module].read_text(), package_of(module)) == []


def test_the_facade_imports_errors_and_fetches_the_rest():
    source = (SOURCE / "__init__.py").read_text()
    at_once = [there for _, there in imports(source, "thalweg", types=False) if there != "thalweg"]
    assert set(at_once) == {"thalweg.errors"}


def test_no_module_waits_for_itself():
    """Between modules of one part too: what is imported at run time, here or later, goes in no circle."""
    graph = {
        module: {there for _, there in imports(path.read_text(), package_of(module), types=False)} - {module}
        for module, path in MODULES.items()
        if module != "thalweg"
    }
    # What asks a package's public face is left out: built-in tasks do, as a user's file does.
    packages = {module for module in MODULES if MODULES[module].name == "__init__.py"}
    graph = {module: needs - packages if module not in packages else needs for module, needs in graph.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("thalweg.technique", "from thalweg.optim import adam"),
        ("thalweg.optim._adam", "from thalweg.recipe import Recipe"),
        ("thalweg.optim._adam", "import thalweg.recipe as r"),
        ("thalweg.optim._adam", "from thalweg import schedule"),
        ("thalweg.task.check", "from thalweg import Recipe"),
        ("thalweg.task.check", "def later():\n    from ..study import compare"),
        ("thalweg.train.step", "from importlib import import_module\nimport_module('thalweg.study.plan')"),
        ("thalweg.task.loading", "import importlib\nimportlib.import_module(f'thalweg.study.{name}')"),
        ("thalweg.record.store", "from thalweg.key import Key"),
        ("thalweg.report.page", "if TYPE_CHECKING:\n    from thalweg.study import Study"),
        ("thalweg.study.plan", "from thalweg.cli import app"),
    ],
)
def test_an_import_that_goes_up_is_found(module, source):
    assert len(upward(module, source, package_of(module))) == 1


@pytest.mark.parametrize("module", ["thalweg.report.page", "thalweg.record", "thalweg.errors", "thalweg"])
def test_no_torch_is_loaded(module):
    code = (
        f"import sys, {module}; print(*sorted({{'torch', 'sklearn', 'scipy'}} & sys.modules.keys()));"
        "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('thalweg.')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, parts = done.stdout.splitlines()
    assert heavy == ""
    here = part(module) or "errors"
    assert set(parts.split()) <= {here, *MAY_IMPORT[here], "errors"}


def test_mkl_is_asked_for_the_same_bits_everywhere_before_it_is_there():
    code = "import os, sys, thalweg; print(os.environ['MKL_CBWR'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "AUTO,STRICT False\n"
