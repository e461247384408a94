"""What a recipe does to its training examples is in its script, which takes that alone from thalweg."""

import os
import subprocess
import sys

import pytest
import torch

import thalweg as tw
from thalweg import augment, wrapper
from thalweg.errors import InputError
from thalweg.record import Store
from thalweg.train import Member, train

TASKS = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
import thalweg as tw

inputs, targets = load_digits(return_X_y=True)
augment = "a name of the file's own"


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 10))


def pictures(*shape, **more):
    return tw.Task(model=net, data=(inputs[:300].reshape(-1, *shape), targets[:300]), loss=F.cross_entropy,
                   metric=tw.accuracy, dtype=torch.float64, **more)


def encode(strings):
    return [[len(word) for word in string.split()] for string in strings]


layered = pictures(1, 8, 8, standardize=True)
flat = pictures(8, 8)
texts = tw.Task(model=lambda: nn.EmbeddingBag(16, 2, padding_idx=0), encode=encode, padding=0,
                data=(["one a bee", "no such thing"] * 30, [0, 1] * 30), loss=F.cross_entropy, metric=tw.accuracy)
"""

RECIPES = {
    "moves": {"augment": augment.flip() >> augment.quarter_turns()},
    "levels, by sam": {"augment": augment.ssr() >> augment.brightness(), "wrapper": wrapper.sam(0.05)},
    "chosen, in parts": {"augment": augment.trivial(), "accumulate": 3},
    "mixes": {"augment": augment.flip() >> augment.mixup(alpha=1.0)},
}


@pytest.mark.parametrize("name", ["layered", "flat"])
def test_the_script_trains_to_the_studys_weights(name, tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    task, out = tw.load_task(f"{tmp_path}/tasks.py:{name}"), tmp_path / "study"
    recipes = {
        key: tw.Recipe(**{"optimizer": tw.optim.momentum(lr=0.05), "epochs": 2, **roles})
        for key, roles in RECIPES.items()
    }
    tw.compare(task, recipes, trials=1, seeds=1, processes=1, out=out, progress=False)
    driver = "import runpy, os, sys\n"
    for i, key in enumerate(recipes):
        (tmp_path / f"script{i}.py").write_text(tw.export(out, key))
        driver += f"runpy.run_path('script{i}.py', run_name='__main__')\nos.replace('weights.pt', '{i}.pt')\n"
        driver += "for part in [part for part in sys.modules if part.partition('.')[0] == 'thalweg']:\n"
        driver += "    del sys.modules[part]\n"
    (tmp_path / "driver.py").write_text(driver)
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with Store(out) as store:
        runs = store.runs()
        chosen = {e.recipe: runs[e.run] for e in reversed(store.entries("chosen"))}
    for i, key in enumerate(recipes):
        record = chosen[key]
        (result,) = train(task, [Member(tw.Recipe.from_toml(record.recipe), record.seed)], keep_weights=True)
        for place, value in torch.load(tmp_path / f"{i}.pt").items():
            assert torch.allclose(value, result.weights[place], rtol=1e-8, atol=1e-8), (key, place)


def test_texts_are_refused_by_name(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    task = tw.load_task(f"{tmp_path}/tasks.py:texts")
    recipes = {"mine": tw.Recipe(epochs=1, augment=augment.random_swap() >> augment.typo())}
    tw.compare(task, recipes, trials=1, seeds=1, processes=1, out=tmp_path / "study", progress=False)
    with pytest.raises(InputError, match="texts, which random_swap and typo would edit"):
        tw.export(tmp_path / "study", "mine")
