"""A bit that flips in a finished study's file: whoever reads is refused, and the same command ends in its verdict."""

import random
import shutil

import pytest
from killing import assert_same

import thalweg as tw
from thalweg import report
from thalweg.errors import InputError
from thalweg.record import Store, StoreError
from thalweg.study import export, lottery
from thalweg.watch.reader import Reader


def study(out, **more):
    recipes = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=2), "adam": tw.Recipe(tw.optim.adam(), epochs=2)}
    values = {"trials": 1, "seeds": 2, "processes": 1, "progress": False, **more}
    return tw.compare(tw.load_task("wine"), recipes, out=out, **values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return study(out), out


def flip(path, record, seed):
    """Flip one bit of what a run's record holds, wherever in the file that is."""
    file, draw = bytearray(path.read_bytes()), random.Random(seed)
    at = file.find(record)
    assert at > 0
    file[at + draw.randrange(len(record))] ^= 1 << draw.randrange(8)
    path.write_bytes(file)


@pytest.mark.parametrize("what", ["outcomes", "recipe"])
def test_the_same_command_makes_a_damaged_run_again_and_comes_to_the_same_verdict(finished, tmp_path, capsys, what):
    done, whole = finished
    shutil.copy(whole / "study.db", tmp_path)
    with Store(tmp_path) as store:
        entry = store.entries("chosen")[-1]
        run = store.runs(outcomes=True)[entry.run]
    record = run.outcomes.tobytes() if what == "outcomes" else run.recipe.encode() + run.seed.to_bytes(4, "big")
    flip(tmp_path / "study.db", record, seed=3)
    named = rf"study\.db is damaged \(run adam, seed {run.seed}\)"
    for reads in (report.write, Store):
        with pytest.raises(StoreError, match=f"{named}; repeat the study's command, which makes that anew"):
            reads(tmp_path)
    with pytest.raises(InputError, match=named):
        export(tmp_path)
    reader = Reader(tmp_path)
    reader.read()
    assert f"is damaged (run adam, seed {run.seed})" in reader.problem
    assert study(tmp_path, progress=True).verdict == done.verdict
    assert f"is damaged (run adam, seed {run.seed}); what is damaged is forgotten" in capsys.readouterr().err
    assert_same(tmp_path, whole)
    report.write(tmp_path)


@pytest.mark.slow
def test_a_lottery_whose_record_is_damaged_is_drawn_again(tmp_path):
    def drawn(out):
        recipe = tw.Recipe(tw.optim.adam(), epochs=2)
        return lottery(tw.load_task("wine"), recipe, rounds=2, seeds=2, out=out, processes=1, progress=False)

    done = drawn(tmp_path / "whole")
    (tmp_path / "harmed").mkdir()
    shutil.copy(tmp_path / "whole" / "study.db", tmp_path / "harmed")
    with Store(tmp_path / "harmed") as store:
        entry = store.entries("chosen")[-1]
        record = store.runs(outcomes=True)[entry.run].outcomes.tobytes()
    flip(tmp_path / "harmed" / "study.db", record, seed=1)
    with pytest.raises(StoreError, match=rf"is damaged \(run {entry.recipe}, seed [0-9]+\)"):
        report.write(tmp_path / "harmed")
    again = drawn(tmp_path / "harmed")
    assert again.verdict["levels"] == done.verdict["levels"]
