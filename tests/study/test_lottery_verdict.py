"""What a lottery claims: the ticket against both controls, level by level, in one plain sentence."""

import altair as alt
import numpy as np
import pytest

from thalweg.prune import connectivity
from thalweg.record import BaselineRecord, Curve, Entry, RecipeRow, RunRecord, Store
from thalweg.report import lottery as page
from thalweg.study.statistics import differences, pair_alpha
from thalweg.study.tickets import verdict as lottery_verdict
from thalweg.study.tickets.ticket import KINDS

SEEDS, EXAMPLES, ROUNDS = 5, 200, 3


def store_of(path, better, *, unit="%", higher=True, seeds=SEEDS, barriers=None, smaller=None):
    """Write a lottery's records; ``better`` says how likely each kind is right at each level."""
    facts = {
        "task": {
            "name": "some task", "metric": {"name": "accuracy", "higher_is_better": higher, "unit": unit},
            "sizes": {"train": 10, "valid": 10, "test": EXAMPLES},
        },
        "lottery": {
            "rounds": ROUNDS, "rate": 0.5, "rewind": 0, "scope": "layer", "seeds": seeds, "seed": 0,
            "left": [800, 400, 200, 100], "barriers": barriers or [], "units_left": [[300, 90, 30]] * seeds,
            "smaller": smaller,
        },
        "protocol": {"seeds": seeds, "seed": 0, "command": "thalweg lottery some_task.py:task"},
        "environment": {}, "plan": {},
    }  # fmt: skip
    luck = np.random.default_rng(0).random((seeds, EXAMPLES))
    with Store(path, write=True) as store:
        store.begin(facts, [RecipeRow(kind, "epochs = 1\n") for kind in KINDS])
        for level in range(ROUNDS + 1):
            for kind in KINDS[:-1] if level else KINDS[:1]:
                for repeat in range(seeds):
                    rng = np.random.default_rng([level, KINDS.index(kind), repeat])
                    rate = better.get((kind, level), better.get(kind, 0.8))
                    right = (0.7 * luck[repeat] + 0.3 * rng.random(EXAMPLES)) < rate
                    name = f"{kind} {level} {repeat}"
                    valid = np.array([0.1, 0.5, 0.9 if repeat else 0.4, 0.7])
                    curve = Curve(np.arange(4), 10 * np.arange(4), np.full(4, 1.0), valid if higher else -valid)
                    store.add_run(
                        RunRecord(
                            name, "epochs = 1\n", repeat, "finished", "", "one by one", 30, 1.0, 8.0, 1.0, 0.7,
                            float(right.mean()), curve, right.astype(np.float32),
                        )
                    )  # fmt: skip
                    store.add_entries([Entry("chosen", kind, level, repeat, name)])
    return path


def verdict_of(path, better, **more):
    store_of(path, better, **more)
    with Store(path, write=True) as store:
        found = lottery_verdict.from_store(store)
        store.put("verdict", found)
        return found


WINS = {("ticket", 3): 0.9, ("random mask", 3): 0.3, ("fresh weights", 3): 0.4}


def test_a_ticket_that_wins_is_said_to(tmp_path):
    found = verdict_of(tmp_path, WINS)
    claimed = [[pair["claimed"] for pair in row["pairs"]] for row in found["levels"]]
    assert claimed == [[], [False, False], [False, False], [True, True]]
    first = found["sentences"][0].replace("\u00a0", " ")
    assert first.startswith(
        "On some task, the winning ticket beats both controls at 1 of 3 levels: at 12.5 % of the weights, "
        "the random mask by "
    )


def test_claims_hold_for_both_controls_and_all_levels(tmp_path):
    """The interval of each difference, against the same statistics asked by hand."""
    found = verdict_of(tmp_path, WINS)
    with Store(tmp_path) as store:
        runs = store.runs(outcomes=True)
    kinds = ("ticket", "random mask", "fresh weights")
    S = np.stack([[runs[f"{kind} 3 {i}"].outcomes for i in range(SEEDS)] for kind in kinds]).astype(float)
    ends = differences(S).crossed(pair_alpha(3, SEEDS, 0.05 / ROUNDS))
    pairs = found["levels"][3]["pairs"]
    assert [pair["crossed"] for pair in pairs] == [pytest.approx(list(ends[i])) for i in (0, 1)]
    narrow = differences(S).crossed(pair_alpha(3, SEEDS, 0.05))
    assert ends[0, 1] - ends[0, 0] > narrow[0, 1] - narrow[0, 0]


def test_one_that_beats_one_control_is_not_said_to_win(tmp_path):
    found = verdict_of(tmp_path, {("random mask", 2): 0.3})
    first = found["sentences"][0].replace("\u00a0", " ")
    assert first == "On some task, of 3 levels the ticket beats the random mask at 1 and fresh weights at none."
    second = found["sentences"][1].replace("\u00a0", " ")
    assert second.startswith("It beats the random mask alone at 25 % of the weights: by ")
    assert second.endswith(". At no level is it ahead of fresh weights.")
    assert second.count("25 %") == 1, "where it is is said once"


def test_alike_cannot_be_told_apart(tmp_path):
    found = verdict_of(tmp_path, {})
    assert not any(pair["claimed"] for row in found["levels"] for pair in row["pairs"])
    assert (
        found["sentences"][0] == "On some task, the ticket and its controls cannot be told apart at any of 3 levels."
    )
    second = found["sentences"][1]
    assert second.count("and that may be chance") + second.count("At no level is it ahead of") == 2


def test_a_ticket_that_is_nowhere_ahead_is_not_said_to_be_ahead_by_less_than_nothing(tmp_path):
    found = verdict_of(tmp_path, {("ticket", level): 0.76 for level in (1, 2, 3)})
    assert all(pair["difference"] <= 0 for row in found["levels"] for pair in row["pairs"])
    assert found["sentences"][1].startswith(
        "At no level is it ahead of the random mask. At no level is it ahead of fresh weights."
    )


def test_where_it_wins_at_several_levels_the_largest_lead_is_named(tmp_path):
    better = {(kind, level): 0.3 for kind in ("random mask", "fresh weights") for level in (2, 3)}
    first = verdict_of(tmp_path, better)["sentences"][0].replace("\u00a0", " ")
    assert ": most at " in first
    assert first.startswith(
        "On some task, the winning ticket beats both controls at 2 of 3 levels, from 25 % down to "
    )


def constant_in(path, outcomes):
    with Store(path, write=True) as store:
        scores = np.asarray(outcomes, np.float32)
        mean = float(scores.mean())
        store.add_baseline(
            BaselineRecord("constant", 0, 0, "'no', the commonest class", "", 0.0, mean, mean, mean, scores)
        )
        return lottery_verdict.from_store(store)


def test_a_lottery_of_models_that_are_no_better_than_a_constant_answer_says_so(tmp_path):
    right = np.arange(EXAMPLES) % 100 > 4
    nothing = constant_in(store_of(tmp_path / "nothing", {}), right)
    text = (
        "Neither the whole model nor any ticket is better than always answering 'no', the commonest class: 95\xa0%."
    )
    assert nothing["sentences"][1] == text
    poor = {("ticket", level): 0.2 for level in (1, 2, 3)} | {("ticket", 0): 1.0}
    some = constant_in(store_of(tmp_path / "some", poor), np.arange(EXAMPLES) % 2 > 0)
    assert not any("always" in sentence for sentence in some["sentences"])
    assert some["warnings"][0] == (
        "The ticket is no better than always answering 'no', the commonest class: 50\xa0%, from 50\xa0% down to "
        "12.5\xa0% of the weights."
    )
    whole = constant_in(store_of(tmp_path / "whole", {("ticket", 0): 0.2}), np.arange(EXAMPLES) % 2 > 0)
    assert whole["sentences"][1].startswith("The whole model is no better than always answering 'no'")
    none = constant_in(store_of(tmp_path / "none", {}), np.arange(EXAMPLES) % 4 == 0)
    assert "always" not in " ".join([*none["sentences"], *none["warnings"]])


def test_one_that_is_behind_is_said_to_be(tmp_path):
    found = verdict_of(tmp_path, {("ticket", 1): 0.3, ("ticket", 2): 0.3})
    first, second = (sentence.replace("\u00a0", " ") for sentence in found["sentences"][:2])
    assert first == "On some task, the ticket beats neither control at any level, and is behind one at some."
    assert second.endswith("It is behind a control from 50 % down to 25 % of the weights.")


def test_where_lower_is_better_the_ticket_wins_with_less(tmp_path):
    less = {("ticket", 3): 0.3, ("random mask", 3): 0.9, ("fresh weights", 3): 0.9}
    found = verdict_of(tmp_path, less, higher=False, unit="")
    assert [pair["difference"] > 0.3 and pair["claimed"] for pair in found["levels"][3]["pairs"]] == [True, True]
    assert "beats both controls" in found["sentences"][0]


def test_one_seed_claims_nothing(tmp_path):
    found = verdict_of(tmp_path, WINS, seeds=1)
    assert "one seed tells a ticket from no control" in found["sentences"][0]
    assert not any(pair["claimed"] for row in found["levels"] for pair in row["pairs"])


def test_the_early_stop_step_is_that_of_the_best_validation(tmp_path):
    """The first seed's best is the last epoch, the others' the one before it."""
    arm = verdict_of(tmp_path, {})["levels"][1]["kinds"]["ticket"]
    assert (arm["step_low"], arm["step_high"], arm["step"]) == (20, 30, pytest.approx(22))
    lower = verdict_of(tmp_path / "lower", {}, higher=False)["levels"][1]["kinds"]["ticket"]
    assert lower["step"] == arm["step"]


def test_the_barrier_is_how_much_worse_it_gets_between_the_ends(tmp_path):
    line = [0.9, 0.85, 0.7, 0.8]
    barriers = [[line, [0.9, 0.9, 0.9], None], [[0.8, 0.8], [0.9, 0.88, 0.9]]]
    found = verdict_of(tmp_path, {}, barriers=barriers)
    rows = [row["barrier"] for row in found["levels"]]
    assert rows[0] == {"mean": pytest.approx(0.075), "low": pytest.approx(0.0), "high": pytest.approx(0.15)}
    assert rows[1]["mean"] == pytest.approx(0.01)
    assert rows[2] is rows[3] is None
    errors = iter(-x for x in line)
    import torch
    from torch import nn

    layer = nn.Linear(1, 1)
    by_hand = connectivity(layer, layer.state_dict(), layer.state_dict(), lambda _: next(errors), points=4)
    assert rows[0]["high"] == pytest.approx(by_hand.barrier)
    assert torch.is_grad_enabled()
    assert found["sentences"][3] == (
        "At 50\u00a0% of the weights, two tickets trained on the same data in different orders end in one basin: on "
        "the straight line between their weights the test accuracy gets worse by less than 2 points there alone."
    )


def test_a_run_that_is_missing_leaves_no_verdict(tmp_path):
    store_of(tmp_path, {})
    with Store(tmp_path, write=True) as store:
        store.add_entries([Entry("chosen", "ticket", 3, 9, "not there yet")])
        assert lottery_verdict.from_store(store) is None


SMALLER = {
    "kind": "whole units", "seed": 1, "level": 2, "share": 0.1, "held": True,
    "units": {"0": {"before": 10, "after": 2}},
    "left": {"2": "it is called more than once"}, "parameters": [1000, 120], "kept": 100, "bytes": [4000, 480],
    "seconds": [2e-4, 1e-4], "batch": 64, "test": [0.81, 0.8], "exported": "",
}  # fmt: skip


def test_the_page_shows_levels_and_what_is_left(tmp_path):
    barriers = [[[0.9, 0.8, 0.9]] * 4] * 2
    verdict_of(tmp_path, WINS, barriers=barriers, smaller=SMALLER)
    text = page.write(tmp_path).read_text().replace("\u00a0", " ")
    body = text[: text.index('id="payload"')]
    for part in (
        "On some task, the winning ticket beats both controls",
        "from 1,000 to 120 parameters, 4 kB to 0.48 kB, and is 2.0 times as fast on a batch of 64 (200 to 100 µs)",
        "<dt>layer 0</dt><dd>2 of 10 units</dd>",
        "<dt>layer 2</dt><dd>stays as it is; it is called more than once</dd>",
        "a model whose whole units were taken",
        "12.5 %",
        'torch.export.load("ticket.pt2")',
        "thalweg lottery some_task.py:task",
    ):
        assert part.replace('"', "&#34;") in body or part in body, part


def test_the_charts_are_what_vega_lite_takes(tmp_path, monkeypatch):
    barriers = [[[0.9, 0.8, 0.9]] * 4] * 2
    made = {}
    whole = page._charts

    def charts(scale, data):
        made.update(whole(scale, data))
        made["data"] = data
        return {name: value for name, value in made.items() if name != "data"}

    monkeypatch.setattr(page, "_charts", charts)
    verdict_of(tmp_path, WINS, barriers=barriers)
    page.write(tmp_path)
    data = made.pop("data")
    assert set(made) == {"remaining", "step", "barrier"}
    for chart in made.values():
        alt.LayerChart.from_dict(chart, validate=True)
    remaining = data["remaining"]
    kinds = list(zip(remaining["recipe"], remaining["share"], remaining["claimed"], strict=True))
    assert kinds[:5] == [(place, 100.0, 0) for place in range(5)]
    assert (0, 12.5, 1) in kinds
    assert (4, 37.5, 0) in kinds, "where whole units go, other numbers are left"
    assert sum(remaining["claimed"]) == 1
