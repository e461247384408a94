"""A study from the recipes to the verdict, on real data: what it leaves, what it refuses, how it goes on."""

import os
import sqlite3

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.record import Store

RECIPES = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=3), "adam": tw.Recipe(tw.optim.adam(), epochs=3)}


def mlp():
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def study(out, task=None, recipes=None, **more):
    arguments = {"trials": 2, "seeds": 3, "processes": 1, "progress": False, **more}
    return tw.compare(task or small_digits(mlp), RECIPES if recipes is None else recipes, out=out, **arguments)


def kept(out):
    with Store(out) as store:
        return store.runs(curves=True, outcomes=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return study(out), out


def test_a_finished_study_holds_every_run_its_verdict_and_its_report(finished):
    done, out = finished
    with Store(out) as store:
        entries, runs = store.entries(), store.runs(curves=True, outcomes=True)
        assert store.get("verdict") == done.verdict
        assert store.get("plan")["by_kind"].keys() == {Together().recipe().toml()}
        assert store.get("fingerprint").keys() == {"data", "model", "loss", "metric"}
    counts = {kind: sum(e.arm == kind for e in entries) for kind in ("tuning", "defaults", "sensitivity", "chosen")}
    assert counts == {"tuning": 4, "defaults": 6, "sensitivity": 42, "chosen": 6}
    assert {e.run for e in entries} == runs.keys()
    for run in runs.values():
        assert len(run.outcomes) == 60
        assert run.test == pytest.approx(run.outcomes.mean())
        assert run.steps == 3 * 3
        assert len(run.curve.valid) == 4
        assert run.cpu_seconds > 0
    assert done.report.read_text().startswith("<!DOCTYPE html>")
    assert str(done) == "\n".join(done.verdict["sentences"])


def test_the_chosen_setting_is_the_trial_with_the_best_validation_score(finished):
    _, out = finished
    with Store(out) as store:
        runs = store.runs()
        for name in RECIPES:
            trials = [runs[e.run] for e in store.entries("tuning") if e.recipe == name]
            chosen = {runs[e.run].recipe for e in store.entries("chosen") if e.recipe == name}
            assert chosen == {max(trials, key=lambda run: run.valid).recipe}


def test_recipes_start_from_the_same_weights_and_see_the_same_batches(finished):
    _, out = finished
    with Store(out) as store:
        runs = store.runs(curves=True)
        starts = {
            (e.repeat, float(runs[e.run].curve.valid[0])) for e in store.entries("chosen") + store.entries("defaults")
        }
    assert len(starts) == 3, "one validation score of the untrained model a seed, whatever the recipe"


def test_the_same_study_again_runs_nothing(finished):
    done, out = finished
    before = kept(out)
    seconds = {name: run.cpu_seconds for name, run in before.items()}
    again = study(out)
    assert {name: run.cpu_seconds for name, run in kept(out).items()} == seconds
    assert again.verdict == done.verdict


def test_the_same_study_elsewhere_comes_to_the_same(finished, tmp_path):
    done, out = finished
    other = study(tmp_path, processes=2)
    assert other.verdict == done.verdict
    one, two = kept(out), kept(tmp_path)
    assert one.keys() == two.keys()
    for name, run in one.items():
        np.testing.assert_array_equal(run.curve.train_loss, two[name].curve.train_loss)
        np.testing.assert_array_equal(run.outcomes, two[name].outcomes)


def test_an_interrupted_study_goes_on_to_the_same_bits(finished, tmp_path):
    done, out = finished
    whole = kept(out)
    study(tmp_path)
    for lost in (1, 5, 20):  # what a kill may have left out, down to a single run
        with sqlite3.connect(tmp_path / "study.db") as database:
            gone = [row[0] for row in database.execute("SELECT identity FROM run ORDER BY identity LIMIT ?", (lost,))]
            for table, column in (("curve", "run"), ("outcome", "run"), ("run", "identity")):
                database.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(name,) for name in gone])
            database.execute("DELETE FROM study WHERE name = 'verdict'")
        database.close()
        assert study(tmp_path).verdict == done.verdict
        for name, run in kept(tmp_path).items():
            np.testing.assert_array_equal(run.curve.train_loss, whole[name].curve.train_loss)
            np.testing.assert_array_equal(run.outcomes, whole[name].outcomes)


def test_keyboard_interrupt_keeps_what_is_done(tmp_path, monkeypatch):
    from thalweg.study import work as module

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "chosen_arm", stop)
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path)
    before = kept(tmp_path)
    assert len(before) == 52
    study(tmp_path)
    after = kept(tmp_path)
    assert all(after[name].cpu_seconds == run.cpu_seconds for name, run in before.items())


def edited(change):
    inputs = dict.fromkeys(["model", "loss", "metric"])
    inputs.update(change)
    more = {key: value for key, value in inputs.items() if value is not None and key != "model"}
    return small_digits(inputs["model"] or mlp, **more)


def wider():
    return nn.Sequential(nn.Linear(64, 17), nn.ReLU(), nn.Linear(17, 10))


def tanh():
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"loss": lambda o, y: F.cross_entropy(o, y, label_smoothing=0.1)}, "the loss of task"),
        ({"model": tanh}, "the loss of task"),
        ({"model": wider}, "the model of task"),
        (
            {"metric": tw.Metric("accuracy", lambda o, y: 1.0 - (o.argmax(-1) == y).float(), True)},
            "the metric of task",
        ),
    ],
    ids=["loss", "forward", "model", "metric"],
)
def test_a_task_that_changed_is_refused_by_the_part_that_did(finished, change, parts):
    _, out = finished
    before = (out / "study.db").read_bytes()
    with pytest.raises(InputError, match=f"{parts}.* changed since the study in .* began; choose another --out"):
        study(out, edited(change))
    assert (out / "study.db").read_bytes() == before


def test_a_study_of_something_else_is_refused_with_what_is_there(finished):
    _, out = finished
    digits = small_digits(mlp, name="other")
    for arguments, message in [
        ({"task": digits}, "holds a study of the task small digits, not other"),
        ({"recipes": {"sgd": RECIPES["sgd"]}}, r"holds a study of other recipes \(sgd, adam\)"),
        (
            {"recipes": {**RECIPES, "adam": tw.Recipe(tw.optim.adam(), epochs=4)}},
            "holds a study in which adam was another recipe",
        ),
        ({"seeds": 4}, "holds a study with seeds 3 and not 4"),
        ({"trials": 3, "seed": 1}, "holds a study with trials 2 and not 3, seed 0 and not 1"),
    ]:
        with pytest.raises(InputError, match=f"{message}; choose another --out"):
            study(out, **arguments)


def test_what_cannot_be_used_leaves_no_directory(tmp_path):
    bad = [
        {"recipes": {}},
        {"recipes": {"a": "adam"}},
        {"recipes": [RECIPES["sgd"], RECIPES["sgd"]]},
        {"trials": 0},
        {"seeds": 0},
        {"budget": 0},
        {"budget": 1e-3},
        {"processes": 0},
        {"task": small_digits(lambda: nn.Linear(64, 9))},
        {"recipes": {"a": tw.Recipe(schedule=tw.schedule.warmup(50) >> tw.schedule.cosine(), epochs=3)}},
        {"recipes": {"a": tw.Recipe(batch_size=1000)}, "task": small_digits(lambda: Loud())},
    ]
    for arguments in bad:
        with pytest.raises(InputError):
            study(tmp_path / "new", **arguments)
        assert not (tmp_path / "new").exists(), arguments


class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        raise RuntimeError("no")


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("here I am")
    with pytest.raises(InputError, match=r"file/study cannot be written: Not a directory"):
        study(tmp_path / "file" / "study")
    with pytest.raises(InputError, match=r"file cannot be written: File exists"):
        study(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here I am"


def test_a_study_that_someone_else_writes_is_refused(finished):
    _, out = finished
    with Store(out, write=True), pytest.raises(InputError, match="is in use by this process"):
        study(out)


def test_a_recipe_that_always_diverges_is_counted_as_failing_and_is_not_judged(tmp_path):
    recipes = {"tame": tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2), "wild": tw.Recipe(tw.optim.sgd(lr=3e38), epochs=2)}
    found = study(tmp_path, recipes=recipes, trials=1).verdict
    row = next(r for r in found["recipes"] if r["name"] == "wild" and r["arm"] == "chosen")
    assert (row["failures"], row["runs"]) == (3, 3)
    assert found["best"] == "tame"
    assert any("wild was not judged: all its 3 runs diverged" in warning for warning in found["warnings"])


def test_after_a_resume_all_runs_that_diverged_are_counted(tmp_path, capsys):
    recipes = {"tame": tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2), "wild": tw.Recipe(tw.optim.sgd(lr=3e38), epochs=2)}

    def said():
        study(tmp_path, recipes=recipes, trials=1, progress=True)
        return [line for line in capsys.readouterr().err.splitlines() if " diverged and " in line]

    (first,) = said()
    assert "wild 4" in first, "the trial, and three seeds of the defaults, which were chosen"
    with sqlite3.connect(tmp_path / "study.db") as database:
        names = [row[0] for row in database.execute("SELECT identity FROM run WHERE status = 'diverged' LIMIT 1")]
        for table, column in (("curve", "run"), ("outcome", "run"), ("run", "identity")):
            database.execute(f"DELETE FROM {table} WHERE {column} = ?", names)
    database.close()
    assert said() == [first]


def test_runs_that_failed_are_tried_again_by_the_same_command(finished, tmp_path, capsys):
    """A licence server that is down, a disk that is away: what a study's processes meet, and its parent did not."""
    parent, down = os.getpid(), tmp_path / "down"
    down.touch()

    class Licensed(nn.Sequential):
        def forward(self, x):
            if os.getpid() != parent and down.exists():
                raise RuntimeError("the licence server is down")
            return super().forward(x)

    task = small_digits(lambda: Licensed(*mlp()))
    out = tmp_path / "study"
    lost = study(out, task, processes=2, progress=True)
    assert [row["mean"] for row in lost.verdict["recipes"]] == [None] * 4
    said = capsys.readouterr().err
    assert said.count("the licence server is down") <= 4, "once, and when lanes are tried again; not for every run"
    assert "52 runs failed; the same command tries again: sgd 26, adam 26" in said
    down.unlink()
    again = study(out, task, processes=2, progress=True)
    assert "52 runs failed, and are tried again" in capsys.readouterr().err
    assert not {run.status for run in kept(out).values()} & {"failed"}
    assert again.verdict["sentences"] == finished[0].verdict["sentences"]


def test_a_list_of_recipes_is_named_after_what_differs(tmp_path):
    both = [tw.Recipe(tw.optim.sgd(lr=0.1), epochs=1), tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2)]
    found = study(tmp_path, recipes=both, trials=1, seeds=2)
    assert {row["name"] for row in found.verdict["recipes"]} == {"epochs 1", "epochs 2"}


def test_recipes_may_differ_in_batch_size_and_length(tmp_path):
    recipes = {f"{b}, {e}": tw.Recipe(batch_size=b, epochs=e) for b in (16, 60) for e in (1, 2)}
    recipes["searched"] = tw.Recipe(batch_size=tw.Choice((16, 60)), epochs=1)
    found = study(tmp_path, recipes=recipes, seeds=2)
    runs = kept(tmp_path)
    assert {run.steps for run in runs.values()} == {12, 24, 3, 6}
    assert len(found.verdict["pairs"]) == 10


def test_a_metric_with_one_value_is_compared_over_seeds(tmp_path):
    def f1(output, targets):
        hits = ((output.argmax(-1) == 1) & (targets == 1)).sum()
        return 2 * hits / ((output.argmax(-1) == 1).sum() + (targets == 1).sum()).clamp(min=1)

    found = study(tmp_path, small_digits(mlp, metric=tw.Metric("F1", f1, True))).verdict
    assert found["examples"] == 1
    assert found["pairs"][0]["crossed"] is None


def test_dropout_inside_torchs_own_layers_has_keys_and_repeats(tmp_path):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = nn.LSTM(8, 8, num_layers=2, dropout=0.5, batch_first=True)
            self.out = nn.Linear(8, 10)

        def forward(self, x):
            return self.out(self.inside(x.view(-1, 8, 8))[0][:, -1])

    task = small_digits(Hidden)
    recipes = {"adam": tw.Recipe(tw.optim.adam(lr=0.01), epochs=1)}
    for name in ("one", "two"):
        torch.manual_seed(hash(name) % 1000)
        study(tmp_path / name, task, recipes, trials=1, seeds=2)
    one, two = kept(tmp_path / "one"), kept(tmp_path / "two")
    with Store(tmp_path / "one") as store:
        assert "global generator" not in store.get("plan")["sentences"][0]
    for name, run in one.items():
        np.testing.assert_array_equal(run.curve.train_loss, two[name].curve.train_loss)


def test_a_technique_that_is_in_no_catalogue_is_refused(linear_task, tmp_path):
    """Records are read by names, so that nothing could be said of it afterwards."""
    from thalweg.optim._technique import optimizer
    from thalweg.technique import LogUniform

    @optimizer(source="here", space={"lr": LogUniform(1e-3, 1.0)})
    def mine(p, g, *, lr=0.1):
        """Return a step. It differs from ``sgd`` in nothing."""
        return p - lr * g

    with pytest.raises(InputError, match="the optimizer mine is in no catalogue"):
        tw.compare(linear_task, {"mine": tw.Recipe(mine())}, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
