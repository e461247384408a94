"""A lottery from the first run to the report: a kill changes nothing, and what cannot be is refused."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tickets import RECIPE, STEPS, draw, net
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import optim, prune, report
from thalweg.errors import InputError
from thalweg.record import Store
from thalweg.study import lottery
from thalweg.study.tickets import chain as lottery_chain
from thalweg.study.tickets import engine as lottery_engine
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ticket import KINDS
from thalweg.train.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def task():
    return small_digits(net)


@pytest.fixture(scope="module")
def found(task, tmp_path_factory):
    """One lottery with late rewinding, to the middle of an epoch."""
    return draw(task, tmp_path_factory.mktemp("lottery") / "out", rewind=4)


# -- the whole ---------------------------------------------------------------------------------------------------


def test_a_lottery_leaves_levels_and_words(found):
    levels = found.verdict["levels"]
    total = 64 * 24 + 24 * 12 + 120
    assert [row["weights"] for row in levels] == [total, 768 + 144 + 90, 384 + 72 + 68, 192 + 36 + 51]
    assert [set(row["kinds"]) for row in levels[1:]] == [set(KINDS)] * 3
    assert set(levels[0]["kinds"]) == {"ticket", "other data order"}
    assert all(row["barrier"]["low"] <= row["barrier"]["mean"] <= row["barrier"]["high"] for row in levels)
    assert str(found).startswith("On small digits, the ticket")
    with Store(found.directory) as store:
        runs = store.runs(curves=True)
        entries = store.entries("chosen")
    assert len(runs) == 2 * (2 + 5 + 6 + 6)
    late = [runs[e.run] for e in entries if e.setting and e.recipe != "fresh weights"]
    assert all(np.isnan(run.curve.valid[:2]).all() and np.isfinite(run.curve.valid[2:]).all() for run in late)
    assert all(np.isfinite(runs[e.run].curve.valid).all() for e in entries if e.recipe == "fresh weights")
    assert {run.steps for run in runs.values()} == {2 * STEPS}
    same = {e.repeat: e.run for e in entries if (e.recipe, e.setting) == ("ticket", 1)}
    assert same == {e.repeat: e.run for e in entries if (e.recipe, e.setting) == ("one-shot", 1)}
    assert not Checkpoints(found.directory).names()


def same_records(one, other):
    with Store(one) as first, Store(other) as second:
        mine, its = first.runs(curves=True, outcomes=True), second.runs(curves=True, outcomes=True)
        assert mine.keys() == its.keys()
        for name, run in mine.items():
            assert np.array_equal(run.outcomes, its[name].outcomes)
            assert np.array_equal(run.curve.valid, its[name].curve.valid, equal_nan=True)
            assert (run.train, run.valid, run.test, run.steps) == tuple(
                getattr(its[name], x) for x in ("train", "valid", "test", "steps")
            )
        levels = [store.get("verdict")["levels"] for store in (first, second)]
        assert levels[0] == levels[1]


@pytest.fixture
def quick(monkeypatch):
    """Nothing is exported and one executor is chosen: this asks for seconds, and another test looks at it."""
    from thalweg.study.tickets import ends as lottery_ends

    monkeypatch.setattr(lottery_ends, "_export", lambda *_: "not here")


@pytest.fixture
def as_planned(monkeypatch, found):
    """Plans are that of the first lottery, so that bits can be compared."""
    from thalweg.train.planner import Plan

    with Store(found.directory) as store:
        plan = Plan(**store.get("plan")["lottery"])
    monkeypatch.setattr(sys.modules["thalweg.study.tickets.lottery"], "measure", lambda *_, **__: plan)


@pytest.mark.parametrize(
    "steps", [pytest.param(1, marks=pytest.mark.slow), 5, pytest.param(8, marks=pytest.mark.slow), 17]
)
def test_a_kill_changes_no_bit(task, found, tmp_path, monkeypatch, quick, as_planned, steps):
    """Before the early step, after it, at the next level, and further on; with a checkpoint after every step."""
    whole, left = lottery_chain.Watch.step, [False, *[True] * steps]

    def step(self, lane, population):
        self.seconds = 0
        whole(self, lane, population)
        if left and not left.pop():
            raise KeyboardInterrupt

    monkeypatch.setattr(lottery_chain.Watch, "step", step)
    with pytest.raises(KeyboardInterrupt):
        draw(task, tmp_path, rewind=4)
    assert Checkpoints(tmp_path).names()
    again = draw(task, tmp_path, rewind=4)
    same_records(found.directory, tmp_path)
    assert again.verdict["sentences"][:2] == found.verdict["sentences"][:2]
    assert not Checkpoints(tmp_path).names()


def test_what_goes_on_is_not_done_again(task, tmp_path, monkeypatch, quick, as_planned):
    """A run that was interrupted goes on from its step."""
    whole, left, taken = lottery_chain.Watch.step, [False, *[True] * 4], []

    def step(self, lane, population):
        self.seconds = 0
        taken.append(population.snapshot()[0].step)
        whole(self, lane, population)
        if left and not left.pop():
            raise KeyboardInterrupt

    monkeypatch.setattr(lottery_chain.Watch, "step", step)
    with pytest.raises(KeyboardInterrupt):
        draw(task, tmp_path, rounds=1)
    assert taken == [1, 2, 3, 4, 5]
    draw(task, tmp_path, rounds=1)
    assert taken[5] == 6
    before = len(taken)
    draw(task, tmp_path, rounds=1)
    assert len(taken) == before


def test_two_processes_give_the_same_records(task, found, tmp_path, quick, as_planned):
    draw(task, tmp_path, rewind=4, processes=2)
    same_records(found.directory, tmp_path)


def test_a_process_that_dies_goes_on_from_where_it_was_kept(task, found, tmp_path, monkeypatch, quick, as_planned):
    whole, marker = Chain._end_level, tmp_path / "died"

    def end_level(self, ticket, runs):
        whole(self, ticket, runs)
        if ticket.level == 2 and ticket.place == 0 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Chain, "_end_level", end_level)
    draw(task, tmp_path / "out", rewind=4, processes=2)
    assert marker.exists()
    same_records(found.directory, tmp_path / "out")


def test_a_process_that_dies_twice_is_said(task, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(Chain, "_end_level", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"died \(exit code -9\).*twice; what is recorded is kept"):
        draw(task, tmp_path, processes=2)
    assert lottery_engine.PATIENCE > 60


# -- what is left ------------------------------------------------------------------------------------------------


def test_the_smaller_model_asks_for_nothing_of_ours(task, found):
    """It is loaded by PyTorch alone, and by hand from its weights; it gives the metric that was said."""
    facts = found.verdict["smaller"]
    torch.save((task.test.inputs, task.test.targets), found.directory / "test.pt")
    program = """
import json, sys, torch
from safetensors.torch import load_file
inputs, targets = torch.load("test.pt")
model = torch.export.load("ticket.pt2").module()
print(json.dumps([(model(inputs).argmax(1) == targets).double().mean().item(), "thalweg" in sys.modules]))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=found.directory, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == [pytest.approx(facts["test"][1]), False]
    weights = load_file(found.directory / "ticket.safetensors")
    shapes = json.loads((found.directory / "ticket.json").read_text())["shapes"]
    assert {name: list(x.shape) for name, x in weights.items()} == shapes
    layers = [nn.Linear(weights[f"{i}.weight"].shape[1], weights[f"{i}.weight"].shape[0]) for i in (0, 2, 4)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    model.load_state_dict(weights)
    with torch.no_grad():
        right = (model(task.test.inputs).argmax(1) == task.test.targets).double().mean().item()
    assert right == pytest.approx(facts["test"][1])
    assert facts["test"][0] == pytest.approx(facts["test"][1], abs=0.02)
    assert sum(x.numel() for x in weights.values()) == facts["parameters"][1] <= facts["parameters"][0]
    row = found.verdict["levels"][facts["level"]]
    assert facts["share"] * 1944 == pytest.approx(row["kinds"][facts["kind"]].get("weights", row["weights"]))


def test_idle_units_go(task, tmp_path, quick):
    """Where whole units go the model is really smaller; `bench lottery` measures how much quicker."""
    made = draw(task, tmp_path, rounds=2, rate=0.5, seeds=1)
    facts = made.verdict["smaller"]
    assert facts["kind"] == "whole units"
    left = {1: (12, 6), 2: (6, 3)}[facts["level"]]
    assert {name: one["after"] for name, one in facts["units"].items()} == {"0": left[0], "2": left[1]}
    assert facts["parameters"] == [1990, 65 * left[0] + (left[0] + 1) * left[1] + (left[1] + 1) * 10]
    assert all(seconds > 0 for seconds in facts["seconds"])
    weights = load_file(tmp_path / "ticket.safetensors")
    assert [list(weights[f"{i}.weight"].shape) for i in (0, 2, 4)] == [
        [left[0], 64],
        [left[1], left[0]],
        [10, left[1]],
    ]


def test_where_no_unit_can_go_weights_alone_do(tmp_path, quick):
    made = draw(small_digits(lambda: nn.Linear(64, 10)), tmp_path, rounds=1, seeds=1)
    assert "whole units" not in made.verdict["levels"][1]["kinds"]
    assert made.verdict["smaller"]["parameters"] == [650, 650]
    assert "every unit still does something, so that the model is no smaller" in str(made)


def test_the_report_asks_for_no_torch(found):
    program = "import sys; from thalweg import report; print(report.write('.'), 'torch' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=found.directory, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["report.html", "False"]
    page = (found.directory / "report.html").read_text()
    assert found.verdict["sentences"][0].replace("\u00a0", " ") in page.replace("\u00a0", " ")
    assert 'id="figure-remaining"' in page
    assert 'id="figure-barrier"' in page


def test_an_unfinished_lottery_has_a_page_that_says_so(task, tmp_path, monkeypatch, quick):
    def end_level(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Chain, "_end_level", end_level)
    with pytest.raises(KeyboardInterrupt):
        draw(task, tmp_path)
    assert "Unfinished: 2 of 38 runs" in report.write(tmp_path).read_text()


# -- what is refused ---------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))[:, :10]


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (net, {"rate": 1.0}, "rate takes a share of the weights above 0 and below 1, not 1.0"),
        (net, {"rate": 0}, "rate takes a share of the weights above 0 and below 1, not 0"),
        (net, {"rounds": 0}, "rounds takes a whole number from 1 up, not 0"),
        (net, {"rounds": 40}, "rounds: after 14 of them 4 of 1944 weights are left, too few to take"),
        (net, {"rewind": 6}, "rewind takes a step of the run, which has 6, and not its last: not 6"),
        (net, {"rewind": -1}, "rewind takes a whole number from 0 up, not -1"),
        (net, {"scope": "layers"}, 'unknown scope "layers"; did you mean "layer"'),
        (net, {"seeds": True}, "seeds takes a whole number from 1 up, not True"),
        (Tied, {}, "magnitude prunes no tied weights, and one.weight is two.weight too"),
        (lambda: nn.BatchNorm1d(64), {}, "found nothing in BatchNorm1d"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_nothing_is_written(model, more, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        draw(small_digits(model), tmp_path / "out", **more)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_prunes_is_refused(task, tmp_path):
    with pytest.raises(InputError, match="the lottery prunes by itself; leave prune = snip out of the recipe"):
        lottery(task, tw.Recipe(prune=prune.snip()), out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_training_raises_is_one_sentence(task, tmp_path, monkeypatch, processes):
    def train(*_):
        raise RuntimeError("vmap has had enough\nof this")

    monkeypatch.setattr(Chain, "_train", train)
    with pytest.raises(InputError, match=r"^training the tickets failed: RuntimeError: vmap has had enough$"):
        draw(task, tmp_path, processes=processes)


def test_a_model_that_diverges_has_no_tickets(task, tmp_path):
    wild = tw.Recipe(optim.sgd(lr=3e38), epochs=1)
    with pytest.raises(InputError, match=r"the whole model diverged on seed .*; give a recipe that trains it"):
        lottery(task, wild, rounds=1, seeds=1, out=tmp_path, processes=1, progress=False)


def test_another_lottery_is_refused(task, found, tmp_path):
    for more, message in [
        ({"rounds": 4}, "holds a lottery with rounds 3 and not 4; choose another --out"),
        ({"scope": "global", "seeds": 3}, "scope layer and not global, seeds 2 and not 3; choose another --out"),
    ]:
        with pytest.raises(InputError, match=message):
            draw(task, found.directory, rewind=4, **more)
    with pytest.raises(InputError, match="holds a lottery with another recipe; choose another --out"):
        lottery(task, tw.Recipe(epochs=3), rounds=3, rate=0.5, seeds=2, rewind=4, out=found.directory, progress=False)
    with pytest.raises(InputError, match="choose another --out"):
        tw.compare(
            task, [RECIPE, tw.Recipe(optim.sgd(), epochs=2)], trials=1, seeds=2, out=found.directory, progress=False
        )
    with pytest.raises(InputError, match=r"\S"):
        tw.export(found.directory)


def test_the_command_says_what_came_of_it(tmp_path, monkeypatch, capsys, quick):
    from thalweg import cli

    said = f"wine --rounds 1 --epochs 2 --seeds 2 --processes 1 --out {tmp_path / 'out'}"
    monkeypatch.setattr(sys, "argv", ["thalweg", "lottery", *said.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 0
    assert "On wine, the ticket" in told.out
    assert f"ticket: {tmp_path / 'out' / 'ticket.safetensors'}" in told.out
    with pytest.raises(InputError, match=r"holds a lottery, whose ticket.pt2 asks for nothing but PyTorch already"):
        tw.export(tmp_path / "out")
    assert "runs on wine: 1 round from 1,536 weights down to 1,238" in told.err.replace("\n", "")
    monkeypatch.setattr(sys, "argv", ["thalweg", "lottery", "wine", "--rate", "2", "--out", str(tmp_path / "other")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "thalweg: rate takes a share of the weights above 0 and below 1, not 2.0\n"
