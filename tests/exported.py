"""Exported scripts, run as one would run them, and held against the study that they come from."""

import os
import subprocess
import sys
from pathlib import Path

import torch

import thalweg as tw
from thalweg.record import Store
from thalweg.train import Member, train


def printed(script, folder, *, needs_thalweg=False):
    """Run a script in a folder; return the lines that it prints. Unless it needs it, thalweg cannot be imported."""
    blocked, path = Path(folder) / "blocked", Path(folder) / "script.py"
    (blocked / "thalweg").mkdir(parents=True, exist_ok=True)
    (blocked / "thalweg" / "__init__.py").write_text("raise ImportError('thalweg is not installed')")
    path.write_text(script)
    alone = {"PYTHONPATH": str(blocked), "PYTHONWARNINGS": "error", "PATH": "/usr/bin:/bin"}
    environment = dict(os.environ) if needs_thalweg else alone
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run(script, folder):
    """Return the test metric that a script prints last."""
    return float(printed(script, folder)[-1].split()[-1])


def one_after_another(out, names, folder, *, needs_thalweg=False):
    """Run the scripts of a study's recipes in one process, as if each were alone; return the lines that they print.

    Script number i leaves its weights as ``i.pt``.
    """
    driver = "import os, runpy, sys\n"
    for i, name in enumerate(names):
        (Path(folder) / f"script{i}.py").write_text(tw.export(out, name))
        driver += f"runpy.run_path('script{i}.py', run_name='__main__')\nos.replace('weights.pt', '{i}.pt')\n"
        driver += "for part in [part for part in sys.modules if part.partition('.')[0] == 'thalweg']:\n"
        driver += "    del sys.modules[part]\n"
    return printed(driver, folder, needs_thalweg=needs_thalweg)


def chosen(out):
    """Return the first run of each recipe's chosen setting."""
    with Store(out) as store:
        runs = store.runs(curves=True)
        return {entry.recipe: runs[entry.run] for entry in reversed(store.entries("chosen"))}


def assert_same_weights(task, recipes, folder, *, needs_thalweg=False, rtol=1e-8, atol=1e-8):
    """Make a study of recipes, one setting and seed each; their scripts end with the weights that the study has."""
    out = Path(folder) / "study"
    tw.compare(task, recipes, trials=1, seeds=1, processes=1, out=out, progress=False)
    one_after_another(out, recipes, folder, needs_thalweg=needs_thalweg)
    records = chosen(out)
    for i, name in enumerate(recipes):
        record = records[name]
        assert record.status == "finished"
        (result,) = train(task, [Member(tw.Recipe.from_toml(record.recipe), record.seed)], keep_weights=True)
        weights = torch.load(Path(folder) / f"{i}.pt")
        assert weights.keys() == result.weights.keys()
        for place, value in weights.items():
            assert torch.allclose(value, result.weights[place], rtol=rtol, atol=atol), (name, place)
