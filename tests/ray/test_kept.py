"""A lane is kept by the process that asks, and goes on from there: elsewhere, by another command or engine."""

import os
import queue
import signal
import time
from dataclasses import replace

import pytest
import torch
from torch import nn
from work import Acting, assert_same, collected, lanes_of, locally, runs_of

import thalweg as tw
from small import small_digits
from thalweg.study.engines import again, kept
from thalweg.study.engines.lanes import Lane, Watch, lanes_left, state_of
from thalweg.study.engines.local import Local
from thalweg.study.engines.ray import Cluster
from thalweg.study.engines.worker import _Keeper
from thalweg.study.plan import Job
from thalweg.train import Member
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan
from thalweg.train.state import begin, packed

EPOCHS, STEPS = 40, 3  # of a run, of an epoch
RECIPE = tw.Recipe(tw.optim.adam(), tw.schedule.plateau(factor=0.5, patience=0, threshold=0.1), epochs=EPOCHS)


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(kept, "SECONDS", 0.3)


def slow_task(act=lambda: None):
    def step(_):
        time.sleep(0.01)
        act()

    return small_digits(lambda: nn.Sequential(Acting(step), nn.Dropout(0.1)))


def test_a_lane_whose_process_dies_goes_on_from_where_it_was_last_kept(joined, tmp_path, often):
    steps, mark = tmp_path / "steps", tmp_path / "killed"

    def act():
        with steps.open("a") as file:
            file.write("x")
        if not mark.exists() and steps.stat().st_size > 0.75 * EPOCHS * STEPS:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    task, work, epochs = slow_task(act), lanes_of(4, recipe=RECIPE), []
    alone = locally(slow_task(), work)
    records, said = collected(task, work, joined.address, checkpoints=Checkpoints(tmp_path), on_epochs=epochs.append)
    died = f"its process on node {joined.cluster.head_node.node_ip_address} died, perhaps for want of memory"
    assert said[1:] == [f"{died}; 4 runs go on from where they were last kept"]
    assert EPOCHS * STEPS < steps.stat().st_size < 1.5 * EPOCHS * STEPS
    assert sum(epochs) == 4 * EPOCHS
    assert records.keys() == alone.keys()
    for name, record in records.items():
        assert_same(record, alone[name])
    assert Checkpoints(tmp_path).names() == []


def test_a_lane_that_is_lost_again_and_again_but_gets_on_stays_as_it_is(joined, tmp_path, often, monkeypatch):
    monkeypatch.setattr(again, "AGAIN", 1)
    seen, deaths = tmp_path / "seen", tmp_path / "deaths"

    def act():
        """Die where a checkpoint was written since the last death, three times."""
        written = " ".join(sorted(file.name for file in tmp_path.glob("checkpoints/lane-*")))
        if written != (seen.read_text() if seen.exists() else "") and len(list(deaths.iterdir())) < 3:
            seen.write_text(written)
            (deaths / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    deaths.mkdir()
    task, work, epochs = slow_task(act), lanes_of(4, recipe=RECIPE), []
    alone = locally(slow_task(), work)
    records, said = collected(task, work, joined.address, checkpoints=Checkpoints(tmp_path), on_epochs=epochs.append)
    died = f"its process on node {joined.cluster.head_node.node_ip_address} died, perhaps for want of memory"
    assert said[1:] == 3 * [f"{died}; 4 runs go on from where they were last kept"]
    assert sum(epochs) == 4 * EPOCHS
    assert records.keys() == alone.keys()
    for name, record in records.items():
        assert_same(record, alone[name])
    assert Checkpoints(tmp_path).names() == []


@pytest.mark.parametrize("engine", ["ray", "local"])
def test_what_was_kept_goes_on_by_another_command(joined, tmp_path, often, engine):
    class StoppedError(Exception):
        pass

    def stop(_):
        done[0] += _
        if done[0] >= 3 * EPOCHS and Checkpoints(tmp_path).names():
            raise StoppedError

    task, done, records, epochs = slow_task(), [0], [], []
    jobs = [Job(name, Member(RECIPE.resolved(), seed)) for name, _, seed in runs_of(4)]
    plans = {RECIPE.together(): Plan("vmapped", 4, 0.001, 0.001, "")}
    hear = {"on_record": records.append, "on_epochs": epochs.append}
    with pytest.raises(StoppedError), Cluster(task, joined.address, checkpoints=Checkpoints(tmp_path)) as cluster:
        cluster.run(jobs, plans, on_record=records.append, on_epochs=stop, begins=True)
    assert records == []
    (lane,) = lanes_left(Checkpoints(tmp_path), set())
    gone_through = sum(state.step // STEPS for state in lane.states)
    assert gone_through >= 4
    if engine == "ray":
        with Cluster(task, joined.address, checkpoints=Checkpoints(tmp_path)) as cluster:
            cluster.run(jobs, plans, **hear)
        assert gone_through - 4 <= epochs[0] <= gone_through, "an epoch ends when it is judged, after its last step"
        assert sum(epochs) == 4 * EPOCHS
    else:
        Local(task, processes=1, checkpoints=Checkpoints(tmp_path)).run(jobs, plans, **hear)
        assert sum(epochs) < 4 * EPOCHS
    alone = locally(task, lanes_of(4, recipe=RECIPE))
    assert {record.identity for record in records} == alone.keys()
    for record in records:
        assert_same(record, alone[record.identity])
    assert Checkpoints(tmp_path).names() == []


def test_what_a_local_study_left_goes_on_as_a_cluster_trains(tmp_path, linear_task, monkeypatch):
    """Compiled code is for one machine, and threads for its cores."""
    states = [begin(linear_task, state_of(run).member) for run in runs_of(3)]
    tensors, facts = packed(states)
    checkpoints, seen = Checkpoints(tmp_path), []
    checkpoints.save("lane-1-1", tensors, {"executor": "compiled", "slots": 8, "threads": 2, "states": facts})
    cluster = Cluster(linear_task, checkpoints=checkpoints)
    cluster.nodes = type("None", (), {"cores": 2})
    monkeypatch.setattr(cluster, "train", lambda order, **_: seen.extend(order.lanes))
    jobs = [Job(name, Member(state_of(run).member.recipe, run[2])) for run in runs_of(2) for name in [run[0]]]
    plans = {jobs[0].member.recipe.together(): Plan("vmapped", 4, 0.001, 0.001, "", threads=2)}
    cluster.run(jobs, plans, on_record=print, on_epochs=print)
    (lane,) = seen
    assert isinstance(lane, Lane)
    assert (lane.executor, lane.slots, lane.threads) == ("vmapped", 2, 1)
    assert [run[0] for run in lane.runs] == ["run 0", "run 1"]


def test_large_lanes_are_kept_more_seldom(linear_task):
    watch = Watch()
    keeper = _Keeper(queue.SimpleQueue(), watch, 5.0, 1e4)
    keeper.save("lane-0", {"x": torch.zeros(10)}, {})
    assert watch.seconds == 5.0
    keeper.save("lane-0", {"x": torch.zeros(100_000)}, {})
    assert 40 < watch.seconds < 41


def test_what_is_damaged_is_said_once_and_the_one_before_is_used(tmp_path, linear_task):
    (lane,) = lanes_of(3)
    states = [begin(linear_task, state.member) for state in lane.states]
    checkpoints, said = Checkpoints(tmp_path), []
    engine = kept.Kept(checkpoints, said.append)
    for step in (5, 9):
        tensors, facts = packed([replace(state, step=step) for state in states])
        engine.save(lane, tensors, {"executor": "vmapped", "slots": 3, "threads": 1, "states": facts})
    (newest,) = (tmp_path / "checkpoints").glob("lane-0.2.*")
    newest.write_bytes(newest.read_bytes()[:-1])
    left = {state.member.identity: state for state in lane.states if state.member.seed}
    assert [state.step for state in engine.of(lane, left)] == [5, 5]
    assert [[state.step for state in one.states] for one in engine.left({"run 1"})] == [[5]]
    assert engine.left({"run 7"}) == []
    assert checkpoints.names() == []
    (sentence,) = said
    assert sentence.startswith("checkpoint lane-0.2 is damaged")
