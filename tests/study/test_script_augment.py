"""What a recipe does to its training examples is in its script, which takes that alone from thalweg."""

import pytest

import thalweg as tw
from exported import assert_same_weights
from thalweg import augment, wrapper
from thalweg.errors import InputError

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
    "chosen, in parts": {
        "augment": augment.trivial() >> augment.auto_cifar10() >> augment.fog() >> augment.rain(count=50),
        "accumulate": 3,
    },
    "mixes": {"augment": augment.flip() >> augment.mixup(alpha=1.0)},
}


@pytest.mark.parametrize("name", ["layered", pytest.param("flat", marks=pytest.mark.slow)])
def test_the_script_trains_to_the_studys_weights(name, tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    task = tw.load_task(f"{tmp_path}/tasks.py:{name}")
    recipes = {
        key: tw.Recipe(**{"optimizer": tw.optim.momentum(lr=0.05), "epochs": 2, **roles})
        for key, roles in RECIPES.items()
    }
    assert_same_weights(task, recipes, tmp_path, needs_thalweg=True)


def test_texts_are_refused_by_name(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    task = tw.load_task(f"{tmp_path}/tasks.py:texts")
    recipes = {"mine": tw.Recipe(epochs=1, augment=augment.random_swap() >> augment.typo())}
    tw.compare(task, recipes, trials=1, seeds=1, processes=1, out=tmp_path / "study", progress=False)
    with pytest.raises(InputError, match="texts, which random_swap and typo would edit"):
        tw.export(tmp_path / "study", "mine")
