"""What tests kill studies with: the processes of a session, and studies begun in sessions of their own."""

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
from safetensors import safe_open
from victim import STEPS

from thalweg.record import Store

HERE = Path(__file__).parent


def states(leader):
    """Return the living processes of a session, and the letter that says what each does."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = place.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it ended meanwhile
        if int(session) == leader and state not in "ZX":
            found[int(place.parent.name)] = state
    return found


def family(leader):
    """Return the living processes of a session."""
    return list(states(leader))


def wait(until, seconds=120.0):
    """Wait for something, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


def kill(processes, number=signal.SIGKILL):
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


def end(process):
    """Leave no process behind a test that failed."""
    kill(family(process.pid))
    process.wait()
    process.stderr.close()


def python(*words, **more):
    """Start Python as a terminal does: in a session of its own, so that its processes can be told."""
    # Where the tests themselves run in the background, Ctrl-C is ignored by them and by all that they start.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    paths = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *map(str, words)], env=environment, **{**heard, **quiet, **more}
    )


def recorded(out):
    """Return how many runs are recorded so far."""
    with contextlib.suppress(sqlite3.OperationalError):
        database = sqlite3.connect(f"file:{out}/study.db?mode=ro", uri=True)
        with contextlib.closing(database):
            return database.execute("SELECT count(*) FROM run").fetchone()[0]
    return 0


def is_recording(out):
    """Return whether a transaction is open in a study's file."""
    with contextlib.closing(sqlite3.connect(f"{out}/study.db", timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        database.execute("ROLLBACK")
        return False


def standing(out):
    """Return how many steps every run has done by the newest checkpoints, and how many of its make an epoch."""
    newest = {}
    for path in Path(out, "checkpoints").glob("*.safetensors"):
        name, count = path.name.split(".")[:2]
        newest[name] = max(newest.get(name, (0, path)), (int(count), path))
    found = {}
    for _, path in newest.values():
        with safe_open(path, framework="numpy") as file:
            states = json.loads(file.metadata()["facts"])["states"]
        sizes = [tomllib.loads(state["recipe"])["batch_size"] for state in states]
        found |= {state["identity"]: (state["step"], STEPS[size]) for state, size in zip(states, sizes, strict=True)}
    return found


def assert_same(out, other):
    """Both hold the same runs, to the bit, and come to the same verdict."""
    with Store(out) as store, Store(other) as whole:
        one, two = store.runs(curves=True, outcomes=True), whole.runs(curves=True, outcomes=True)
        assert store.entries() == whole.entries()
        assert store.get("verdict") == whole.get("verdict")
    assert one.keys() == two.keys()
    for name, run in one.items():
        alike = two[name]
        executors = {one.executor.partition(",")[0] for one in (run, alike)}  # how many were beside it may differ
        assert len(executors) == 1
        for fact in ("recipe", "seed", "status", "steps", "train", "valid", "test"):
            assert getattr(run, fact) == getattr(alike, fact), fact
        np.testing.assert_array_equal(run.outcomes, alike.outcomes)
        for column in ("epoch", "step", "train_loss", "valid"):
            np.testing.assert_array_equal(getattr(run.curve, column), getattr(alike.curve, column))


class Victims:
    """A process that forks studies, one at a time; see `victim`."""

    def __init__(self):
        self.script = python(HERE / "victim.py", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = 0

    def begin(self, out, weights, **more):
        """Begin a study, and return the number of its first process."""
        self.script.stdin.write(json.dumps({"out": str(out), "weights": str(weights), **more}) + "\n")
        self.script.stdin.flush()
        self.pid = int(self.script.stdout.readline())
        return self.pid

    def is_over(self, seconds=0.0):
        """Return whether the study's first process ends within so many seconds."""
        return bool(select.select([self.script.stdout], [], [], seconds)[0])

    def code(self):
        """Return the exit code, once it is over."""
        return int(self.script.stdout.readline())

    def close(self):
        kill(family(self.pid) if self.pid else [])
        self.script.stdin.close()
        self.script.stdout.close()
        end(self.script)
