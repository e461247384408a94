"""How the runs of a study are executed: decided before it begins, kept with it, read again, and said.

There is a plan for each kind of runs: for each `Together`. Kinds that differ in numbers alone, as in the slope of an
activation, are measured once; what is compiled is decided for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.study.budget import OVERHEAD, Arm, arms, counts, fit, work
from thalweg.study.machine import at_once
from thalweg.study.plan import Protocol, kinds, like
from thalweg.study.threads import spread
from thalweg.task import Task
from thalweg.train.planner import SECONDS, Here, Plan, Where, evenly, look, measure, to_compile

__all__ = ["at_work", "in_numbers", "make_plans", "plan_facts", "plans_of", "sentence", "sentences"]

SHARE = 0.05
"""The part of a kind's work that measuring it may take."""

SOON = 30.0
"""CPU seconds, twice those of a graph's compiler: runs that would take as long without code wait for it."""

LEAST = 0.3
"""CPU seconds that measuring takes at least, about; what has less is looked at only."""


def make_plans(
    task: Task,
    recipes: Mapping[str, Recipe],
    protocol: Protocol,
    budget: float | None,
    processes: int,
    compiles: bool,
    where: Where | None = None,
) -> tuple[dict[Together, Plan], Protocol]:
    """Return how runs are executed, by what they have in common, and how many of them fit into the budget.

    Where cores would be idle, it is tried whether each run had better have several; see `thalweg.study.threads`.
    Compilers come first, those of all kinds; what processes are left then begin with a population each of the kinds
    that wait, uncompiled.

    Args:
        task, recipes, protocol: of the study.
        budget: wall seconds that it may take, if that was said.
        processes: how many cores work at once.
        compiles: whether all runs train on this machine, where their steps may be compiled; then the budget is shared
            with whatever else runs on it.
        where: the nodes of a cluster otherwise, if steps may be compiled there.
    """
    working = float(processes)
    if budget is not None and compiles:
        working = at_once(processes)
    plans = _Measured(task, recipes, protocol, budget and budget * working, processes)
    if budget is not None:
        asked, protocol = protocol, fit(budget, task, recipes, protocol, plans, working)
        if not plans.holds(recipes, protocol):
            plans = _Measured(task, recipes, protocol, budget * working, processes)
            protocol = fit(budget, task, recipes, asked, plans, working)
    if compiles:
        for together, plan in spread(task, arms(recipes, protocol), plans, processes).items():
            plans[together] = plans.likes[like(together)] = plan
    else:  # each node of a cluster has memory of its own
        plans.likes = {kind: replace(plan, processes=0) for kind, plan in plans.likes.items()}
    if compiles or where is not None:
        seconds = work(task, recipes, protocol, plans)
        plans.update(_compiled(task, arms(recipes, protocol), seconds, plans, processes, where))
        if budget is not None:  # code that is there leaves time for more
            protocol = fit(budget, task, recipes, protocol, plans, working)
    return {together: plans[together] for together in kinds(recipes, protocol)}, protocol


def _compiled(
    task: Task,
    arms: Sequence[Arm],
    work: Mapping[Together, float],
    plans: Mapping[Together, Plan],
    processes: int,
    where: Where | None,
) -> dict[Together, Plan]:
    """Return plans with the decision what is compiled, and which runs do not wait for it; see `make_plans`."""
    found, least, most = {}, {}, counts(arms)
    for together, seconds in work.items():
        runs = sum(count for arm in arms for recipe, count in arm if recipe.together() == together)
        least[together] = seconds / runs
        plan = _filled(plans[together], most[together], processes)
        found[together] = to_compile(task, together, plan, seconds, where)
    pending = [together for together, plan in found.items() if plan.compiles == "pending"]
    left = processes - (where or Here()).compilers(sum(found[together].graphs for together in pending))
    for together in pending:
        plan = found[together]
        soon = plan.together * least[together] < SOON
        found[together] = replace(plan, first=max(0, left) * plan.together * soon)
    return found


def _filled(plan: Plan, runs: int, cores: int) -> Plan:
    """Return a plan to train as many together as each of many cores gets of so many runs, or a few more.

    Compiled code takes as long however few of its places are filled. Powers of 2 are needed by other studies too.
    """
    share = evenly(runs, plan.together, cores)
    return replace(plan, together=min(plan.together, max(4, 1 << (share - 1).bit_length())), runs=share)


class _Measured(dict[Together, Plan]):
    """Plans by kind; that of a kind that nothing was decided of is what was measured of its like.

    The first kind is measured for about a second; of the others, those that have work enough.
    """

    def __init__(
        self, task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, whole: float | None, processes: int
    ) -> None:
        super().__init__()
        self.likes: dict[Together, Plan] = {}
        self.processes, self.runs = processes, _most(recipes, protocol)
        self.first, *others = sorted(kinds(recipes, protocol), key=lambda together: together.alone)
        self.likes[like(self.first)] = measure(
            task, self.first, processes=processes, runs=self.runs[like(self.first)]
        )
        for together in others:
            if like(together) not in self.likes:
                seconds = SHARE * self._work(task, recipes, protocol, whole)[like(together)]
                runs = self.runs[like(together)]
                if seconds < LEAST:
                    plan = look(task, together, self[self.first], processes=processes, runs=runs)
                else:
                    seconds = min(SECONDS, seconds)
                    plan = measure(task, together, processes=processes, seconds=seconds, runs=runs)
                self.likes[like(together)] = plan

    def __missing__(self, together: Together) -> Plan:
        return self.likes.get(like(together)) or self.likes[like(self.first)]

    def holds(self, recipes: Mapping[str, Recipe], protocol: Protocol) -> bool:
        """Return whether about as many runs are together by another protocol as were measured."""
        now = _most(recipes, protocol)
        for one, plan in self.likes.items():
            was, is_ = (evenly(runs.get(one, 0), plan.together, self.processes) for runs in (self.runs, now))
            if not is_ / 2 < was < 2 * is_:
                return False
        return True

    def _work(
        self, task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, whole: float | None
    ) -> dict[Together, float]:
        """Return CPU seconds by like; as large a part of those of the budget, if there is one, as of the study."""
        found: dict[Together, float] = {}
        for together, seconds in work(task, recipes, protocol, self).items():
            found[like(together)] = found.get(like(together), 0.0) + seconds
        scale = 1.0 if whole is None else whole / (OVERHEAD * sum(found.values()))
        return {together: scale * seconds for together, seconds in found.items()}


def _most(recipes: Mapping[str, Recipe], protocol: Protocol) -> dict[Together, int]:
    """Return how many runs of a kind and those like it train together at most, without those of other numbers."""
    found: dict[Together, int] = {}
    for kind, count in counts(arms(recipes, protocol)).items():
        found[like(kind)] = max(count, found.get(like(kind), 0))
    return found


# -- what is kept ------------------------------------------------------------------------------------------------


def plan_facts(plans: Mapping[Together, Plan], processes: int) -> dict[str, Any]:
    """Return plans as a study keeps them."""
    return {
        "sentences": sentences(plans, processes),
        "by_kind": {together.recipe().toml(): asdict(plan) for together, plan in plans.items()},
    }


def plans_of(facts: Mapping[str, Any], recipes: Mapping[str, Recipe], protocol: Protocol) -> dict[Together, Plan]:
    """Return the plans that a study kept.

    Studies once kept a plan for each batch size, by which runs of other kinds than the plain one were trained
    without compiled code; they go on in this way.

    Args:
        facts: what `plan_facts` returned.
        recipes, protocol: of the study.

    Raises:
        InputError: they are of another version of thalweg.
    """
    try:
        if "by_kind" in facts:
            return {Recipe.from_toml(kind).together(): Plan(**plan) for kind, plan in facts["by_kind"].items()}
        sizes = {int(size): Plan(**plan) for size, plan in facts["by_batch_size"].items()}
        return {together: _of_size(together, sizes[together.batch_size]) for together in kinds(recipes, protocol)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            "the study's plan is of another version of thalweg, and its runs cannot go on as they began; choose "
            "another --out"
        ) from error


def _of_size(together: Together, plan: Plan) -> Plan:
    if together.alone:
        return replace(plan, executor="one by one", together=1, compiles="", first=0)
    return plan if together == Together(batch_size=together.batch_size) else replace(plan, compiles="", first=0)


# -- what is said ------------------------------------------------------------------------------------------------


def sentences(plans: Mapping[Together, Plan], processes: int) -> list[str]:
    """Return how runs are executed, a sentence for all kinds that are executed alike."""
    kinds: dict[str, list[str]] = {}
    for together, plan in plans.items():
        named = kinds.setdefault(_executed(plan, processes), [])
        if (name := _distinct(together, plans)) not in named:
            named.append(name)
    return [f"{'; '.join(named)}: {how}" if named[0] else how for how, named in kinds.items()]


def sentence(together: Together, plans: Mapping[Together, Plan], processes: int) -> str:
    """Return how the runs of a kind are executed, and which they are where there are others."""
    named, how = _distinct(together, plans), _executed(plans[together], processes)
    return f"{named}: {how}" if named else how


def _executed(plan: Plan, processes: int) -> str:
    graphs = "1 graph is" if plan.graphs == 1 else f"{plan.graphs} graphs are"
    parts = [plan.reason]
    each = f" on each of {plan.nodes} nodes" * (plan.nodes > 1)
    parts += [f"{graphs} compiled{each} when the study begins"] * (plan.compiles == "pending")
    parts += [at_work(plan, processes)] * (processes > 1)
    return "; ".join(parts)


def at_work(plan: Plan, cores: int) -> str:
    """Return in how many processes runs are trained at once on so many cores, and with how many threads.

    >>> plan = Plan("one by one", 1, 1e-3, 1e-3, "")
    >>> at_work(plan, 4), at_work(replace(plan, threads=4), 4), at_work(replace(plan, threads=2), 5)
    ('4 processes', '1 process of 4 threads', '2 processes of 2 threads each')
    >>> at_work(replace(plan, processes=2), 4)
    '2 processes, for which there is memory'
    """
    count = plan.at_once(cores)
    text = f"{count} process{'es' * (count > 1)}"
    if plan.threads > 1:
        text += f" of {plan.threads} threads{' each' * (count > 1)}"
    return text + ", for which there is memory" * (plan.processes == count < cores // plan.threads)


def in_numbers(plans: Mapping[Together, Plan], cores: int) -> tuple[int | str, int | str]:
    """Return how many processes train at once, and how many threads each has; as text, where kinds of runs differ."""
    ways = sorted({(plan.at_once(cores), plan.threads) for plan in plans.values()})
    if len(ways) == 1:
        return ways[0]
    processes, threads = (" or ".join(map(str, column)) for column in zip(*ways, strict=True))
    return processes, threads


def _distinct(together: Together, plans: Mapping[Together, Plan]) -> str:
    """Return what sets a kind apart; numbers of techniques where their kinds are executed in more than one way."""
    alike = like(together)
    ways = {_executed(other, 1) for kind, other in plans.items() if like(kind) == alike}
    return _named(alike, list(map(like, plans))) if len(ways) == 1 else _named(together, list(plans))


def _named(together: Together, among: Sequence[Together]) -> str:
    """Return what sets a kind apart from others, in words; nothing if there are no others."""
    names = [part.name for part in fields(Together) if part.name != "shaping"]
    differ = [name for name in names if len({getattr(one, name) for one in among}) > 1]
    words = [_word(name, getattr(together, name)) for name in differ]
    own, shaping = dict(together.shaping), [dict(one.shaping) for one in among]
    roles = dict.fromkeys(role for one in shaping for role in one)
    differ = [role for role in roles if len({one.get(role) for one in shaping}) > 1]
    return ", ".join(words + [f"{role} {own[role]}" if role in own else f"{role} as it is" for role in differ])


def _word(name: str, value: Any) -> str:
    if name == "labels":
        return "mixed pictures" if value > 1 else "unmixed pictures"
    return f"{name.replace('_', ' ')} {value}"
