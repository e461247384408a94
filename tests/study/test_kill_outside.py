"""Runs whose model keeps something outside its buffers have no checkpoints, and are killed without a trace."""

import sys
import time

import pytest
from killing import HERE, assert_same, end, family, kill, python, recorded, wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]

STUDY = """
import sys
import thalweg as tw
from outsiders import CARRIED, task
from thalweg.study import before
from thalweg.study.engines import local

class Local(local.Local):
    def __init__(self, *given, **named):
        super().__init__(*given, **named, seconds=0)  # a checkpoint at every step, where there are any

before.Local = Local
out, name, processes = sys.argv[1:]
recipes = [tw.Recipe(part(), epochs=6, batch_size=18) for part in (tw.optim.adam, tw.optim.momentum)]
tw.compare(task(CARRIED[name][1]), recipes, trials=2, seeds=2, out=out, processes=int(processes))
"""

SINGLE = """
import sys
from pathlib import Path
import thalweg as tw
from outsiders import CARRIED, task
from thalweg.study import single

out, name = sys.argv[1:]
recipe = tw.Recipe(tw.optim.adam(), epochs=400, batch_size=18)
single.train(task(CARRIED[name][1]), recipe, out=out, seed=3, seconds=0)
"""


def begin(script, *words):
    return python("-c", script, *words, env={"PYTHONPATH": f"{HERE.parent}:{HERE.parent / 'train'}"})


def whole(script, *words):
    process = begin(script, *words)
    try:
        said = process.stderr.read()
        assert process.wait() == 0, said
        return said
    finally:
        end(process)


@pytest.mark.parametrize("name", ["a temperature", "a hidden state"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_study_that_is_killed_records_the_same_runs(tmp_path, name, processes):
    said = whole(STUDY, tmp_path / "whole", name, processes)
    assert "runs keep no checkpoints, and begin anew after a kill" in said
    for least in (1, 12, 30):
        process = begin(STUDY, tmp_path / "killed", name, processes)
        try:
            wait(lambda least=least: recorded(tmp_path / "killed") >= least)
            kill(family(process.pid))
            process.wait()
        finally:
            end(process)
        assert list(tmp_path.glob("killed/checkpoints/*")) == []
    whole(STUDY, tmp_path / "killed", name, processes)
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_training_that_is_killed_comes_to_the_same_weights(tmp_path):
    said = whole(SINGLE, tmp_path / "whole", "a temperature")
    assert "runs keep no checkpoints, and begin anew after a kill" in said
    process = begin(SINGLE, tmp_path / "killed", "a temperature")
    try:
        wait((tmp_path / "killed" / "study.db").exists)
        time.sleep(0.5)
        kill(family(process.pid))
        process.wait()
    finally:
        end(process)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    assert list(tmp_path.glob("killed/checkpoints/*")) == []
    whole(SINGLE, tmp_path / "killed", "a temperature")
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]
