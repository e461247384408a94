"""How much memory there is, and what is said of models and steps that do not fit into it, or take long."""

import gc
import logging
import resource
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny
from torch import nn

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.task import check, memory, waiting
from thalweg.task.memory import TooLargeError, at_most, check_size, free, in_bounds, is_memory
from thalweg.task.waiting import Waiting
from thalweg.train import planner
from thalweg.train.planner import Plan

MEBI = 2**20
SHORT = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"


def system(place, group="", **files):
    """Make a directory like the root of a machine with 4000 MiB of memory available."""
    (place / "proc/self").mkdir(parents=True)
    (place / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:  {4000 * 1024} kB\n")
    (place / "proc/self/cgroup").write_text(group)
    (place / "proc/self/statm").write_text(f"{500 * MEBI // resource.getpagesize()} 1 1 0 0 1 0\n")
    for name, text in files.items():
        file = place / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text))
    return place


def limited(bound, taken, cached, prefix=""):
    return {
        f"{prefix}memory.max": bound, f"{prefix}memory.current": taken * MEBI,
        f"{prefix}memory.stat": f"anon 3\ninactive_file {cached * MEBI}\n",
    }  # fmt: skip


OLD = {
    "memory/a/b/memory.limit_in_bytes": 900 * MEBI, "memory/a/b/memory.usage_in_bytes": 300 * MEBI,
    "memory/a/b/memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MEBI}\n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("group", "files", "mebibytes"),
    [
        ("", {}, 4000),
        ("0::/a/b\n", limited(1000 * MEBI, 400, 100, "a/b/"), 700),
        ("0::/a/b\n", {**limited("max", 400, 100, "a/b/"), **limited(800 * MEBI, 600, 0, "a/")}, 200),
        ("0::/gone/in/a/container\n", limited(1000 * MEBI, 400, 0), 600),
        ("0::/a\n", limited(100 * MEBI, 400, 0, "a/"), 0),
        ("4:cpu,memory:/a/b\n0::/\n", OLD, 650),
        ("4:cpu:/a/b\n0::/\n", OLD, 4000),
    ],
)
def test_bounds_of_control_groups_count(tmp_path, group, files, mebibytes):
    assert free(system=system(tmp_path, group, **files)) == mebibytes * MEBI
    assert free(4, tmp_path) == mebibytes * MEBI / 4


def test_the_limit_on_an_address_space_is_each_process_s_own(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (800 * MEBI, resource.RLIM_INFINITY))
    system(tmp_path)
    assert [round(free(n, tmp_path) / MEBI) for n in (1, 2, 20)] == [300, 300, 200]


def test_what_says_that_memory_ran_out_is_known_as_that():
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(2**60)
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**55)
    assert all(is_memory(one) for one in (torchs.value, numpys.value, MemoryError(), RuntimeError("std::bad_alloc")))
    assert not is_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_model_is_refused_while_it_is_made():
    made = []

    def layers():
        return nn.Sequential(*[made.append(i) or nn.Linear(256, 256, bias=False) for i in range(100)])

    message = (
        r"^the model of task big has 0\.7 million weights or more, 3 MiB; their gradients .* 5 MiB of memory; make"
    )
    with pytest.raises(TooLargeError, match=message), in_bounds("big", Waiting(), 5 * MEBI):
        layers()
    assert len(made) == 11, "a quarter of a MiB each"
    with in_bounds("big", Waiting(), 51 * MEBI):
        layers()


def test_weights_that_are_shared_or_gone_do_not_count():
    with in_bounds("tied", Waiting(), 1.1 * MEBI):
        tied = nn.Linear(256, 256, bias=False)
        for _ in range(5):
            nn.Linear(256, 256, bias=False).weight = tied.weight


def test_gradients_and_state_count_for_what_is_trained():
    module = nn.Sequential(*[nn.Linear(256, 256, bias=False) for _ in range(4)])
    check_size("it", module, 2, 4 * MEBI)
    message = (
        r"has 0\.3 million weights, 1 MiB; with the gradients and the state of Adam it takes 4 MiB, and there are"
    )
    with pytest.raises(InputError, match=message):
        check_size("it", module, 2, 3 * MEBI)
    check_size("it", module, 0, 3 * MEBI)
    module[:3].requires_grad_(False)
    check_size("it", module, 2, 2 * MEBI)


def test_a_task_is_refused_for_its_size(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 30.0)
    with pytest.raises(
        InputError, match=r"^the model of task mine has 0\.0 million weights or more, .* memory; make"
    ):
        check(tiny(name="mine"))
    monkeypatch.setattr(memory, "free", lambda: 90.0)
    check(tiny())
    with pytest.raises(InputError, match=r"with the gradients and the state of Adam it takes .*, and there"):
        planner.measure(tiny(), Together())
    frozen = Recipe(freeze="weight").resolved().together()
    assert planner.measure(tiny(), frozen, seconds=0).step_seconds > 0


@pytest.mark.parametrize("where", ["forward", "init"])
def test_where_memory_runs_out_while_a_task_is_tried_that_is_said(where):
    class Greedy(nn.Linear):
        def __init__(self):
            super().__init__(4, 2)
            if where == "init":
                torch.empty(2**60)

        def forward(self, x):
            return super().forward(x) + torch.empty(2**60)

    with pytest.raises(InputError, match=r"^memory ran out while task hungry was tried on 8 examples, with .* left;"):
        check(tiny(model=Greedy, name="hungry"))


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no such limit")


@linux
def test_what_takes_more_than_is_free_raises_instead_of_being_ended():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with at_most(100 * MEBI), at_most(2**50):  # which does not widen it
        torch.empty(50 * MEBI, dtype=torch.uint8)
        with pytest.raises(RuntimeError) as error:
            torch.empty(400 * MEBI, dtype=torch.uint8)
    assert is_memory(error.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    torch.empty(400 * MEBI, dtype=torch.uint8)


# -- planning ----------------------------------------------------------------------------------------------------


@pytest.fixture
def times(monkeypatch):
    """Let memory run out with more models than so many, one by one and together; return what was tried."""

    def tried(alone, together):
        found = []

        def time(_task, _kind, executor, runs, _budget):
            found.append((executor, runs))
            if runs > (alone if executor == "one by one" else together):
                raise RuntimeError(SHORT) if runs % 2 else MemoryError
            return (1e-3 if executor == "one by one" else 1e-4), 1e-3

        monkeypatch.setattr(planner, "timed", time)
        monkeypatch.setattr(planner, "_fitting", lambda *_: (16, 1e9))
        return found

    return tried


def test_where_memory_runs_out_fewer_train_together(times):
    found = times(2, 5)
    plan = planner.measure(tiny(), Together())
    assert found == [("one by one", 2), ("vmapped", 16), ("vmapped", 8), ("vmapped", 4)]
    assert (plan.executor, plan.together) == ("vmapped", 4)
    assert plan.reason.startswith("4 together by vmap, 10.0 times faster than one by one")
    assert plan.reason.endswith("; with 16 memory runs out")


def test_what_is_no_faster_together_trains_one_by_one(monkeypatch):
    seconds = {"one by one": 1e-3, "vmapped": 2e-3}
    monkeypatch.setattr(planner, "timed", lambda _task, _kind, executor, *_: (seconds[executor], 1e-3))
    plan = planner.measure(tiny(), Together())
    assert plan.executor == "one by one"
    assert plan.reason.endswith(
        "one by one, at 1000 µs a run and step: 32 together by vmap would take 2.0 times as long"
    )
    assert plan.together == 32, "for compiled code, which may yet be faster"


def test_compiled_code_that_is_no_faster_is_left(monkeypatch):
    monkeypatch.setattr(planner, "ready", lambda *_: None)
    monkeypatch.setattr(planner, "timed", lambda *_, **__: (4e-3, 1e-3))
    plan = Plan("vmapped", 32, 1e-3, 1e-3, "32 together by vmap", compiles="pending", graphs=3)
    found = planner.compiled(tiny(), Together(), plan)
    assert (found.executor, found.compiles, found.step_seconds) == ("vmapped", "", 1e-3)
    assert found.reason == "32 together by vmap; compiled, it would take 4.0 times as long"
    given = []
    monkeypatch.setattr(planner, "timed", lambda *words, **more: given.append((words[3], more)) or (2.5e-4, 1e-3))
    found = planner.compiled(tiny(), Together(), replace(plan, runs=18))
    assert (found.compiles, found.step_seconds) == ("yes", 2.5e-4)
    assert found.reason == "32 together by vmap; compiled another 4.0 times faster"
    assert given == [(18, {"slots": 32})], "as many as there will be, in as many places"


def test_no_more_train_together_than_memory_is_given_for():
    task = tiny(model=lambda: nn.Linear(4, 2))
    weights, touched = planner._bytes(task, Together())
    needed = 3 * weights + touched
    assert planner.measure(task, Together(), memory=7 * needed).together <= 7
    plan = planner.measure(task, Together(), memory=2 * needed)
    assert plan.executor == "one by one"
    assert "3 models together do not fit into " in plan.reason


class Passing(nn.Linear):
    """Takes 256 MiB in its forward pass, of which nothing stays for the way back.

    So much is asked of the system anew: smaller blocks may be there, left over from tests before.
    """

    def forward(self, x):
        x.new_empty(4096, 16384)
        return super().forward(x)


@linux
@pytest.mark.parametrize("few", [False, True])
def test_what_no_estimate_knows_of_is_tried_within_what_is_free(monkeypatch, few):
    task = tiny(model=lambda: Passing(4, 2))
    like = planner.Plan("vmapped", 8, 1e-4, 1e-4, "as said")
    planner.look(task, Together(), like)  # what is imported once is there
    monkeypatch.setattr(planner, "free", lambda processes=1: (640 if few else 6400) * MEBI / processes)
    if few:
        assert planner.look(task, Together(), like).executor == "one by one"
        return
    plan = planner.measure(task, Together(), processes=2, seconds=0)
    assert plan.together == 8
    assert plan.reason.endswith("; with 32 memory runs out")


def test_where_three_are_too_many_it_is_one_by_one(times):
    found = times(1, 2)
    plan = planner.measure(tiny(), Together())
    assert found == [("one by one", 2), ("one by one", 1), *(("vmapped", n) for n in (16, 8, 4, 3))]
    assert (plan.executor, plan.together) == ("one by one", 1)
    assert plan.reason == "one by one, at 1000 µs a run and step, because memory runs out with 3 models together"


def test_where_one_is_too_many_it_is_refused(times):
    times(0, 0)
    with pytest.raises(InputError, match=r"^memory runs out when one model of task mine trains on a batch of 9 "):
        planner.measure(tiny(name="mine"), Together(batch_size=9))


@pytest.mark.parametrize(("processes", "room"), [(4, 0), (5, 0), (8, 5), (64, 5)])
def test_runs_one_by_one_train_in_as_many_processes_as_memory_has_room_for(times, monkeypatch, processes, room):
    times(9, 0)
    monkeypatch.setattr(planner, "_bytes", lambda *_: (10, 50))  # of weights, and all that a step touches
    monkeypatch.setattr(planner, "free", lambda processes=1: 80 * 5.9 / planner.ALONE / processes)
    plan = planner.measure(tiny(), Together(), processes=processes)
    assert plan.executor == "one by one"
    assert plan.processes == room
    assert plan.at_once(processes) == min(processes, 5)


@linux
def test_where_a_part_of_memory_is_too_little_for_one_fewer_share_it(monkeypatch):
    """What no estimate knows of is tried: it is refused only where all of it is too little."""
    task = tiny(model=lambda: Passing(4, 2))
    planner.measure(task, Together(), seconds=0)  # what is imported once is there
    gc.collect()  # nothing goes meanwhile
    monkeypatch.setattr(planner, "free", lambda processes=1: 800 * MEBI / processes)
    plan = planner.measure(task, Together(), processes=8, seconds=0)
    assert (plan.executor, plan.processes) == ("one by one", 2)
    monkeypatch.setattr(planner, "free", lambda processes=1: 120 * MEBI / processes)
    with pytest.raises(InputError, match=r"^memory runs out when one model"):
        planner.measure(task, Together(), processes=8, seconds=0)


# -- waiting -----------------------------------------------------------------------------------------------------


def test_what_takes_long_is_said_once(monkeypatch, caplog):
    assert not caplog.messages
    check(tiny())
    planner.measure(tiny(), Together(), seconds=0)
    assert not caplog.messages, "quick tasks say nothing"
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(clock))
    check(tiny(name="slow"))
    planner.measure(tiny(name="slow"), Together(), seconds=0)
    said = caplog.messages
    assert said[0].startswith("making the model of task slow, of which there are 0 MiB")
    assert "of task slow takes" in said[1]
    assert said[2] == "measuring how long runs on task slow take"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
