"""Whole studies by the command: interrupted and gone on with, and the same as the local engine's."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
from thalweg.record import Store

MY_TASK = """
import thalweg as tw
from sklearn.datasets import load_diabetes
from torch import nn

def model():
    return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))

def loss(output, targets):
    return nn.functional.mse_loss(output.squeeze(-1), targets)

inputs, targets = load_diabetes(return_X_y=True)
data = inputs * 20, (targets - targets.mean()) / targets.std()
task = tw.Task(model=model, data=data, loss=loss, metric=tw.squared_error, batch_size=32)
"""
RECIPES = {
    "constant": tw.Recipe(tw.optim.adam(), epochs=20, batch_size=32),
    "plateau": tw.Recipe(
        tw.optim.adam(), tw.schedule.plateau(factor=0.3, patience=0, threshold=0.1), epochs=50, batch_size=32
    ),
}
TRIALS, SEEDS = 3, 4


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder with a task and recipes, and a study of them by the local engine that was left alone."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "my_task.py").write_text(MY_TASK)
    for name, recipe in RECIPES.items():
        (folder / f"{name}.toml").write_text(recipe.toml())
    task = tw.load_task(f"{folder}/my_task.py:task")
    tw.compare(task, RECIPES, trials=TRIALS, seeds=SEEDS, out=folder / "local", processes=1, progress=False)
    return folder


def begin(folder, out, *more):
    """Start a study as a terminal does: in a session of its own, so that its processes can be told."""
    words = ["compare", "my_task.py:task", *(word for name in RECIPES for word in ("--recipe", f"{name}.toml"))]
    words += ["--trials", str(TRIALS), "--seeds", str(SEEDS), "--engine", "ray", *more, "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "thalweg", *words],
        cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # Where the tests themselves run in the background, Ctrl-C is ignored by them and by all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def kill(process):
    process.kill()
    process.wait()
    process.stderr.close()


def family(leader):
    """Return the names of a session's living processes, by process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = place.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it ended meanwhile
        state, _, _, session = rest.split()[:4]
        if int(session) == leader and state not in "ZX":
            found[int(place.parent.name)] = name
    return found


def recorded(out):
    """Return the runs that are recorded, with what each has cost."""
    try:
        database = sqlite3.connect(f"file:{out}/study.db?mode=ro", uri=True)
        return dict(database.execute("SELECT identity, cpu_seconds FROM run"))
    except sqlite3.OperationalError:
        return {}


def wait(until, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def assert_alike(out, other):
    """Both hold the same runs, which began alike to the bit and came to the same but for rounding."""
    with Store(out) as store, Store(other) as whole:
        one, two = store.runs(curves=True, outcomes=True), whole.runs(curves=True, outcomes=True)
        assert store.entries() == whole.entries()
        assert store.get("fingerprint") == whole.get("fingerprint")
    assert one.keys() == two.keys()
    for name, run in one.items():
        local = two[name]
        assert (run.recipe, run.seed, run.status, run.steps) == (local.recipe, local.seed, local.status, local.steps)
        assert run.curve.valid[0] == pytest.approx(local.curve.valid[0], rel=1e-6)
        np.testing.assert_allclose(run.curve.train_loss[1:3], local.curve.train_loss[1:3], rtol=1e-5)
        np.testing.assert_allclose(run.curve.valid, local.curve.valid, rtol=1e-3)
        np.testing.assert_allclose(run.outcomes, local.outcomes, rtol=1e-2, atol=1e-3)


def assert_plateaus_act(out):
    """Of two runs that begin alike, that with the plateau leaves the other on the way."""
    with Store(out) as store:
        runs, pairs = store.runs(curves=True), {}
        for entry in store.entries("defaults"):
            pairs.setdefault(runs[entry.run].seed, []).append(runs[entry.run].curve.valid)
    assert len(pairs) == SEEDS
    for constant, plateau in pairs.values():
        assert constant[1] == plateau[1]
        assert constant[20] != plateau[20]


def test_a_study_that_is_killed_and_interrupted_leaves_nothing_running_and_comes_to_what_the_local_engine_does(
    joined, alone, tmp_path
):
    import ray

    out = tmp_path / "study"
    free = lambda: ray.available_resources().get("CPU", 0) == 1  # noqa: E731
    try:
        process = begin(alone, out)  # on a cluster of its own
        wait(lambda: "ray::work" in family(process.pid).values())
        kill(process)
        wait(lambda: not family(process.pid), seconds=10)

        process = begin(alone, out)
        wait(lambda: recorded(out))
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert said.endswith("\nstopped; what is done is kept, and the same command goes on from there\n")
        assert "Traceback" not in said
        wait(lambda: not family(process.pid), seconds=10)
        first = recorded(out)

        process = begin(alone, out, "--address", joined.address)
        wait(lambda: len(recorded(out)) > len(first))
        assert not free()
        kill(process)
        wait(free, seconds=30)
        second = recorded(out)

        process = begin(alone, out, "--address", joined.address)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
        assert f"Ray cluster at {joined.address}: 1 node, 1 core\n" in said
    finally:
        for one in family(process.pid):
            os.kill(one, signal.SIGKILL)
    whole = recorded(out)
    assert len(first) < len(second) < len(whole), "the case this test is for"
    assert first.items() <= second.items() <= whole.items(), "what was recorded is not done again"
    assert_alike(out, alone / "local")
    assert_plateaus_act(out)
