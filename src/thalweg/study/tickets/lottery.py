"""Lottery tickets: whether a pruned network, rewound and trained again, beats its controls, and how small it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thalweg.errors import InputError, unknown
from thalweg.prune._masks import counts
from thalweg.recipe import Recipe
from thalweg.record import Entry, RecipeRow, RunRecord, Store, StoreError, unwritable
from thalweg.study import constant
from thalweg.study.before import checked_processes, counted, one_thread, understood
from thalweg.study.budget import OVERHEAD, duration
from thalweg.study.engines.lanes import lane_left, not_kept, said
from thalweg.study.facts import environment, task_facts, technique_facts
from thalweg.study.machine import at_once
from thalweg.study.plan import check_schedules
from thalweg.study.planning import plan_facts, sentences
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.study.tickets import verdict as verdicts
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ends import leave_smallest
from thalweg.study.tickets.engine import Forked
from thalweg.study.tickets.ticket import KINDS, Terms, Ticket, identity, kinds_at, next_masks, next_units
from thalweg.task import Task, check, fingerprint
from thalweg.task.outside import outside
from thalweg.train import RunState
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.made import model_of
from thalweg.train.planner import Plan, measure

__all__ = ["Lottery", "lottery"]


@dataclass(frozen=True)
class Lottery:
    """A lottery that is done.

    Attributes:
        directory: where its records are, and ``ticket.safetensors``, ``ticket.json`` and ``ticket.pt2``.
        verdict: what may be claimed; ``verdict["sentences"]`` says it in words, ``verdict["levels"]`` in numbers.
        report: the page that shows it.
    """

    directory: Path
    verdict: dict[str, Any]
    report: Path

    def __str__(self) -> str:
        return "\n".join(self.verdict["sentences"])


def lottery(
    task: Task,
    recipe: Recipe | None = None,
    *,
    rounds: int = 10,
    rate: float = 0.2,
    rewind: int = 0,
    scope: str = "layer",
    seeds: int = 5,
    seed: int = 0,
    out: Path | str | None = None,
    processes: int | None = None,
    progress: bool = True,
    command: str = "",
) -> Lottery:
    """Draw lottery tickets from a model, compare them with their controls, and leave the smallest that is as good.

    A model is trained, its smallest weights are pruned, what is left is rewound to its values of an early step and
    trained again, and so on. At each level four more are trained beside the ticket, on the same data in the same
    order: a random mask of the same sizes, layer by layer, from the same weights; the ticket's mask from fresh first
    weights; the mask of pruning all at once; and, for the line between the two, the ticket on its data in another
    order. What is already recorded in ``out`` is not done again.

    Args:
        task: what is trained on.
        recipe: how, ranges at their defaults; Adam for the task's own epochs if not given.
        rounds: how often is pruned.
        rate: the share of each layer's weights that go in a round; half of it in the output layer.
        rewind: the step to whose weights, and optimizer state, tickets go back; 0 for the first weights. Fresh
            weights have no early step and begin at 0.
        scope: ``"layer"`` or ``"global"``: whether weights compete within their layer or over all but the output's.
        seeds: how many tickets are drawn, each from first weights of its own.
        seed: of the lottery; everything drawn in it follows from it.
        out: the directory; ``<task>-lottery`` if not given.
        processes: how many work at once, each with some of the seeds; the machine's cores if not given.
        progress: show lines and a bar on standard error.
        command: what the report says to type to repeat it.

    Raises:
        InputError: anything about the task, the recipe or the directory that cannot be used, nothing to prune, tied
            weights, a rate outside (0, 1), or a step beyond the run; nothing is written then. Later, a whole model
            that diverged.

    Source: Frankle & Carbin 2019, The Lottery Ticket Hypothesis; for late rewinding Frankle, Dziugaite, Roy & Carbin
    2019, Stabilizing the Lottery Ticket Hypothesis.

    >>> import tempfile
    >>> import thalweg as tw
    >>> with tempfile.TemporaryDirectory() as out:
    ...     found = lottery(tw.load_task("wine"), tw.Recipe(epochs=2), rounds=2, seeds=2, out=out, progress=False)
    >>> [row["weights"] for row in found.verdict["levels"]]
    [1536, 1238, 998]
    """
    processes = checked_processes(processes, None)
    terms = Terms(rounds, rate, rewind, scope, seeds, seed)
    _check_terms(terms)
    chosen = recipe or Recipe(epochs=task.epochs, batch_size=task.batch_size)
    resolved = chosen.resolved()
    directory = Path(out) if out is not None else Path(f"{task.name}-lottery")
    show: Show = Bar() if progress else Quiet()
    with one_thread():
        left, no_units = _check(task, resolved, terms)
        prints = fingerprint(task)
        facts = {**asdict(terms), "left": left, "no_units": no_units, "recipe": resolved.toml()}
        plan = None
        try:
            if not os.path.exists(directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
                plan = measure(task, resolved.together(), processes=processes)
            with Store(directory, write=True) as store:
                if store.forgotten:
                    show.say(store.forgotten)
                if store.get("lottery") is None:
                    if store.recipes():
                        raise InputError(f"{directory} holds another run or study; choose another --out")
                    plan = plan or measure(task, resolved.together(), processes=processes)
                    kinds = [RecipeRow(kind, chosen.declared().toml()) for kind in KINDS]
                    store.begin(
                        {
                            "task": task_facts(task), "fingerprint": dict(prints), "lottery": facts,
                            "protocol": {"seeds": seeds, "seed": seed, "command": command},
                            "environment": environment(processes),
                            "techniques": technique_facts({"the recipe": resolved}),
                            "plan": {**plan_facts({resolved.together(): plan}, processes), "lottery": asdict(plan)},
                        },
                        kinds,
                    )  # fmt: skip
                else:
                    _continue(store, task, prints, facts)
                    plan = Plan(**store.get("plan")["lottery"])
                if ranges := chosen.ranges():
                    show.say(f"not searched, at their defaults: {', '.join(ranges)}")
                return _Work(task, resolved, terms, prints, plan, processes, store, show).run()
        except StoreError as error:
            raise InputError(str(error)) from error
        except OSError as error:
            raise InputError(str(unwritable(directory, error))) from error


# -- what is refused ---------------------------------------------------------------------------------------------


def _check_terms(terms: Terms) -> None:
    for name, least in (("rounds", 1), ("rewind", 0), ("seeds", 1), ("seed", 0)):
        value = getattr(terms, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
    if isinstance(terms.rate, bool) or not isinstance(terms.rate, int | float) or not 0 < terms.rate < 1:
        raise InputError(f"rate takes a share of the weights above 0 and below 1, not {terms.rate!r}")
    if terms.scope not in ("layer", "global"):
        raise unknown("scope", terms.scope, ("layer", "global"))


def _check(task: Task, recipe: Recipe, terms: Terms) -> tuple[list[int], str]:
    """Refuse what cannot be trained or pruned.

    Returns:
        How many weights are left at each level, and why no whole units can be taken out, or nothing.
    """
    check(task)
    if recipe.prune is not None:
        raise InputError(f"the lottery prunes by itself; leave prune = {recipe.prune.name} out of the recipe")
    check_schedules(task, "of the lottery", [recipe])
    steps = recipe.sizes()[1] * steps_per_epoch(task, recipe)
    if terms.rewind >= steps:
        raise InputError(f"rewind takes a step of the run, which has {steps}, and not its last: not {terms.rewind}")
    if terms.rewind and (why := outside(task).carried):
        raise InputError(
            f"in the model of task {task.name}, {why}, so that it cannot go back to step {terms.rewind}; keep it in "
            "a buffer, or take rewind = 0"
        )
    module = model_of(task, recipe, terms.run_seeds()[0])
    masks = next_masks(module, terms, None)
    sizes = {name: mask.numel() for name, mask in masks.items()}
    left = counts(sizes, 1 - terms.rate, terms.rounds, scope=terms.scope, half_output=True)
    for level in range(1, len(left)):
        if left[level] == left[level - 1]:
            raise InputError(
                f"rounds: after {level - 1} of them {left[level]} of {left[0]} weights are left, too few to take a "
                f"share of {terms.rate:g} away; take fewer"
            )
    try:
        next_units(module, terms, None)
    except InputError as error:
        return left, str(error)
    return left, ""


def _continue(store: Store, task: Task, prints: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Refuse a directory that holds another lottery than this one."""
    where, old = store.directory, store.get("lottery")
    there = store.get("task")["name"]
    if there != task.name:
        raise InputError(f"{where} holds a lottery on the task {there}, not {task.name}; choose another --out")
    changed = [part for part in prints if prints[part] != store.get("fingerprint").get(part)]
    if changed:
        raise InputError(
            f"the {changed[0]} of task {task.name} changed since the lottery in {where} began; choose another --out"
        )
    if old["recipe"] != facts["recipe"]:
        raise InputError(f"{where} holds a lottery with another recipe; choose another --out")
    differ = [
        f"{name} {old[name]} and not {value}"
        for name, value in facts.items()
        if old[name] != value and name not in ("left", "no_units")
    ]
    if differ:
        raise InputError(f"{where} holds a lottery with {', '.join(differ)}; choose another --out")


# -- the work ----------------------------------------------------------------------------------------------------


class _Work:
    """What `lottery` does once the store is open."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        terms: Terms,
        prints: Mapping[str, str],
        plan: Plan,
        processes: int,
        store: Store,
        show: Show,
    ) -> None:
        self.task, self.recipe, self.terms, self.prints = task, recipe, terms, prints
        self.plan, self.processes, self.store, self.show = plan, processes, store, show
        self.checkpoints = Checkpoints(store.directory)
        self.units = not store.get("lottery")["no_units"]

    def run(self) -> Lottery:
        """Train what is missing; then the verdict, the smaller model and the report."""
        from thalweg.report import write

        if self.store.get("verdict") is None:
            entries = self._entries()
            self.store.add_entries(entries)
            self._announce({entry.run for entry in entries})
            with self.show:
                self._train(entries)
                self.store.put("lottery", {**self.store.get("lottery"), **self._ends()})
            constant.keep(self.task, self.store)
            verdict = verdicts.from_store(self.store)
            assert verdict is not None, "every run has a record"
            self.store.put("verdict", verdict)
        for name in self.checkpoints.names():
            self.checkpoints.remove(name)
        return Lottery(self.store.directory, self.store.get("verdict"), write(self.store.directory))

    def _entries(self) -> list[Entry]:
        """Return every run by kind, level and seed; the first time, pruning all at once is the ticket."""
        found = []
        for level in range(self.terms.rounds + 1):
            for place, seed in enumerate(self.terms.run_seeds()):
                kinds = kinds_at(level, place, units=self.units)
                for kind in [*kinds, "one-shot"] if level == 1 else kinds:
                    trained = "ticket" if kind == "one-shot" and level == 1 else kind
                    name = identity(self.prints, self.recipe, self.terms, trained, level, seed)
                    found.append(Entry("chosen", kind, level, place, name))
        return found

    def _announce(self, wanted: set[str]) -> None:
        for line in filter(None, (*understood(self.task, {"": self.recipe}), not_kept(self.task))):
            self.show.say(line)
        for line in sentences({self.recipe.together(): self.plan}, self.processes):
            self.show.say(line)
        done = len(self.store.finished())
        epochs = self.recipe.sizes()[1]
        each = self.plan.seconds(epochs * steps_per_epoch(self.task, self.recipe), epochs)
        groups = min(self.processes, self.terms.seeds)
        share = -(-self.terms.seeds // groups) / self.terms.seeds
        time_left = duration(OVERHEAD * each * (len(wanted) - done) * share * groups / at_once(groups))
        left = self.store.get("lottery")["left"]
        what = (
            f"{counted(len(wanted), 'run')} on {self.task.name}: {counted(self.terms.rounds, 'round')} from "
            f"{left[0]:,} weights down to {left[-1]:,}, {100 * left[-1] / left[0]:.3g} %, "
            f"{counted(self.terms.seeds, 'seed')}"
        )
        kept = f"; {done} are recorded and kept" if done else ""
        self.show.say(f"{what}; about {time_left}{kept}")

    def _train(self, entries: Sequence[Entry]) -> None:
        done = self.store.finished()
        places: dict[str, Entry] = {}
        for entry in entries:
            places.setdefault(entry.run, entry)
        tickets = [Ticket.kept(self.checkpoints, i, seed) for i, seed in enumerate(self.terms.run_seeds())]
        begun = {state.member.identity: state for state in self._begun()}
        for sentence in self.checkpoints.damaged:
            self.show.say(sentence)
        left = [run for run in places if run not in done]
        late = self.terms.rewind // steps_per_epoch(self.task, self.recipe)
        epochs = self.recipe.sizes()[1]
        total = sum(
            epochs - late * (places[run].recipe != "fresh weights" and places[run].setting > 0) for run in left
        )
        self.show.begin("lottery", len(left), total)
        shown = set(done)
        diverged: Counter[str] = Counter()

        def tell(message: Any) -> None:
            match message:
                case RunRecord():
                    self.store.add_run(message)
                    if message.identity not in shown:
                        shown.add(message.identity)
                        self.show.run()
                        diverged[places[message.identity].recipe] += message.status == "diverged"
                case ("epochs", count):
                    self.show.epochs(count)

        groups = min(self.processes, len(tickets))
        parts = [tickets[i::groups] for i in range(groups)]
        chain = partial(
            Chain, self.task, self.recipe, self.terms, self.prints, executor=self.plan.executor,
            together=self.plan.together if self.plan.executor != "one by one" else 1, checkpoints=self.checkpoints,
            done=done, begun=begun, units=self.units,
        )  # fmt: skip
        if groups == 1:
            try:
                chain(tickets, tell=tell).run()
            except (InputError, StoreError):
                raise
            except Exception as error:
                raise InputError(f"training the tickets failed: {said(error)}") from error
        else:
            Forked(chain, parts, self.checkpoints, tell, self.show.say).run()
        if told := +diverged:
            whose = ", ".join(f"{kind} {count}" for kind, count in told.items())
            self.show.say(f"{counted(sum(told.values()), 'run')} diverged: {whose}")

    def _begun(self) -> list[RunState]:
        """Return the runs that a kill has interrupted."""
        names = [name for name in self.checkpoints.names() if name.startswith("runs-")]
        lanes = [lane_left(self.checkpoints, name) for name in names]
        return [state for lane in lanes if lane is not None for state in lane.states]

    def _ends(self) -> dict[str, Any]:
        """Return what the tickets left: lines between data orders, and the smallest that is as good, made smaller."""
        tickets = [Ticket.kept(self.checkpoints, i, seed) for i, seed in enumerate(self.terms.run_seeds())]
        weights = self.store.get("lottery")["left"][0]
        smaller = leave_smallest(self.task, self.recipe, tickets, weights, self.store.directory)
        units_left = [ticket.facts["left"] for ticket in tickets]
        return {"barriers": [t.barriers for t in tickets], "units_left": units_left, "smaller": smaller}
