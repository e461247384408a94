"""One recipe, trained once: its weights, recipe and record in a directory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from thalweg.errors import InputError
from thalweg.files import write_whole
from thalweg.recipe import Recipe
from thalweg.record import RecipeRow, RunRecord, Store, StoreError, unwritable
from thalweg.study.before import understood
from thalweg.study.engines.lanes import Lane, Watch, lane_left, not_kept, record_of, run_of
from thalweg.study.facts import environment, task_facts, technique_facts
from thalweg.study.live import Live
from thalweg.study.plan import check_schedules, identity
from thalweg.study.planning import at_work
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.study.threads import spread
from thalweg.task import Task, check, fingerprint
from thalweg.task.reading import first_line
from thalweg.train import Member, Population, Result, begin
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan
from thalweg.train.step import quiet_fallback
from thalweg.train.threads import threads
from thalweg.train.trial import timed

__all__ = ["Trained", "train"]

NAME = "run"
"""Of the checkpoint."""


@dataclass(frozen=True)
class Trained:
    """A run that is done.

    Attributes:
        directory: holds ``weights.safetensors``, ``recipe.toml``, ``study.db`` and ``report.html``.
        record: what the run left behind.
        metric: its metric's name and unit.
    """

    directory: Path
    record: RunRecord
    metric: tuple[str, str]

    def __str__(self) -> str:
        name, unit = self.metric
        scores = {split: getattr(self.record, split) for split in ("train", "valid", "test")}
        shown = {
            split: f"{100 * x:.2f} %" if unit == "%" else f"{x:.4g} {unit}".strip() for split, x in scores.items()
        }
        words = ", ".join(f"{split} {text}" for split, text in shown.items())
        head = f"diverged: {self.record.reason}" if self.record.reason else f"{name}: {words}"
        return f"{head}\nweights, recipe, record and report: {self.directory}"


def train(
    task: Task,
    recipe: Recipe,
    *,
    out: Path | str,
    seed: int = 0,
    progress: bool = True,
    command: str = "",
    seconds: float = 5.0,
) -> Trained:
    """Train one recipe once; ranges in it take their defaults.

    Args:
        task: what it is trained on.
        recipe: how.
        out: the directory that gets weights, recipe, record and report.
        seed: of the run.
        progress: show a bar on standard error.
        command: what the report says to type to repeat it.
        seconds: from one checkpoint to the next: what a kill loses at most; called again, it goes on from there.

    Raises:
        InputError: the task or recipe cannot be used, training raised, or ``out`` holds something else or cannot
            be written.
    """
    from thalweg.report import write

    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed takes a whole number from 0 up, not {seed!r}")
    resolved = recipe.resolved()
    directory = Path(out)
    show: Show = Bar() if progress else Quiet()
    check(task)
    prints = fingerprint(task)
    member = Member(resolved, seed, identity(prints, resolved, seed))
    run = run_of(member)
    _, epochs = resolved.sizes()
    metric = (task.metric.name, task.metric.unit)
    check_schedules(task, resolved.optimizer.name, [resolved])
    try:
        with Store(directory, write=True) as store:
            kept = store.runs()
            if store.get("task") is not None and run[0] not in kept:
                raise InputError(f"{directory} holds another run or study; choose another --out")
            if run[0] in kept:
                Checkpoints(directory).remove(NAME)
                write(directory)  # which a kill may have left out
                return Trained(directory, kept[run[0]], metric)
            checkpoints = Checkpoints(directory)
            left = lane_left(checkpoints, NAME)
            if left is not None and left.states[0].member != member:
                raise InputError(f"{directory} holds another run, half done; choose another --out")
            with show:
                for sentence in checkpoints.damaged:
                    show.say(sentence)
                if ranges := recipe.ranges():
                    show.say(f"not searched, at their defaults: {', '.join(ranges)}")
                for sentence in understood(task, {NAME: resolved}):
                    show.say(sentence)
                if caution := not_kept(task):
                    show.say(caution)
                lane = left or Lane(
                    NAME, "one by one", 1, (begin(task, member),), threads=_threads(task, member, store, show)
                )
                live = Live(show, store)
                live.begin(f"{resolved.optimizer.name} on {task.name}", 1, epochs)
                watch = Watch(
                    epochs=live.epochs, courses=live.courses, checkpoints=checkpoints, seconds=seconds
                )  # fmt: skip
                try:
                    result = _trained(task, lane, watch)
                except StoreError:
                    raise
                except Exception as error:
                    raise InputError(f"training on task {task.name} failed: {first_line(error)}") from error
            assert result.weights is not None
            weights = save({name: x.contiguous() for name, x in result.weights.items()})
            write_whole(directory / "weights.safetensors", weights)
            write_whole(directory / "recipe.toml", resolved.toml().encode())
            facts = {
                "task": task_facts(task),
                "fingerprint": prints,
                "protocol": {"seed": seed, "command": command},
                "environment": environment(1, lane.threads),
                "techniques": technique_facts({resolved.optimizer.name: resolved}),
            }
            record = record_of(run, lane.manner, result)
            store.begin(facts, [RecipeRow(resolved.optimizer.name, recipe.declared().toml())], [record])
            checkpoints.remove(NAME)
            write(directory)
            return Trained(directory, record, metric)
    except StoreError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(str(unwritable(directory, error))) from error


def _threads(task: Task, member: Member, store: Store, show: Show) -> int:
    """Return how many threads a run is trained with: one, or more, as many as torch has at most, if that is faster.

    It is measured, and the same after a kill.
    """
    kept = store.get("threads") or {}
    if member.identity not in kept:
        kind, count, most = member.recipe.together(), 1, torch.get_num_threads()
        with suppress(Exception), threads(1):  # what cannot be tried cannot be trained, and then it is said why
            step, epoch = timed(task, kind, "one by one", 1, 0.0)
            plan = Plan("one by one", 1, step, epoch, f"{step * 1e6:.0f} µs a step")
            for found in spread(task, [[(member.recipe, 1)]], {kind: plan}, most).values():
                show.say(f"{found.reason}; {at_work(found, found.threads)}")
                count = found.threads
        kept = {member.identity: count}
        store.put("threads", kept)
    return int(kept[member.identity])


@quiet_fallback()
def _trained(task: Task, lane: Lane, watch: Watch) -> Result:
    population = Population(task, lane.executor, lane.slots, lane.states, keep_weights=True)
    with threads(lane.threads):
        ((_, result),) = population.run(
            on_step=lambda population: watch.step(lane, population), on_epoch=watch.epochs
        )
    return result
