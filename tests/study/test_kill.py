"""A study that is killed, again and again, comes to the bits of one that was left alone; nothing stays behind."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import InputError
from thalweg.notation import combine
from thalweg.record import Store, StoreError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc")

VARIED = "optimizer=sgd,adam"
EPOCHS, TRIALS, SEEDS = 40, 3, 4


def command(out, processes=3):
    words = ["compare", "wine", "--vary", VARIED, "--epochs", EPOCHS, "--trials", TRIALS, "--seeds", SEEDS]
    words += ["--processes", processes, "--out", out]
    return [sys.executable, "-m", "thalweg", *map(str, words)]


def start(out):
    """Start a study as a terminal does: in a session of its own, so that its processes can be told."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    # Where the tests themselves run in the background, Ctrl-C is ignored by them and by all that they start.
    return subprocess.Popen(command(out), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **quiet)


def here(out):
    """Run the same study to its end in this process."""
    task = tw.load_task("wine")
    recipes = combine(tw.Recipe(epochs=EPOCHS, batch_size=task.batch_size), [VARIED], [])
    return tw.compare(task, recipes, trials=TRIALS, seeds=SEEDS, out=out, processes=1, progress=False)


def family(leader):
    """Return the living processes of a session."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = place.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it ended meanwhile
        if int(session) == leader and state not in "ZX":
            found.append(int(place.parent.name))
    return found


def recorded(out):
    """Return how many runs are recorded so far."""
    try:
        database = sqlite3.connect(f"file:{out}/study.db?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return database.execute("SELECT count(*) FROM run").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()


def wait(until, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def begun(process, out):
    """Wait until some runs are recorded and workers are at others; then stop the clock of the first process."""
    wait(lambda: recorded(out) > 0 and len(family(process.pid)) > 1)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None


def end(process):
    """Leave no process behind a test that failed."""
    for one in family(process.pid):
        os.kill(one, signal.SIGKILL)
    process.wait()
    process.stderr.close()


def assert_same(out, other):
    """Both hold the same runs, to the bit, and come to the same verdict."""
    with Store(out) as store, Store(other) as whole:
        one, two = store.runs(curves=True, outcomes=True), whole.runs(curves=True, outcomes=True)
        assert store.entries() == whole.entries()
        assert store.get("verdict") == whole.get("verdict")
    assert one.keys() == two.keys()
    for name, run in one.items():
        alike = two[name]
        assert (run.recipe, run.seed, run.status, run.steps) == (alike.recipe, alike.seed, alike.status, alike.steps)
        assert (run.train, run.valid, run.test) == (alike.train, alike.valid, alike.test)
        np.testing.assert_array_equal(run.outcomes, alike.outcomes)
        for column in ("epoch", "step", "train_loss", "valid"):
            np.testing.assert_array_equal(getattr(run.curve, column), getattr(alike.curve, column))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A study that was left alone."""
    out = tmp_path_factory.mktemp("alone")
    here(out)
    return out


def test_a_killed_study_leaves_no_process_and_no_lock_and_goes_on_to_the_same_bits(alone, tmp_path):
    out = tmp_path / "study"
    process = start(out)
    try:
        begun(process, out)
        with pytest.raises(InputError, match="is in use by another process; wait for it, or stop it"):
            here(out)
        process.kill()
        process.wait()
        wait(lambda: not family(process.pid), seconds=5)
    finally:
        end(process)
    assert process.returncode == -signal.SIGKILL
    with Store(out) as store:
        before = store.runs()
        assert store.get("verdict") is None, "the case this test is for"
    here(out)
    assert_same(out, alone)
    with Store(out) as store:
        after = store.runs()
    assert all(after[name].cpu_seconds == run.cpu_seconds for name, run in before.items())


def test_ctrl_c_is_one_line_and_the_study_goes_on_to_the_same_bits(alone, tmp_path):
    out = tmp_path / "study"
    process = start(out)
    try:
        begun(process, out)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=120)
        wait(lambda: not family(process.pid), seconds=5)
    finally:
        end(process)
    assert process.returncode == 130
    *_, empty, last = said.splitlines()
    assert (empty, last) == ("", "stopped; what is done is kept, and the same command goes on from there")
    assert "Traceback" not in said
    here(out)
    assert_same(out, alone)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "times"), [("SIGKILL", 10), ("SIGINT", 5), ("SIGTERM", 3)])
def test_whenever_it_ends_it_goes_on_to_the_same_bits(tmp_path, number, times):
    """Several times, at moments all over the time that it takes; then the same command again, to its end."""
    started = time.monotonic()
    process = start(tmp_path / "alone")
    assert process.communicate()[1] is not None
    assert process.returncode == 0
    took = time.monotonic() - started
    out = tmp_path / "study"
    moments = random.Random(number)
    progress = []
    for _ in range(times):
        process = start(out)
        try:
            time.sleep(moments.uniform(0.3, 1.0) * took)
            for one in family(process.pid) if number == "SIGINT" else [process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.Signals[number])
            _, said = process.communicate(timeout=120)
            wait(lambda gone=process.pid: not family(gone), seconds=5)
        finally:
            end(process)
        if number == "SIGINT":
            # Python ends by the signal itself if that came through an import's exec or in its last moments, when all
            # is done; to a shell, both are 130.
            assert process.returncode in (0, 130, -signal.SIGINT), said
            assert "Traceback" not in said
        assert "is in use" not in said
        progress.append(recorded(out))
    assert progress == sorted(progress), "what is recorded stays"
    process = start(out)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert_same(out, tmp_path / "alone")


@pytest.mark.slow
def test_two_that_start_at_once_do_not_mix(tmp_path):
    """Both find no study there and plan one; one of them writes it, the other is refused or finds it done."""
    out = tmp_path / "study"
    both = [start(out), start(out)]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    assert 0 in [code for _, code in ends]
    for said, code in ends:
        assert code == 0 or "is in use by another process" in said
    here(tmp_path / "alone")
    assert_same(out, tmp_path / "alone")


DRIVER = """
import sys
import torch
from torch import nn
sys.path.insert(0, sys.argv[1])
import thalweg as tw
from small import small_digits
from thalweg.study import engine_local, study
from thalweg.train.planner import Plan

study.make_plans = lambda task, named, protocol, *_: ({64: Plan("vmapped", 4, 1e-3, 1e-3, "as said")}, protocol)

class Local(engine_local.Local):
    def __init__(self, *args, **more):
        super().__init__(*args, **more, seconds=0.05)

study.Local = Local
task = small_digits(lambda: nn.Sequential(
    nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10)))
falls = tw.schedule.warmup(2) >> tw.schedule.plateau(patience=1, factor=0.5)
recipes = {name: tw.Recipe(optimizer(), falls, epochs=12, average=tw.average.ema())
           for name, optimizer in (("momentum", tw.optim.momentum), ("adam", tw.optim.adam))}
tw.compare(task, recipes, trials=3, seeds=4, out=sys.argv[2], processes=2, progress=False)
"""


def _driven(out):
    words = [sys.executable, "-W", "ignore", "-c", DRIVER, str(Path(__file__).parents[1]), str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(words, **quiet)


def _kill_again_and_again(tmp_path, times):
    started = time.monotonic()
    process = _driven(tmp_path / "alone")
    _, said = process.communicate()
    assert process.returncode == 0, said
    took = time.monotonic() - started
    moments, out, ended, writes = random.Random(4), tmp_path / "study", 0, 0
    for kill in range(times):
        process = _driven(out)
        try:
            time.sleep(moments.uniform(0.4, 0.8) * took)
            if kill % 5 == 0:  # inside the write of a checkpoint, if there is one to come
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline and not list(out.glob("checkpoints/*.tmp")):
                    pass
                writes += bool(list(out.glob("checkpoints/*.tmp")))
            everybody = family(process.pid)
            whom = [everybody, [process.pid], [one for one in everybody if one != process.pid][:1]][kill % 3]
            for one in whom:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            if kill % 3 == 2:  # a worker alone: the study goes on by itself
                time.sleep(0.2)
                process.kill()
            process.communicate()
            wait(lambda gone=process.pid: not family(gone), seconds=5)
        finally:
            end(process)
        done = False
        with contextlib.suppress(StoreError), Store(out) as store:
            done = store.get("verdict") is not None
        if done:
            assert_same(out, tmp_path / "alone")
            out, ended = tmp_path / f"study {kill}", ended + 1
    process = _driven(out)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert_same(out, tmp_path / "alone")
    return ended, writes


@pytest.mark.slow
def test_a_study_with_checkpoints_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    _kill_again_and_again(tmp_path, 2)


@pytest.mark.slow
def test_many_kills(tmp_path):
    """As many as ``THALWEG_KILLS`` says; a fifth of them look for the write of a checkpoint."""
    _kill_again_and_again(tmp_path, int(os.environ.get("THALWEG_KILLS", "30")))
