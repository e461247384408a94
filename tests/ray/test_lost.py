"""What is lost on a cluster costs its chunk and nothing else: nodes, processes, the driver."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch import nn
from work import SMALL, assert_same, chunks_of, locally, small_task

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.record import Store
from thalweg.study import engine_ray

EPOCHS = 60


def test_a_node_is_shot_on_the_way_and_every_record_is_there_once_to_the_bit(two):
    head, second = two
    work, task = chunks_of(20, epochs=EPOCHS), small_task()
    records, said, epochs = [], [], [0]

    def count(more):
        epochs[0] += more
        if epochs[0] > 20 * EPOCHS / 8 and second in head.cluster.worker_nodes:  # both are in their first chunks
            head.shoot(second)

    engine_ray.execute(task, work, on_record=records.append, on_epochs=count, address=head.address, say=said.append)
    assert sorted(record.identity for record in records) == sorted(f"run {seed}" for seed in range(20))
    alone = locally(task, work)
    for record in records:
        assert_same(record, alone[record.identity])
    assert said[0] == f"Ray cluster at {head.address}: 2 nodes, 2 cores"
    assert [line for line in said if line.endswith("was lost with the node; 5 runs are tried again")] == said[1:2]
    assert said[2:] == ["the Ray cluster has 1 node, 1 core now"]
    assert epochs[0] == 20 * EPOCHS


def test_a_cluster_whose_head_dies_is_given_up_with_one_sentence(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(engine_ray, "_MISSED_FOR", 4.0)
    own = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})

    def kill(_):
        if own.head_node.live_processes():
            own.head_node.kill_all_processes(check_alive=False, allow_graceful=False)

    try:
        with pytest.raises(InputError, match="has not answered for 4 s; what is finished is recorded, and the same"):
            engine_ray.execute(
                small_task(), chunks_of(1, epochs=100_000), on_record=print, on_epochs=kill, address=own.address
            )
    finally:
        own.shutdown()


class Dying(nn.Module):
    """A linear classifier; ``act`` is called where a run with a first bias above a bound has come to train."""

    def __init__(self, act):
        super().__init__()
        self.out = nn.Linear(64, 10)
        self.act = act

    def forward(self, x):
        if self.training and float(self.out.bias[0].detach()) > 0.1:
            self.act()
        return self.out(x)


def bad_ones(task, count):
    found = {f"run {seed}" for seed in range(count) if float(task.model(seed).out.bias[0].detach()) > 0.1}
    assert 0 < len(found) < count / 2, "the case this test is for"
    return found


STILL = tw.Recipe(tw.optim.sgd(lr=1e-6), epochs=1)


def collected(task, work, address):
    records, said = [], []
    engine_ray.execute(
        task, work, on_record=records.append, on_epochs=lambda _: None, address=address, say=said.append
    )
    assert len({record.identity for record in records}) == len(records)
    return {record.identity: record for record in records}, said


def test_a_process_that_is_killed_once_costs_nothing_but_its_chunk(head, tmp_path):
    mark = tmp_path / "killed"

    def die_once():
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    task = small_digits(lambda: Dying(die_once))
    bad_ones(task, 6)
    work = chunks_of(6, together=3, executor="one by one", recipe=STILL)
    records, said = collected(task, work, head.address)
    assert mark.exists()
    assert [line.partition(" on node ")[0] for line in said[1:]] == ["its process"]
    assert said[1].endswith(" died, perhaps for want of memory; 3 runs are tried again")
    alone = locally(task, work)
    for name, record in records.items():
        assert_same(record, alone[name])


def test_a_chunk_that_always_dies_ends_as_failed_with_the_reason_and_takes_nobody_along(head, tmp_path):
    log = tmp_path / "deaths"

    def die():
        with log.open("a") as file:
            file.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)

    task = small_digits(lambda: Dying(die))
    bad = bad_ones(task, 4)
    records, said = collected(task, chunks_of(4, executor="one by one", recipe=STILL), head.address)
    assert {name for name, record in records.items() if record.status == "failed"} == bad
    assert records.keys() == {f"run {seed}" for seed in range(4)}
    host = head.cluster.head_node.node_ip_address
    died = f"its process on node {host} died, perhaps for want of memory"
    assert {records[name].reason for name in bad} == {died}
    again = [f"{died}; 4 runs are tried again"] * engine_ray.AGAIN
    assert said[1:] == [*again, f"{died}, for the 4th time; 4 runs are tried one by one"]
    assert len(log.read_text().split()) == 4 + len(bad)


def test_a_record_that_cannot_be_written_ends_it_and_nothing_trains_on(two):
    head, _ = two
    import ray

    class FullError(Exception):
        pass

    def record(_):
        raise FullError

    ray.init(address=head.address, log_to_driver=False)
    try:
        work = [*chunks_of(1, epochs=100_000), *chunks_of(1, epochs=30)]
        with pytest.raises(FullError):
            engine_ray.execute(small_task(), work, on_record=record, on_epochs=lambda _: None)
        assert ray.is_initialized(), "it was here before"
        until = time.monotonic() + 20
        while ray.available_resources().get("CPU", 0) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        ray.shutdown()


def begin(*arguments):
    """Start a study as a terminal does; what it leaves in the cluster is the cluster's."""
    return subprocess.Popen([sys.executable, Path(__file__).parent / "driver.py", *arguments], text=True)


def recorded(out):
    try:
        database = sqlite3.connect(f"file:{out}/study.db?mode=ro", uri=True)
        return {row[0]: row[1] for row in database.execute("SELECT identity, cpu_seconds FROM run")}
    except sqlite3.OperationalError:
        return {}


def test_a_killed_driver_goes_on_from_what_is_recorded(two, tmp_path):
    head, _ = two
    out = tmp_path / "study"
    process = begin(head.address, out)
    try:
        until = time.monotonic() + 90
        while not recorded(out):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    before = recorded(out)
    assert 0 < len(before) < 20, "the case this test is for"
    assert begin(head.address, out).wait(timeout=120) == 0
    assert before.items() <= recorded(out).items(), "what was recorded is not done again"
    with Store(out) as store:
        records = store.runs(curves=True, outcomes=True)
    alone = locally(small_task(), chunks_of(20, epochs=EPOCHS))
    assert records.keys() == alone.keys()
    for name, record in records.items():
        assert record.test == alone[name].test
        assert record.outcomes == pytest.approx(alone[name].outcomes, abs=0)
        assert record.curve.train_loss == pytest.approx(alone[name].curve.train_loss, abs=0, nan_ok=True)
