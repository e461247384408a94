"""A study that is killed, again and again, comes to the bits of one that was left alone; nothing stays behind."""

import os
import random
import signal
import sys
import time

import pytest
from killing import assert_same, end, family, kill, python, recorded, wait

import thalweg as tw
from thalweg.errors import InputError
from thalweg.notation import combine
from thalweg.record import Store

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc")

VARIED = "optimizer=sgd,adam"
EPOCHS, TRIALS, SEEDS = 40, 3, 4


def start(out):
    words = ["compare", "wine", "--vary", VARIED, "--epochs", EPOCHS, "--trials", TRIALS, "--seeds", SEEDS]
    return python("-m", "thalweg", *words, "--processes", 3, "--out", out)


def here(out):
    """Run the same study to its end in this process."""
    task = tw.load_task("wine")
    recipes = combine(tw.Recipe(epochs=EPOCHS, batch_size=task.batch_size), [VARIED], [])
    return tw.compare(task, recipes, trials=TRIALS, seeds=SEEDS, out=out, processes=1, progress=False)


def begun(process, out):
    """Wait until some runs are recorded and workers are at others; then stop the clock of the first process."""
    wait(lambda: recorded(out) > 0 and len(family(process.pid)) > 1)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None


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
    assert process.returncode == 130, said
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
            kill(family(process.pid) if number == "SIGINT" else [process.pid], signal.Signals[number])
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
