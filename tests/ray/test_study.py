"""Whole studies: interrupted, robbed of a node, with runs that raise; and the same as the local engine's."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from work import SMALL

import thalweg as tw
from small import small_digits
from thalweg.record import Store

MY_TASK = """
import os
import threading
from pathlib import Path

import thalweg as tw
from sklearn.datasets import load_diabetes
from torch import nn

def model():
    return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))

def stand_still(place):
    # In the midst of training, on a node that is to be lost then.
    os.environ["CALLS"] = str(int(os.environ.get("CALLS", "0")) + 1)
    if int(os.environ["CALLS"]) > 60:
        Path(place).touch()
        threading.Event().wait()

def loss(output, targets):
    if "STAND_STILL" in os.environ:
        stand_still(os.environ["STAND_STILL"])
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


def begin(folder, out, *more, program=("-m", "thalweg")):
    """Start a study as a terminal does: in a session of its own, so that its processes can be told."""
    words = ["compare", "my_task.py:task", *(word for name in RECIPES for word in ("--recipe", f"{name}.toml"))]
    words += ["--trials", str(TRIALS), "--seeds", str(SEEDS), "--engine", "ray", *more, "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, *program, *words],
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
        assert run.reason == local.reason
        if run.status == "failed":
            continue
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


def test_a_study_whose_node_is_shot_names_the_loss_and_comes_to_what_the_local_engine_does(joined, alone, tmp_path):
    out, trains = tmp_path / "study", tmp_path / "trains"
    second = joined.add(env_vars={"STAND_STILL": str(trains)})
    process = begin(alone, out, "--address", joined.address)
    try:
        wait(trains.exists)
        first = recorded(out)
        joined.shoot(second)
        said = process.communicate(timeout=120)[1]
    finally:
        for one in family(process.pid):
            os.kill(one, signal.SIGKILL)
        if second in joined.cluster.worker_nodes:
            joined.shoot(second)
    assert process.returncode == 0, said
    assert f"Ray cluster at {joined.address}: 2 nodes, 2 cores\n" in said
    lost = f"its process on node {second.node_ip_address} was lost with the node; "
    (on,) = re.findall(f"{re.escape(lost)}(.*)\n", said)
    assert re.fullmatch(r"\d+ runs? (begins? anew|(go|goes) on from where (it was|they were) last kept)", on)
    assert "the Ray cluster has 1 node, 1 core now\n" in said
    assert "Traceback" not in said
    assert first.items() < recorded(out).items(), "what was recorded is not done again"
    assert_alike(out, alone / "local")
    assert_plateaus_act(out)


IMPATIENT = """
from thalweg import cli
from thalweg.study.engines import cluster, nodes
nodes._HEARD_WITHIN, nodes._MISSED_FOR, cluster._LEFT_WITHIN = 1.0, 4.0, 2.0
cli.main()
"""


def test_a_study_whose_cluster_has_a_head_that_hangs_ends_with_one_sentence(apart, alone, tmp_path):
    """It listens, and says nothing, for as long as it is stopped."""
    from ray.cluster_utils import Cluster

    out, trains = tmp_path / "study", tmp_path / "trains"
    arguments = {**SMALL, "include_dashboard": False, "env_vars": {"STAND_STILL": str(trains)}}
    own = Cluster(initialize_head=True, head_node_args=arguments)
    address, head = own.address, own.head_node.all_processes["gcs_server"][0].process.pid
    process = begin(alone, out, "--address", address, program=("-c", IMPATIENT))
    try:
        wait(trains.exists)
        os.kill(head, signal.SIGSTOP)
        said = process.communicate(timeout=60)[1]
    finally:
        for one in family(process.pid):
            os.kill(one, signal.SIGKILL)
        os.kill(head, signal.SIGCONT)
        own.shutdown()
    assert process.returncode == 2, said
    missed = (
        f"thalweg: the Ray cluster at {address} has not answered for 4 s; what is finished is recorded, and the same"
    )
    assert said.endswith(f"\n{missed} command goes on from there when the cluster is back\n")
    assert "Traceback" not in said


class Unlucky(nn.Module):
    """A linear classifier that raises in a node's process where it was made with bad luck and has a large batch."""

    def __init__(self, at_home):
        super().__init__()
        self.out = nn.Linear(64, 10)
        self.at_home = at_home
        self.register_buffer("luck", torch.rand(()))

    def forward(self, x):
        if self.training and len(x) == 60 and os.getpid() != self.at_home and float(self.luck) < 0.5:
            raise ValueError("the weather was bad")
        return self.out(x)


def test_a_run_that_always_raises_has_failed_with_the_reason_and_the_study_ends(joined, tmp_path, capsys):
    here = os.getpid()
    task = small_digits(lambda: Unlucky(here))
    recipes = {name: tw.Recipe(tw.optim.adam(), epochs=3, batch_size=size) for name, size in (("b", 60), ("a", 30))}
    more = {"trials": 2, "seeds": 4}
    tw.compare(task, recipes, out=tmp_path / "local", processes=2, progress=False, **more)
    capsys.readouterr()
    out = tmp_path / "study"
    found = tw.compare(task, recipes, out=out, engine="ray", address=joined.address, **more)
    said = capsys.readouterr().err
    with Store(out) as store:
        runs = store.runs()
        of = {entry.run: entry.recipe for entry in store.entries()}
    assert {(of[name], run.reason) for name, run in runs.items() if run.status == "failed"} == {
        ("b", "ValueError: the weather was bad")
    }
    failed = sum(run.status == "failed" for run in runs.values())
    assert 0 < failed < sum(recipe == "b" for recipe in of.values()), "the case this test is for"
    assert {run.status for run in runs.values()} == {"failed", "finished"}
    assert len(re.findall(r"^b, seed \d+, failed: ValueError: the weather was bad$", said, re.MULTILINE)) == 1
    assert "failed; the same command tries again: b " in said
    judged = {row["name"]: row["mean"] for row in found.verdict["recipes"] if row["arm"] == "chosen"}
    assert judged["b"] is None
    assert judged["a"] is not None
    assert_alike(out, tmp_path / "local")
