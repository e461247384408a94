"""A process that gives no sign of life is ended, named and replaced; one that has not begun is waited for."""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from work import STILL, Acting, assert_same, biased, collected, lane_of, lanes_of, locally, small_task, where_biased

from small import small_digits
from thalweg.study.engines import again, travelling
from thalweg.study.engines import ray as engine_ray
from thalweg.study.engines import worker as ray_worker

PATIENCE = 6.0
CALLS = {
    "holds Python's lock": lambda: ctypes.PyDLL(None).sleep(10_000),
    "is stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}


@pytest.mark.parametrize("how", CALLS)
def test_a_process_that_stands_still_is_ended_and_its_runs_are_tried_again(joined, tmp_path, how):
    mark, call = tmp_path / "process", CALLS[how]

    def stand_still_once():
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            call()

    task = small_digits(lambda: Acting(where_biased(stand_still_once)))
    biased(task, 3)
    work = lanes_of(3, executor="one by one", recipe=STILL)
    records, said = collected(task, work, joined.address, patience=PATIENCE)
    silent = f"its process on node {joined.cluster.head_node.node_ip_address} gave no sign of life for 6 s"
    assert said[1:] == [f"{silent}; 3 runs begin anew"]
    alone = locally(task, work)
    assert records.keys() == alone.keys()
    for name, record in records.items():
        assert_same(record, alone[name])
    until = time.monotonic() + 30
    while Path(f"/proc/{mark.read_text()}").exists():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_run_that_always_stands_still_has_failed_with_the_reason(joined, monkeypatch):
    monkeypatch.setattr(again, "AGAIN", 0)
    task = small_digits(lambda: Acting(where_biased(lambda: threading.Event().wait())))
    bad = biased(task, 3)
    records, said = collected(
        task, lanes_of(3, executor="one by one", recipe=STILL), joined.address, patience=PATIENCE
    )
    silent = f"its process on node {joined.cluster.head_node.node_ip_address} gave no sign of life for 6 s"
    assert {name: record.reason for name, record in records.items() if record.status == "failed"} == dict.fromkeys(
        bad, silent
    )
    assert len(records) == 3
    assert said[1:] == [f"3 runs together: {silent}; lost 1 time without getting on; tried again one by one"]


def test_long_epochs_are_no_standstill(joined):
    """A step every two seconds, in epochs of six: steps are signs of life, also where the machine is busy."""
    task, courses = small_digits(lambda: Acting(lambda _: time.sleep(1.0))), []
    work = lanes_of(2, epochs=2, executor="one by one")
    records, said = collected(task, work, joined.address, patience=5.0, on_courses=courses.extend)
    assert {record.status for record in records.values()} == {"finished"}
    assert len(said) == 1
    assert {course["run"] for course in courses} == records.keys(), "what is watched"
    assert {course["done"] for course in courses} >= {1, 2, 3}


def test_a_lane_whose_core_is_taken_by_others_is_waited_for_and_not_counted(joined, monkeypatch):
    import ray

    monkeypatch.setattr(engine_ray, "_BEGUN_WITHIN", 1.0)
    monkeypatch.setattr(again, "AGAIN", 0)
    others = ray.remote(num_cpus=1)(lambda: threading.Event().wait())
    taken, said, times = others.remote(), [], [0]
    waited = engine_ray.Cluster._end

    def count(cluster, stream):
        """Let the core go when it was waited for three times."""
        times[0] += 1
        if times[0] == 3:
            ray.cancel(taken, force=True)
        return waited(cluster, stream)

    monkeypatch.setattr(engine_ray.Cluster, "_end", count)
    while ray.available_resources().get("CPU", 0) > 0:
        time.sleep(0.1)
    records, _ = collected(small_task(), lanes_of(2), joined.address, say=said.append)
    assert {record.status for record in records.values()} == {"finished"}
    assert times[0] >= 3
    host = joined.cluster.head_node.node_ip_address
    assert said[1:] == [f"no core on node {host} was free for 1 s; what waits for one goes on waiting"]


def told(task, lane, monkeypatch, keep=None):
    """Return what a worker says of a lane, without a cluster, but for how far its runs are."""
    monkeypatch.setattr(ray_worker, "opened", lambda _: task)
    every = list(ray_worker.messages([], {**travelling.sent(lane), "keep": keep}))
    return [message for message in every if "courses" not in message]


def test_a_worker_tells_each_record_when_its_run_is_done_and_the_epochs_in_between(linear_task, monkeypatch):
    monkeypatch.setattr(ray_worker, "_EVERY", 0.0)
    (short,), (long,) = lanes_of(1, epochs=2), lanes_of(2, epochs=5)
    both = lane_of([long.runs[1], short.runs[0]])
    messages = told(linear_task, both, monkeypatch)
    assert [next(iter(message)) for message in messages if message != {"epochs": 0}] == [
        "epochs", "epochs", "record", "epochs", "epochs", "epochs", "record"
    ]  # fmt: skip
    assert sum(message.get("epochs", 0) for message in messages) == 7
    assert [message["record"]["identity"] for message in messages if "record" in message] == ["run 0", "run 1"]


def test_a_worker_says_within_an_epoch_that_it_is_alive(monkeypatch):
    task = small_digits(lambda: Acting(lambda _: time.sleep(0.6)))
    (lane,) = lanes_of(1, epochs=1, executor="one by one")
    messages = told(task, lane, monkeypatch)
    assert messages[0] == {"epochs": 0}
    assert {"epochs": 0} in messages[1 : messages.index({"epochs": 1})]
