"""What is lost on a cluster costs what is unfinished and nothing else: nodes, processes, the driver."""

import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from torch import nn
from work import (
    STILL,
    Acting,
    assert_same,
    biased,
    collected,
    lane_of,
    lanes_of,
    locally,
    runs_of,
    small_task,
    where_biased,
)

import thalweg as tw
from small import small_digits
from thalweg.study.engines import again
from thalweg.study.engines import ray as engine_ray
from thalweg.study.engines.codes import Codes
from thalweg.study.engines.kept import Kept
from thalweg.study.engines.lanes import failed
from thalweg.study.engines.nodes import Node
from thalweg.study.engines.order import Order
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.state import begin, packed


def test_a_shot_node_costs_what_is_unfinished_and_every_record_is_there_once_to_the_bit(joined, second, tmp_path):
    to_be_shot, arrived = second.node_id, tmp_path / "arrived"

    def linger(_):
        import ray

        # Counted where models are not looked into: one that keeps a count trains alone.
        calls = int(os.environ.get("LINGERED", "0")) + 1
        os.environ["LINGERED"] = str(calls)
        here = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "no node"
        if calls > 17 * 3 and here == to_be_shot:
            arrived.touch()
            threading.Event().wait()

    task = small_digits(lambda: nn.Sequential(Acting(linger), nn.Dropout(0.1)))
    schedule = tw.schedule.plateau(factor=0.5, patience=0, threshold=0.1)
    short, long = (runs_of(10, recipe=tw.Recipe(tw.optim.adam(), schedule, epochs=epochs)) for epochs in (10, 20))
    runs = [(short if seed % 5 < 2 else long)[seed] for seed in range(10)]
    records, epochs = [], [0]

    def shoot():  # when one lane is done, and the other has but its long runs left
        until = time.monotonic() + 60
        while not (arrived.exists() and len(records) == 7) and time.monotonic() < until:
            time.sleep(0.05)
        joined.shoot(second)

    def count(more):
        epochs[0] += more

    work = [lane_of(runs[:5], "lane-0"), lane_of(runs[5:], "lane-1")]
    hunter = threading.Thread(target=shoot)
    hunter.start()
    try:
        _, said = collected(task, work, joined.address, on_record=records.append, on_epochs=count)
    finally:
        hunter.join()
    assert sorted(record.identity for record in records) == sorted(f"run {seed}" for seed in range(10))
    alone = locally(task, work)
    for record in records:
        assert_same(record, alone[record.identity], but=["executor"])
    assert said[0] == f"Ray cluster at {joined.address}: 2 nodes, 2 cores"
    lost = f"its process on node {second.node_ip_address} was lost with the node; 3 runs begin anew"
    assert sorted(said[1:]) == [lost, "the Ray cluster has 1 node, 1 core now"]
    assert epochs[0] == 4 * 10 + 6 * 20


def test_a_process_that_is_killed_once_costs_nothing_but_its_lane(joined, tmp_path):
    mark = tmp_path / "killed"

    def die_once():
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    task = small_digits(lambda: Acting(where_biased(die_once)))
    biased(task, 6)
    work = lanes_of(6, together=3, executor="one by one", recipe=STILL)
    records, said = collected(task, work, joined.address)
    assert mark.exists()
    died = f"its process on node {joined.cluster.head_node.node_ip_address} died, perhaps for want of memory"
    assert said[1:] == [f"{died}; 3 runs begin anew"]
    alone = locally(task, work)
    assert records.keys() == alone.keys()
    for name, record in records.items():
        assert_same(record, alone[name])


def test_a_lane_that_always_dies_ends_as_failed_with_the_reason_and_takes_nobody_along(joined, tmp_path, monkeypatch):
    monkeypatch.setattr(again, "AGAIN", 1)
    log = tmp_path / "deaths"

    def die():
        with log.open("a") as file:
            file.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)

    task = small_digits(lambda: Acting(where_biased(die)))
    bad = biased(task, 4)
    work = lanes_of(4, executor="one by one", recipe=STILL)
    records, said = collected(task, work, joined.address)
    assert {name for name, record in records.items() if record.status == "failed"} == bad
    assert records.keys() == {f"run {seed}" for seed in range(4)}
    died = f"its process on node {joined.cluster.head_node.node_ip_address} died, perhaps for want of memory"
    assert {records[name].reason for name in bad} == {died}
    one_by_one = f"4 runs together: {died}; lost 2 times without getting on; tried again one by one"
    assert said[1:] == [f"{died}; 4 runs begin anew", one_by_one]
    assert len(log.read_text().split()) == 2 + len(bad)


@pytest.mark.parametrize("blamed", [False, True], ids=["process", "node"])
def test_losses_count_where_nothing_was_done_between_them(linear_task, tmp_path, blamed):
    """Any number of them, where a run is done or a step is kept; else a few more than there were in vain."""
    (lane,), said, epochs = lanes_of(6, together=6), [], []
    order = Order([], {}, 1, left=(), wanted=(), begins=False)
    engine_kept = Kept(Checkpoints(tmp_path), said.append)
    losses = again.Again(order, engine_kept, None, epochs.append, said.append)
    states = [begin(linear_task, state.member) for state in lane.states]

    def lose(lane, *done):
        one = again.Sent(lane, "a")
        for name in done:
            del one.left[name]
        losses.lost(one, "it was struck", node_to_blame=blamed)
        return list(iter(lambda: order.lanes.popleft() if order.lanes else None, None))

    most = again.AGAIN * (2 if blamed else 1)
    for step in range(1, 9):
        tensors, facts = packed([replace(state, step=step) for state in states])
        engine_kept.save(lane, tensors, {"executor": "vmapped", "slots": 6, "threads": 1, "states": facts})
        (lane,) = lose(lane)
        assert (lane.name, lane.deaths, lane.states[0].step) == ("lane-0", 1, step), "a step is kept"
    for run in range(2):
        (lane,) = lose(lane)
        assert lane.deaths == 2, "nothing is done"
        (lane,) = lose(lane, f"run {run}")
        assert (lane.deaths, len(lane.states)) == (1, 5 - run), "a run is done"
    for count in range(2, most + 1):
        (lane,) = lose(lane)
        assert (lane.deaths, len(lane.states)) == (count, 4)
    assert len(lose(lane)) == 4
    times = f"lost {most + 1} times without getting on"
    assert said[-1] == f"4 runs together: it was struck; {times}; tried again one by one"
    assert {line.partition("; ")[2] for line in said[:-1]} == {
        f"{count} runs go on from where they were last kept" for count in (4, 5, 6)
    }
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_first_record_of_a_run_wins(linear_task):
    records, cluster = [], engine_ray.Cluster(linear_task)
    cluster._on_record = records.append
    first, second = (failed(("run 0", "", 0), reason) for reason in ("first", "second"))
    cluster._record(first)
    cluster._record(second)
    assert records == [first]


def test_a_record_that_cannot_be_written_ends_it_and_nothing_trains_on(joined):
    import ray

    class FullError(Exception):
        pass

    def record(_):
        raise FullError

    (long,), (short,) = lanes_of(1, epochs=100_000), lanes_of(2, together=1, epochs=30)[1:]
    both = lane_of([*long.runs, *short.runs])
    with pytest.raises(FullError):
        collected(small_task(), [both], joined.address, on_record=record)
    assert ray.is_initialized(), "it was here before"
    until = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < 1:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_what_cannot_train_together_trains_one_by_one_and_that_is_said(joined):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            return self.out(x) * float(x.abs().max() > 0)  # a number out of a tensor

    records, said = collected(small_digits(Counting), lanes_of(3), joined.address)
    assert {record.status for record in records.values()} == {"finished"}
    assert {record.executor for record in records.values()} == {"one by one"}
    (sentence,) = said[1:]
    assert sentence.startswith("3 runs together: vmap cannot take this model: ")
    assert sentence.endswith("; tried again one by one")


def test_no_more_train_at_once_than_was_asked_for(linear_task):
    class Work:
        def options(self, **_):
            return self

        def remote(self, *_):
            return object()

    cluster = engine_ray.Cluster(linear_task, processes=3)
    one, other = "a" * 56, "b" * 56
    cluster.nodes = SimpleNamespace(cores=8, used={one: Node("a", 4), other: Node("b", 4)})
    cluster.codes = Codes(None, None, [], cluster.nodes, print, 1.0)
    cluster._work, cluster._task = Work(), []
    cluster._order = Order([], {}, 1, left=lanes_of(10, together=2), wanted=(), begins=False)
    cluster._again = again.Again(cluster._order, cluster._kept, None, None, print)
    cluster._hand_out()
    assert sorted(lane.node for lane in cluster._busy.values()) == [one, one, other]
    cluster.nodes.cores = 2
    assert cluster.processes == 2
    cluster._busy.clear()
