"""Compiled steps: the same runs, in any company; kept on the disk; never silently uncompiled."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe, Together
from thalweg.train import Member, compiled, inductor, planner, train
from thalweg.train.compiled import compile_steps, count_compiled, graphs_of
from thalweg.train.planner import Plan
from thalweg.train.vmapped import Vmapped


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


def member(seed, optimizer=None, **roles):
    return Member(
        Recipe(optimizer or optim.adam(lr=0.01), **{"epochs": 2, "batch_size": 36, **roles}).resolved(), seed
    )


def mlp(hidden=8):
    return nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 10))


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert np.array_equal(one.curve.train_loss, other.curve.train_loss, equal_nan=True)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


def runs(task, seeds, **more):
    """Five epochs' worth of batches of 36: none is left over, so there is one graph to compile."""
    return train(task, [member(seed, **more) for seed in seeds], "compiled", keep_weights=True)


def loaded(task, slots, sizes):
    return all(graph.load() for graph in graphs_of(task, slots, sizes))


def test_compiled_runs_are_the_runs_whoever_is_beside_them():
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.3), nn.Linear(8, 10)))
    together = runs(task, [4, 5, 6])
    same(together[1], runs(task, [5])[0])
    same(together[2], runs(task, [6, 8, 9], optimizer=None)[0])
    assert count_compiled(task) == 2, "one graph of a step, one of an evaluation"
    for seed, result in zip((4, 5, 6), together, strict=True):
        (alone,) = train(task, [member(seed)], keep_weights=True)
        for name, x in alone.weights.items():
            torch.testing.assert_close(result.weights[name], x, rtol=1e-3, atol=1e-4)


WITHOUT_VECTORS = """
import torch
from torch import nn
from small import small_digits
from train.test_compiled import member, runs
from thalweg.train import train

torch.set_num_threads(1)
task = small_digits(lambda: nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.3), nn.Linear(8, 10)))
(alone,) = train(task, [member(4)], keep_weights=True)
compiled = runs(task, [4, 5, 6])[0]
for name, x in alone.weights.items():
    torch.testing.assert_close(compiled.weights[name], x, rtol=1e-3, atol=1e-4)
"""


@pytest.mark.slow
def test_masks_are_the_same_on_a_processor_without_vectors(tmp_path):
    """Hashes overflow, of which C++ says nothing: g++ makes others of them where nothing is in vectors."""
    places = {"THALWEG_CACHE": tmp_path / "ours", "TORCHINDUCTOR_CACHE_DIR": tmp_path / "inductors"}
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_VECTORS], capture_output=True, text=True, check=False,
        env={**environment, "ATEN_CPU_CAPABILITY": "default"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_outputs_share_is_not_filled_up():
    class Centred(nn.Linear):
        def forward(self, x):
            x = super().forward(x)
            return x - x.mean(0)

    task = small_digits(lambda: Centred(64, 10))
    models = compiled.Compiled(task, compiled.beginnings(task, 3))
    assert not models.fills_up()
    plain = small_digits(mlp)
    assert compiled.Compiled(plain, compiled.beginnings(plain, 3)).fills_up()


def test_without_a_compiler_it_is_said(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    plan = Plan("vmapped", 32, 1e-4, 1e-4, "32 together by vmap")
    asked = planner.to_compile(small_digits(mlp), Together(), plan, 1e6)
    assert asked.compiles == ""
    assert asked.reason.endswith("not compiled, because there is no C++ compiler (no-such-compiler)")


def test_little_work_is_not_compiled():
    plan = Plan("vmapped", 32, 1e-4, 1e-4, "32 together by vmap")
    assert planner.to_compile(small_digits(mlp), Together(), plan, planner.WORTH - 1) == plan


def test_much_work_waits_for_code():
    plan = Plan("vmapped", 32, 1e-4, 1e-4, "32 together by vmap")
    found = planner.to_compile(small_digits(mlp), Together(), plan, 1e6)
    assert found.compiles == "pending"
    assert found.graphs == 3, "a step of 64, one of the 52 that are left over, and an evaluation"


@pytest.mark.parametrize(
    ("executor", "vmap", "times"),
    [("vmapped", 1.1, 3), ("vmapped", 0.0, 3), ("one by one", 0.8, 5), ("one by one", 0.3, 10)],
)
def test_work_is_compiled_from_so_many_times_what_compiling_takes(executor, vmap, times):
    task, plan = small_digits(mlp), Plan(executor, 32, 1e-4, 1e-4, "as said", vmap=vmap)
    takes = sum(graph.seconds for graph in planner.graphs(task, Together(), plan))
    assert takes > 27, "three graphs of 9 s and more"
    less = planner.to_compile(task, Together(), plan, 0.99 * times * takes)
    assert (less.compiles, less.reason) == ("", "as said; compiling would take longer than it can save")
    assert planner.to_compile(task, Together(), plan, 1.01 * times * takes).compiles == "pending"


class Nodes(planner.Here):
    """Four machines, of which some lack the code, and one has no compiler."""

    def __init__(self, lacking):
        self.lack = lacking

    def lacking(self, together, plan, needed):
        return self.lack, 0.1

    def compiled(self, task, together, plan):
        return replace(plan, compiles="yes")


def test_where_each_of_many_machines_has_to_compile_the_work_must_be_as_much_more():
    task, plan = small_digits(mlp), Plan("vmapped", 32, 1e-4, 1e-4, "as said")
    takes = 3 * sum(graph.seconds for graph in planner.graphs(task, Together(), plan))
    for lacking in (1, 3):
        less = planner.to_compile(task, Together(), plan, 0.99 * lacking * takes, Nodes(lacking))
        assert (less.compiles, less.reason) == ("", "as said; compiling would take longer than it can save")
        more = planner.to_compile(task, Together(), plan, 1.01 * lacking * takes, Nodes(lacking))
        assert (more.compiles, more.nodes, more.graphs, more.without) == ("pending", lacking, 3, 0.1)
    assert planner.to_compile(task, Together(), plan, 0.3 * takes, Nodes(0)).compiles == "yes", "it is there"


def test_what_cannot_be_compiled_is_said(monkeypatch):
    def refuse(*_):
        raise RuntimeError("the compiler was out of sorts. It said much more.")

    monkeypatch.setattr(planner, "compile_steps", refuse)
    plan = Plan("vmapped", 3, 1e-4, 1e-4, "3 together by vmap", "pending", 6)
    found = planner.compiled(small_digits(mlp), Together(), plan)
    assert found.compiles == ""
    assert found.reason.startswith(
        "3 together by vmap; not compiled: the compiler was out of sorts (test_compiled.py, line "
    )


@pytest.mark.slow
def test_code_is_found_again_and_what_is_damaged_is_made_anew():
    task = small_digits(lambda: mlp(9))
    assert not loaded(task, 3, [36])
    compile_steps(task, 3, [36])
    first = runs(task, [1, 2, 3])
    again = small_digits(lambda: mlp(9))
    assert loaded(again, 3, [36]), "another task of the same graph"
    same(first[0], runs(again, [1, 2, 3])[0])
    files = sorted(inductor.folder().iterdir())
    for path in files:
        path.write_bytes(path.read_bytes()[:1000])
    third = small_digits(lambda: mlp(9))
    assert not loaded(third, 3, [36])
    same(first[0], runs(third, [1, 2, 3])[0])


@pytest.mark.slow
def test_another_process_finds_the_code_and_gives_the_same_bits(tmp_path):
    task = small_digits(lambda: mlp(10))
    expected = runs(task, [1, 2, 3])
    script = tmp_path / "again.py"
    script.write_text(
        "import sys; sys.path[:0] = ['tests', 'tests/train']\n"
        "from test_compiled import *\n"
        "torch.set_num_threads(1)\n"
        "task = small_digits(lambda: mlp(10))\n"
        "assert loaded(task, 3, [36])\n"
        "np.save(sys.argv[1], runs(task, [1, 2, 3])[0].weights['0.weight'].numpy())\n"
    )
    subprocess.run([sys.executable, script, tmp_path / "weights.npy"], check=True)
    assert np.array_equal(np.load(tmp_path / "weights.npy"), expected[0].weights["0.weight"].numpy())


@pytest.mark.parametrize("large", [False, True])
def test_what_would_have_other_bits_in_other_numbers_is_not_compiled_and_it_is_said(large):
    """Torch's own convolution of several models; of one it is taken, and windows that are not many are ours."""
    inner, places = (lambda: nn.Conv1d(2, 8, 41), 140) if large else (lambda: nn.ConvTranspose1d(2, 8, 5), 184)

    def model():
        return nn.Sequential(
            nn.Linear(64, 360), nn.Unflatten(1, (2, 180)), inner(), nn.Flatten(), nn.Linear(8 * places, 10)
        )

    task = small_digits(model)
    plan = Plan("vmapped", 8, 1e-2, 1e-3, "so")
    found = planner.to_compile(task, Together(), plan, 1e6)
    name = "conv1d" if large else "conv_transpose1d"
    assert found.reason == (
        f"so; not compiled: {name} of such tensors has last bits that depend on how many models it is compiled for"
    )
    assert graphs_of(task, 1, [36])


@pytest.mark.slow
def test_twenty_shapes_are_twenty_graphs(tmp_path, monkeypatch):
    """torch.compile would stop at its eighth, without a word."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))

    def uncompiled(*_):
        raise AssertionError("uncompiled, without a word")

    for count, hidden in enumerate(range(11, 31), 1):
        task = small_digits(lambda hidden=hidden: nn.Sequential(nn.Linear(64, hidden), nn.Linear(hidden, 10)))
        compile_steps(task, 3, [36])
        with monkeypatch.context() as patch:
            for name in ("uncompiled", "_tensors"):
                patch.setattr(Vmapped, name, uncompiled)
            together = runs(task, [1, 2, 3])
        assert count_compiled(task) == 2, "one graph of a step, one of an evaluation"
        assert len(list(inductor.folder().iterdir())) == 2 * count
        (alone,) = train(task, [member(2)], keep_weights=True)
        for name, x in alone.weights.items():
            torch.testing.assert_close(together[1].weights[name], x, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Sequential(nn.Linear(64, 12), nn.LayerNorm(12), nn.ReLU(), nn.Linear(12, 10)),
        lambda: nn.Sequential(nn.Linear(64, 11), nn.BatchNorm1d(11), nn.ReLU(), nn.Linear(11, 10)),
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(80, 10),
        ),
    ],
    ids=["layer norm", "batch norm", "convolution"],
)  # fmt: skip
def test_bits_do_not_depend_on_company_or_on_the_number_together(model):
    task = small_digits(model)
    small, large = runs(task, [1, 2, 3]), runs(task, [7, 2, 9, 8, 1, 6, 3, 5])
    for one, place in zip(small, (4, 1, 6), strict=True):
        same(one, large[place])
