"""A lane: one population from its first run to its last, wherever it trains, and what it hands out on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, Protocol

from torch import Tensor

from thalweg.recipe import Recipe
from thalweg.record import RunRecord, StoreError
from thalweg.task import Task
from thalweg.task.memory import is_memory
from thalweg.task.outside import outside
from thalweg.train import Member, Population, Result, RunState
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.obstacle import plain
from thalweg.train.pulse import beat, heard
from thalweg.train.state import begin_all, packed, unpacked
from thalweg.train.step import quiet_fallback
from thalweg.train.threads import threads

__all__ = [
    "Course",
    "Keeper",
    "Lane",
    "Run",
    "Watch",
    "courses_of",
    "failed",
    "lane_left",
    "lanes_left",
    "not_kept",
    "record_of",
    "train_lane",
    "train_told",
    "went_on",
]

Run = tuple[str, str, int]
"""A run as it passes between processes: its identity, its resolved recipe as TOML, and its seed."""


Course = dict[str, Any]
"""How far a run is, as JSON takes it; see `courses_of`."""

POINTS = 60
"""Epochs of a course that are told while it is under way."""


@dataclass(frozen=True)
class Lane:
    """A population to be trained.

    Attributes:
        name: of its checkpoint.
        executor: a name in `thalweg.train.EXECUTORS`.
        slots: how many runs there is place for.
        states: of its first runs; one without tensors has not begun.
        deaths: how many processes it has been the end of.
        threads: how many it is trained with; bits depend on it.
    """

    name: str
    executor: str
    slots: int
    states: tuple[RunState, ...]
    deaths: int = 0
    threads: int = 1

    @property
    def runs(self) -> list[Run]:
        """The first runs."""
        return [run_of(state.member) for state in self.states]

    @property
    def manner(self) -> str:
        """How its runs are trained, as their records say it."""
        together = [] if self.executor == "one by one" else [f"{self.slots} together"]
        return ", ".join([self.executor, *together, *([f"{self.threads} threads"] if self.threads > 1 else [])])


class Keeper(Protocol):
    """What takes a lane's checkpoints: `thalweg.train.checkpoint.Checkpoints`, or what passes them on to one."""

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Any) -> None:
        """Take one."""


@dataclass
class Watch:
    """What is told of a lane while it trains, and what it is given.

    Attributes:
        epochs: gets, after each epoch, how many runs went through it.
        more: is asked for up to so many other runs.
        alive: is called about once a second, inside `thalweg.train.pulse.heard`.
        courses: gets, about once a second, how far each run is; see `courses_of`.
        checkpoints: where the lane's state is kept, if anywhere.
        seconds: from one checkpoint to the next.
    """

    epochs: Callable[[int], None] = lambda _: None
    more: Callable[[int], Sequence[Run]] = lambda _: ()
    alive: Callable[[], None] = lambda: None
    courses: Callable[[list[Course]], None] | None = None
    checkpoints: Keeper | None = None
    seconds: float = 5.0
    told: float = field(default_factory=time.monotonic)
    kept: float = field(default_factory=time.monotonic)

    def step(self, lane: Lane, population: Population) -> None:
        """Be told of a step."""
        beat()
        now = time.monotonic()
        if self.courses is not None and now - self.told >= 1:
            self.courses(courses_of(population))
            self.told = now
        if self.checkpoints is not None and now - self.kept >= self.seconds and not not_kept(population.task):
            tensors, facts = packed(population.snapshot())
            kept = {"executor": lane.executor, "slots": lane.slots, "threads": lane.threads, "states": facts}
            self.checkpoints.save(lane.name, tensors, kept)
            self.kept = time.monotonic()


def courses_of(population: Population) -> list[Course]:
    """Return how far each run is: steps done and in all, losses and validation metrics at some of its epochs."""
    found = []
    for member, done, total, losses, valid in population.courses():
        last = len(valid) - 1
        gap = max(1, -(-last // POINTS))
        epochs = [*range(0, last, gap), last]
        found.append(
            {
                "run": member.identity, "seed": member.seed, "done": done, "of": total, "epoch": epochs,
                "train_loss": [_short(losses[i]) for i in epochs], "valid": [_short(valid[i]) for i in epochs],
            }
        )  # fmt: skip
    return found


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def run_of(member: Member) -> Run:
    """Return a run as it passes between processes."""
    return member.identity, member.recipe.toml(), member.seed


def state_of(run: Run) -> RunState:
    """Return a run that has not begun."""
    identity, recipe, seed = run
    return RunState(Member(_recipe(recipe), seed, identity))


@cache
def _recipe(text: str) -> Recipe:
    """Return a recipe that many seeds share."""
    return Recipe.from_toml(text)


@quiet_fallback()
def train_lane(task: Task, lane: Lane, watch: Watch, on_record: Callable[[RunRecord], None]) -> None:
    """Train a lane's runs, and those that it is given when places are free, to the end, with the lane's threads.

    Raises:
        Exception: whatever training raised; no record of the runs that are left has been handed out.
    """

    def ready(states: Sequence[RunState]) -> list[RunState]:
        members = [state.member for state in states if not state.tensors]
        new = iter(begin_all(task, members, alike=lane.executor != "one by one"))
        return [state if state.tensors else next(new) for state in states]

    with threads(lane.threads), heard(watch.alive):
        population = Population(task, lane.executor, lane.slots, ready(lane.states))
        for member, result in population.run(
            more=lambda free: ready([state_of(run) for run in watch.more(free)]),
            on_step=lambda population: watch.step(lane, population),
            on_epoch=watch.epochs,
        ):
            on_record(record_of(run_of(member), lane.manner, result))


def train_told(task: Task, lane: Lane, checkpoints: Checkpoints | None, seconds: float, pipe: Connection) -> None:
    """Train a lane in a process of its own, and tell the one at the other end of a pipe what becomes of it.

    Args:
        task, lane, checkpoints, seconds: as for `train_lane` and `Watch`.
        pipe: gets records, ``("epochs", count)``, ``("courses", …)`` and ``"alive"``; ``("more", free)``, which is
            answered with runs; and at the end ``"done"``, ``("full", sentence)``, or ``("raised", sentence, whether
            memory ran out)``.
    """

    def more(free: int) -> Sequence[Run]:
        pipe.send(("more", free))
        runs: Sequence[Run] = pipe.recv()
        return runs

    watch = Watch(
        epochs=lambda count: pipe.send(("epochs", count)), more=more, alive=lambda: pipe.send("alive"),
        courses=lambda found: pipe.send(("courses", found)), checkpoints=checkpoints, seconds=seconds,
    )  # fmt: skip
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            train_lane(task, lane, watch, pipe.send)
        except StoreError as error:
            pipe.send(("full", str(error)))
        except Exception as error:
            pipe.send(("raised", said(error), is_memory(error)))
        else:
            pipe.send("done")


def lanes_left(checkpoints: Checkpoints, done: set[str]) -> list[Lane]:
    """Return the lanes that a stopped study left behind, with the runs of theirs that have no record.

    Args:
        checkpoints: of the study.
        done: identities of the runs that have one.
    """
    found, taken = [], set(done)
    for name in checkpoints.names():
        lane = lane_left(checkpoints, name)
        if lane is None:
            continue
        states = [state for state in lane.states if state.member.identity not in taken]
        taken |= {state.member.identity for state in states}
        if states:
            found.append(replace(lane, states=tuple(states)))
        else:
            checkpoints.remove(name)
    return found


def not_kept(task: Task) -> str:
    """Return why runs of a task have no checkpoints, in a sentence; empty where they have."""
    why = outside(task).carried
    return why and f"in the model of task {task.name}, {why}: runs keep no checkpoints, and begin anew after a kill"


def lane_left(checkpoints: Checkpoints, name: str) -> Lane | None:
    """Return a lane as it was last kept, or None where it was not."""
    loaded = checkpoints.load(name)
    if loaded is None:
        return None
    tensors, facts = loaded
    states = tuple(unpacked(tensors, facts["states"]))
    return Lane(name, facts["executor"], facts["slots"], states, threads=facts.get("threads", 1))


def went_on(lane: Lane, left: Set[str], kept: Iterable[RunState]) -> bool:
    """Return whether a lane that is lost has anything to show since it began: a record, or steps that are kept.

    Args:
        lane: as it began.
        left: identities of its runs that have no record.
        kept: its runs as they were last kept.
    """
    began = {state.member.identity: state.step for state in lane.states}
    further = {state.member.identity for state in kept if state.step > began.get(state.member.identity, 0)}
    return not began.keys() <= left or not further.isdisjoint(left)


def record_of(run: Run, executor: str, result: Result) -> RunRecord:
    """Return a result as a record."""
    identity, recipe, seed = run
    return RunRecord(
        identity=identity, recipe=recipe, seed=seed, status="diverged" if result.reason else "finished",
        reason=result.reason, executor=executor, steps=result.steps, cpu_seconds=result.cpu_seconds,
        state_bytes=result.state_bytes, train=result.train, valid=result.valid, test=result.test,
        curve=result.curve, outcomes=result.outcomes,
    )  # fmt: skip


def failed(run: Run, reason: str) -> RunRecord:
    """Return the record of a run that could not be made."""
    nan = float("nan")
    return RunRecord(*run, "failed", reason, "none", 0, 0.0, 0.0, nan, nan, nan)


def said(error: BaseException) -> str:
    """Return an exception as one line; what vmap could not take, in plain words."""
    words = plain(error)
    if words and "vmap" in str(error):
        return f"vmap cannot take this model: {words}"
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
