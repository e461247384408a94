"""Recipes whose batches are of about one length are compared, trained and exported like any others."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_resume import interrupted  # noqa: F401 – a fixture

import thalweg as tw
from exported import chosen, printed
from test_cli import thalweg
from texts import Last, task_of_texts
from thalweg.errors import InputError
from thalweg.notation import combine
from thalweg.record import Store
from thalweg.study.engines.queues import queues
from thalweg.study.plan import Protocol, first_arms
from thalweg.study.single import train as train_once
from thalweg.train import Member, train
from thalweg.train.planner import Plan

FEW = tw.Choice((0.05, 0.1))
"""Of learning rates: a list has no curve of rates to be drawn, which saves most of the runs."""

SGD = tw.Recipe(tw.optim.sgd(lr=FEW), epochs=2, batch_size=16)


def recipes():
    return combine(SGD, ["bucket=none,length"], [])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_study_compares_batches_of_one_length_with_plain_ones(processes, tmp_path):
    task = task_of_texts()
    tw.compare(task, recipes(), trials=2, seeds=2, processes=processes, out=tmp_path, progress=False)
    with Store(tmp_path) as store:
        runs = store.runs(curves=True, outcomes=True)
        ends = {name: {} for name in recipes()}
        for entry in store.entries("defaults"):
            assert runs[entry.run].status == "finished"
            ends[entry.recipe][runs[entry.run].seed] = runs[entry.run]
    assert set(ends) == {"bucket none", "bucket length"}
    for seed, record in ends["bucket length"].items():
        assert record.executor == "one by one"
        assert record.steps == ends["bucket none"][seed].steps
        (alone,) = train(task, [Member(tw.Recipe.from_toml(record.recipe), seed)])
        assert np.array_equal(alone.outcomes, record.outcomes)
        assert np.array_equal(alone.curve.train_loss, record.curve.train_loss, equal_nan=True)


def test_they_are_queued_one_by_one_and_with_their_like():
    jobs = list(first_arms(recipes(), Protocol(trials=2, seeds=2), {"data": ""}).jobs.values())
    plans = {
        recipe.resolved().together(): Plan("one by one", 1, 1e-4, 1e-4, "")
        if recipe.bucket == "length"
        else Plan("vmapped", 4, 1e-4, 1e-4, "", compiles="pending", first=2)
        for recipe in recipes().values()
    }
    found = queues(jobs, plans, begins=True)
    assert [(queue.company[0].bucket, queue.executor, queue.slots) for queue in found] == [
        ("none", "vmapped", 4), ("none", "compiled", 4), ("length", "one by one", 1),
    ]  # fmt: skip


def test_a_task_that_does_not_say_what_is_padding_is_refused_before_anything_is_written(tmp_path):
    words = torch.arange(1, 121).reshape(60, 2) % 12
    task, out = task_of_texts(data=(words, [0, 1] * 30), padding=None), tmp_path / "out"
    message = (
        "recipe .*: the task texts does not say which of its inputs' numbers is padding; give it padding=, 0 for"
    )
    with pytest.raises(InputError, match=message):
        tw.compare(task, recipes(), out=out, progress=False)
    with pytest.raises(InputError, match=message):
        train_once(task, recipes()["bucket length"], out=out, progress=False)
    assert not out.exists()


@pytest.mark.parametrize("bucket", ["none", "length"])
def test_a_model_that_reads_padding_is_said_once(bucket, tmp_path, capfd):
    task, recipe = task_of_texts(Last), recipes()[f"bucket {bucket}"]
    train_once(task, recipe, out=tmp_path / "run")
    tw.compare(task, {bucket: recipe}, trials=1, seeds=1, processes=1, out=tmp_path / "study")
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("outputs change with the padding after a text") == (2 if bucket == "length" else 0)


@pytest.mark.parametrize("stops", [(3,), (8, 1)])
def test_a_run_goes_on_to_the_same_bits(stops, tmp_path, interrupted):  # noqa: F811
    task, recipe = task_of_texts(), recipes()["bucket length"]
    train_once(task, recipe, out=tmp_path / "whole", progress=False)
    for count in stops:
        interrupted(count)
        with pytest.raises(KeyboardInterrupt):
            train_once(task, recipe, out=tmp_path / "stopped", progress=False, seconds=0)
    train_once(task, recipe, out=tmp_path / "stopped", progress=False)
    whole, again = (load_file(tmp_path / place / "weights.safetensors") for place in ("whole", "stopped"))
    assert all(torch.equal(x, again[name]) for name, x in whole.items())


# -- the command, and the script -----------------------------------------------------------------------

FILE = """
import sys
import torch
import thalweg as tw

sys.path.insert(0, TESTS)
from texts import Mean, tag_accuracy, tags, texts

lengths, columns, x, key = "mine", "mine", "mine", "mine"
words, kinds = texts()
SAME = {"metric": tw.accuracy, "loss": torch.nn.functional.cross_entropy, "dtype": torch.float64}


class Rows:
    def __len__(self):
        return len(words)

    def __getitem__(self, i):
        return {"input_ids": torch.tensor(words[i]), "attention_mask": [1] * len(words[i])}, kinds[i]


class Masked(Mean):
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids * attention_mask)


class Tagged(Mean):
    def forward(self, x):
        return self.out(self.drop(self.words(x)))


lists = tw.Task(model=Mean, data=(words, kinds), padding=0, **SAME)
dataset = tw.Task(model=Masked, data=Rows(), padding={"input_ids": 11, "attention_mask": 0}, **SAME)
every = [[word % 2 for word in text] for text in words]
short = [i for i, text in enumerate(words) if len(text) < 9]
tagged = tw.Task(
    model=Tagged, train=(words, every), test=(words, every), padding=0, loss=tags, dtype=torch.float64,
    valid=([words[i] for i in short], [every[i] for i in short]), metric=tw.Metric("tags", tag_accuracy, True),
)
plain = tw.Task(model=lambda: torch.nn.EmbeddingBag(12, 2), data=([[w[0], w[-1]] for w in words], kinds), **SAME)
"""


@pytest.fixture
def file(tmp_path, request):
    path = tmp_path / "mine.py"
    path.write_text(FILE.replace("TESTS", repr(str(request.path.parent.parent))))
    return path


def test_the_command_trains_and_compares(file, tmp_path):
    (tmp_path / "few.toml").write_text('epochs = 1\n\n[optimizer]\nname = "sgd"\nlr = [0.05, 0.1]\n')
    (tmp_path / "length.toml").write_text('batch_size = 16\nbucket = "length"\nepochs = 1\n')
    few = f"--recipe {tmp_path}/few.toml --trials 1 --seeds 1 --processes 1 --out {tmp_path}/study"
    code, _, err = thalweg(f"compare {file}:lists --vary bucket=none,length {few}")
    assert code == 0, err
    with Store(tmp_path / "study") as store:
        assert [row.name for row in store.recipes()] == ["few + bucket none", "few + bucket length"]
    code, _, err = thalweg(f"train {file}:lists --recipe {tmp_path}/length.toml --out {tmp_path}/run")
    assert code == 0, err
    assert 'bucket = "length"' in (tmp_path / "run" / "recipe.toml").read_text()
    code, _, err = thalweg(f"compare {file}:plain --vary bucket=none,length {few}2")
    assert (code, err.count("\n")) == (2, 1)
    assert "recipe few + bucket length: the task mine does not say which of its inputs' numbers is padding" in err
    assert not (tmp_path / "study2").exists()


WAYS = {
    "lists": {
        "none": {"bucket": "none"},
        "length": {},
        "all": {
            "accumulate": 3,
            "recompute": "blocks",
            "wrapper": tw.wrapper.sam(0.1),
            "average": tw.average.ema(0.9),
        },
    },
    "dataset": {"length": {}},
    "tagged": {"in parts": {"accumulate": 3}},
}


@pytest.mark.parametrize("name", WAYS)
def test_batches_are_cut_in_the_script_as_in_the_study(name, file, tmp_path):
    """From lists, a dataset of dicts, and three splits with targets for each word; the weights agree to 1e-8."""
    task, out = tw.load_task(f"{file}:{name}"), tmp_path / "study"
    made = {
        way: tw.Recipe(tw.optim.momentum(lr=FEW), **{"epochs": 2, "batch_size": 10, "bucket": "length", **roles})
        for way, roles in WAYS[name].items()
    }
    tw.compare(task, made, trials=1, seeds=1, processes=1, out=out, progress=False)
    driver = "import runpy, os\n"
    for i, way in enumerate(made):
        (tmp_path / f"script{i}.py").write_text(script := tw.export(out, way))
        assert ("bucketed(" in script) == ("trimmed(" in script) == (way != "none")
        driver += f"runpy.run_path('script{i}.py', run_name='__main__')\nos.replace('weights.pt', '{i}.pt')\n"
    driver += "names = runpy.run_path('script0.py')\n"
    if name == "tagged":  # whose texts for validation are all shorter than those for training
        driver += "assert names['tagged'].valid[0].shape[1] == 40\n"
    printed(driver + "open('weights.pt', 'w').close()\n", tmp_path)
    with Store(out) as store:
        runs = store.runs()
        chosen = {e.recipe: runs[e.run] for e in reversed(store.entries("chosen"))}
    for i, way in enumerate(made):
        record = chosen[way]
        (result,) = train(task, [Member(tw.Recipe.from_toml(record.recipe), record.seed)], keep_weights=True)
        for key, value in torch.load(tmp_path / f"{i}.pt").items():
            assert torch.allclose(value, result.weights[key], 1e-8, 1e-10), (way, key)


@pytest.mark.parametrize("others", [True, False])
def test_a_script_has_padding_where_its_file_has(others, file, tmp_path):
    """Lists of one length are one input, in the script too."""
    if not others:
        head, _, rest = file.read_text().partition("lists = ")
        file.write_text(f"{head}plain = {rest.partition('plain = ')[2]}")
    task, out = tw.load_task(f"{file}:plain"), tmp_path / "study"
    tw.compare(task, {"sgd": SGD}, trials=1, seeds=1, processes=1, out=out, progress=False)
    script = tw.export(out)
    assert "bucketed" not in script
    for word in ("padding", "lengths(", "PaddedTask"):
        assert (word in script.partition("the task's own file")[0]) == others
    assert float(printed(script, tmp_path)[-1].split()[-1]) == pytest.approx(chosen(out)["sgd"].test)
