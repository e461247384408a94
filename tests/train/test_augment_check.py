"""Policies that do not fit a task are refused in a sentence; every other one trains, and its run pays for it."""

import time

import numpy as np
import pytest
import torch
from pictures import member, pictures, texts
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg import augment, loss
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.train import train
from thalweg.train.augmented import augment_seconds
from thalweg.train.made import check_made


@pytest.fixture(scope="module")
def task():
    return pictures()


def tables():
    return small_digits(lambda: nn.Linear(64, 10))


def made(inputs, **more):
    return tw.Task(model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3)), name="mine",
                   data=(inputs, torch.arange(60) % 3),
                   **{"loss": F.cross_entropy, "metric": tw.accuracy, **more})  # fmt: skip


@pytest.mark.parametrize(
    ("task", "policy", "roles", "message"),
    [
        (tables, augment.flip(), {}, "takes pictures .* an input of task small digits has the shape \\(64,\\)"),
        (pictures, augment.typo(), {}, "typo edits texts, and task small digits holds none; give it strings"),
        (texts, augment.flip(), {}, "takes pictures .* an input of task texts has the shape"),
        (texts, augment.synonym(path="nowhere"), {}, "augment: task texts: .*nowhere"),
        (pictures, augment.normalise(mean=[0.5], std=[0.5]), {}, "normalise would change what is trained on"),
        (pictures, augment.resize(), {}, "makes pictures of 224 × 224, .* have 8 × 8; give it size=\\(8, 8"),
        (pictures, augment.crop(size=(9, 9)), {}, "augment: task small digits: a window of 9 × 9 does not fit"),
        (pictures, augment.mixup(), {"loss": loss.trimmed()}, "mixup asks for a loss that is the mean over examples"),
        (lambda: made(torch.rand(60, 2, 6, 6)), augment.trivial(), {}, "trivial takes grey pictures, or red, green"),
        (lambda: made(torch.rand(60, 6, 6, 3)), augment.flip(), {}, "put their channels first"),
        (lambda: made(torch.rand(60, 3, 6, 6), loss=nn.CrossEntropyLoss(torch.tensor([1.0, 9.0, 0.1]))),
         augment.flip() >> augment.cutmix(), {}, "cutmix asks for a loss that is the mean over examples"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_fit_is_refused_in_a_sentence(task, policy, roles, message):
    with pytest.raises(InputError, match=message) as error:
        check_made(task(), member(policy, **roles).recipe)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("technique", augment.IMAGE, ids=lambda technique: technique.name)
def test_every_augmentation_of_pictures_trains_or_is_refused_by_name(task, technique):
    sized = {"size": (8, 8)} if "size" in technique.hyperparameters else {}
    policy = technique(**sized)
    policy = policy >> augment.crop(size=(8, 8)) if technique.name == "pad" else policy
    run = member(policy, epochs=1, batch_size=90)
    if technique.name == "normalise" or technique.stage == "colour":  # these are grey
        with pytest.raises(InputError, match=technique.name):
            check_made(task, run.recipe)
        return
    check_made(task, run.recipe)
    (result,) = train(task, [run], "vmapped")
    assert result.reason == ""


def test_a_step_of_another_library_has_no_place_in_a_recipe():
    with pytest.raises(InputError, match="augment takes what thalweg knows by name"):
        Recipe(augment=augment.adapted(np.flipud))


def test_a_run_pays_for_its_own_augmentation(monkeypatch, task):
    batch = augment.Policy.batch

    def slow(self, *given, **named):
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        return batch(self, *given, **named)

    monkeypatch.setattr(augment.Policy, "batch", slow)
    runs = [member(None, 0), member(augment.flip(), 1), member(None, 2)]
    results = train(task, runs, "vmapped")
    assert results[1].cpu_seconds - results[0].cpu_seconds == pytest.approx(0.2, abs=0.1)  # ten steps
    assert results[0].cpu_seconds == pytest.approx(results[2].cpu_seconds)
    assert 0.004 < augment_seconds(task, runs[1].recipe) < 0.05
    assert augment_seconds(task, runs[0].recipe) == 0
