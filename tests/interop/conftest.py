"""What the tests of other frameworks share; `make test-interop` runs them in an environment of their own."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

FRAMEWORKS = ("lightning", "accelerate", "transformers", "datasets")
EXAMPLES = Path(__file__).parent.parent.parent / "examples"

# Where the frameworks are not installed, as in the project's own environment, there is nothing to collect.
collect_ignore_glob = [] if all(map(importlib.util.find_spec, FRAMEWORKS)) else ["test_*.py"]
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # The frameworks warn about themselves; this one would be about us.
            item.add_marker(pytest.mark.filterwarnings("error:Detected call of `lr_scheduler.step"))


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return a function that loads an example; the working directory is an empty one."""
    monkeypatch.chdir(tmp_path)

    def load(name):
        specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        monkeypatch.setitem(sys.modules, name, module)  # where other processes look for its functions
        specification.loader.exec_module(module)
        return module

    return load
