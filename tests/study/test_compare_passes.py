"""Recipes that pass their batches otherwise are compared like any others, and trained with their like."""

import pytest
import torch
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.record import Store
from thalweg.study.engines.queues import queues
from thalweg.study.plan import Protocol, first_arms
from thalweg.study.single import train
from thalweg.train.planner import Plan

ROLES = {
    "plain": {},
    "in parts": {"accumulate": 4},
    "half": {"precision": "bf16"},
    "frozen": {"freeze": "0.*"},
    "again": {"recompute": "blocks"},
}


def mlp():
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


def recipes():
    return {name: tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2, **roles) for name, roles in ROLES.items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_study_compares_ways_to_pass_a_batch(processes, tmp_path):
    tw.compare(small_digits(mlp), recipes(), trials=2, seeds=3, processes=processes, out=tmp_path, progress=False)
    with Store(tmp_path) as store:
        runs = store.runs()
        ends = {name: {} for name in ROLES}
        for entry in store.entries("defaults"):
            assert runs[entry.run].status == "finished"
            ends[entry.recipe][runs[entry.run].seed] = runs[entry.run]
    for seed, plain in ends["plain"].items():
        assert ends["again"][seed].train == pytest.approx(plain.train, abs=0.02)
        assert ends["in parts"][seed].train == pytest.approx(plain.train, abs=0.02)
        assert ends["again"][seed].executor == "one by one"
    assert any(ends["frozen"][seed].test != plain.test for seed, plain in ends["plain"].items())


def test_runs_are_queued_with_their_like():
    jobs = list(first_arms(recipes(), Protocol(trials=2, seeds=2), {"data": ""}).jobs.values())
    plan = Plan("vmapped", 4, 1e-4, 1e-4, "", compiles="pending", first=4)
    other = Plan("one by one", 1, 1e-4, 1e-4, "")
    kinds = {recipe.resolved().together() for recipe in recipes().values()}
    found = queues(jobs, {kind: other if kind.recompute != "none" else plan for kind in kinds}, begins=True)
    for queue in found:
        assert {tw.Recipe.from_toml(text).together() for _, text, _ in queue.runs} == {queue.kind}
        assert queue.waits == (queue.executor == "compiled")
        assert (queue.executor in ("vmapped", "compiled")) == (queue.kind.recompute == "none")
    assert len({queue.company[0] for queue in found}) == len(ROLES)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"freeze": "encoder.*"}, r'recipe \w+: freeze: no parameter of the model is called "encoder\.\*"'),
        ({"freeze": "*"}, r'recipe \w+: freeze: "\*" names every parameter of the model'),
        ({"precision": "bf16"}, r"recipe \w+: precision bf16 is for tasks of float32"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(roles, message, tmp_path):
    task = small_digits(mlp, dtype=torch.float64)
    recipe, out = tw.Recipe(tw.optim.sgd(), epochs=1, **roles), tmp_path / "out"
    with pytest.raises(InputError, match=message):
        tw.compare(task, {"sgd": recipe, "plain": tw.Recipe(epochs=1)}, out=out, progress=False)
    with pytest.raises(InputError, match=message):
        train(task, recipe, out=out, progress=False)
    assert not out.exists()
