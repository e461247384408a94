"""Whether a run of a task is its parameters and buffers, or depends on what its model keeps outside them.

One module stands for all runs that train together, and a checkpoint has parameters and buffers alone. So a few
copies of the model are made and called, once, and compared by what they hold and what they give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.held import Held, changed, held
from thalweg.task.hooks import Hooked, on_gradients
from thalweg.task.reading import apply
from thalweg.task.rounding import close
from thalweg.task.task import Task
from thalweg.task.twice import StandIns
from thalweg.task.unregistered import unregistered

__all__ = ["Outside", "check_alike", "check_outside", "listed", "outside"]

EXAMPLES = 4
"""Of each of the two batches that pass."""

SEEDS = 4
"""Other seeds whose models are looked at; one, of large models."""

LARGE = 10**6
"""Parameters of a large model."""


@dataclass(frozen=True)
class Outside:
    """What is outside parameters and buffers that outputs depend on, or may; empty where nothing is.

    Attributes:
        random: what differs between models made under one seed.
        shared: what all copies of the model share, and a forward pass changes; ``"?"`` where it has no name.
        drawn: what differs between models of different seeds, in words.
        unlike: the name of a parameter or buffer that not all models have, or have in another shape.
        carried: what a forward pass in training, or a switch of modes, leaves for the next pass, in words.
        unseen: what vmap would pass over though it is in the module's own tensors, in words.
        twice: whether the module holds tensors of its own a second time, where others have to stand in for them; see
            `thalweg.task.twice`.
        given_place: the buffers in whose place a forward pass in training puts another tensor.
        begins_alike: whether models of two seeds have the same parameters to begin with.
        first: what is held by a model of the first seed, without its tensors and what differs under one seed.
    """

    random: str = ""
    shared: str = ""
    drawn: str = ""
    unlike: str = ""
    carried: str = ""
    unseen: str = ""
    twice: bool = False
    given_place: tuple[str, ...] = ()
    begins_alike: bool = False
    first: frozenset[tuple[str, tuple[Any, ...]]] | None = None

    @property
    def obstacle(self) -> str:
        """Why one module cannot stand for many runs; empty where it can."""
        return self.drawn or self.carried or self.unseen


_KNOWN: WeakKeyDictionary[Task, Outside] = WeakKeyDictionary()


def outside(task: Task) -> Outside:
    """Return what a task's runs depend on beside parameters and buffers; it is looked at once.

    >>> import torch
    >>> from thalweg import Task, accuracy
    >>> class Cooling(torch.nn.Linear):
    ...     heat = 1.0
    ...     def forward(self, x):
    ...         self.heat *= 0.9
    ...         return super().forward(x) / self.heat
    >>> x = torch.randn(60, 4)
    >>> task = Task(model=lambda: Cooling(4, 2), data=(x, (x[:, 0] > 0).long()),
    ...             loss=torch.nn.functional.cross_entropy, metric=accuracy)
    >>> outside(task).carried
    'heat, which is no buffer, changes in forward'
    """
    if task not in _KNOWN:
        try:
            _KNOWN[task] = _Look(task).found()
        except Exception:  # what cannot be made or called is refused elsewhere, in better words
            _KNOWN[task] = Outside()
    return _KNOWN[task]


def check_outside(task: Task) -> None:
    """Refuse a model that differs under one seed, or whose copies depend on one another.

    Raises:
        InputError: it names what, where that can be found.
    """
    seen, who = outside(task), f"the model of task {task.name}"
    if seen.unlike:
        raise InputError(
            f"{who} has another {seen.unlike} from seed to seed, or lacks it; recipes are compared on models of one "
            "shape: decide it where the task is made"
        )
    if seen.random:
        raise InputError(
            f"{who} begins with another {seen.random} each time, under one seed; draw it from torch's, numpy's or "
            "Python's global generator, which are seeded"
        )
    if seen.shared == "?":
        raise InputError(
            f"{who} gives other outputs for the same examples, weights and random numbers; draw what it draws from "
            "torch's global generator, which is seeded for each run, and keep what it keeps in buffers"
        )
    if seen.shared:
        raise InputError(
            f"{who} changes {seen.shared} in forward, which all its copies share, so that each run would depend on "
            "the others; draw from torch's global generator, which is seeded for each run, and keep what changes in "
            "buffers"
        )


def check_alike(task: Task, module: nn.Module) -> None:
    """Refuse a model that cannot be trained by the module of another, since it is another outside its tensors.

    Args:
        task: whose model.
        module: as the task made it, of any seed.

    Raises:
        RuntimeError: it names what differs.
    """
    first = outside(task).first
    if first is None:
        return
    known, mine = dict(first), _comparable(held(module))
    if names := [name for name, value in mine.items() if known.get(name, value) != value]:
        raise RuntimeError(_drawn(mine, names, module))


def _comparable(found: Held) -> Held:
    return {name: value for name, value in found.items() if value[0] not in ("tensor", "generator", "object")}


class _Look:
    """Looks at copies of a task's model.

    Args:
        task: whose model.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        count = len(task.train)
        some = torch.linspace(0, count - 1, min(2 * EXAMPLES, count), dtype=torch.float64).long()
        half = max(1, len(some) // 2)
        self.begins_alike = False
        self.batches = [task.train.at(some[:half]), task.train.at(some[-half:])]

    def found(self) -> Outside:
        """Return what there is."""
        one, other = self.task.model(0), self.task.model(0)
        first, again, self.begun = held(one), held(other), _tensors(one).keys()
        differs = changed(first, again)
        made = [name for name in differs if "type" in (_kind(first, name), _kind(again, name))]
        if made or (made := _unlike(one, _tensors(other))):
            return Outside(random=listed(made, one))
        begun_with, hooked = dict(one.named_buffers()), Hooked()
        with hooked:
            self._pass(one.train(), 0)
        after = held(one)
        kept = {name: x.clone() for name, x in _tensors(one).items()}
        output = self._pass(one, 1)
        last = held(one)
        switched = changed(last, held(one.eval().train()))
        shared = changed(again, held(other))  # which was not called yet
        if any(_kind(again, name) == "generator" for name in shared):
            return Outside(shared=listed([name for name in shared if _kind(again, name) == "generator"], one))
        begun = first.keys() - set(differs)
        same = frozenset((name, value) for name, value in _comparable(first).items() if name in begun)
        if lost := _unlike(other, kept):
            return Outside(carried=f"{lost[0]} changes its shape in forward, which is lost by a kill", first=same)
        if moved := [name for name in switched if name not in differs]:
            return Outside(carried=_carried(moved, one, "in train() or eval()"), first=same)
        _copy(other, kept)
        if not self._gives(other, one, output):
            if not self._alike(kept):
                return Outside(random=listed(differs, one)) if differs else Outside(shared=listed(shared, one) or "?")
            moved = changed(after, last) or changed(first, after)
            return Outside(carried=_carried([name for name in moved if name not in differs], one), first=same)
        moved = [name for name in changed(after, last) if name not in differs and _counts(after, last, name)]
        carried = _carried(moved, one) if moved else ""
        unseen = on_gradients(one, hooked.seen)
        given_place = tuple(name for name, x in one.named_buffers() if begun_with.get(name) is not x)
        begun_with.clear()
        del one  # a third model is made next
        drawn, unlike, twice = self._drawn(first, differs, kept, other, output)
        return Outside(
            drawn=drawn,
            unlike=unlike,
            carried=carried,
            unseen=unseen,
            twice=twice,
            given_place=given_place,
            begins_alike=self.begins_alike and not drawn and not unlike,
            first=same,
        )

    def _pass(self, module: nn.Module, number: int) -> Any:
        with (Key(0) / "outside" / number).seeded():
            return apply(module, self.batches[number].inputs)

    def _gives(self, module: nn.Module, like: nn.Module, output: Any) -> bool:
        """Return whether a module's pass over the second batch gives, and leaves behind, what another's did."""
        if not close(self._pass(module.train(), 1), output):
            return False
        if not close(list(_tensors(module).values()), list(_tensors(like).values())):
            return False
        mine, theirs = (self._pass(x.eval(), 0) for x in (module, like))
        return close(mine, theirs)

    def _alike(self, kept: dict[str, Tensor]) -> bool:
        """Return whether two fresh copies give the same."""
        one, other = self.task.model(0), self.task.model(0)
        _copy(one, kept)
        _copy(other, kept)
        return self._gives(other, one, self._pass(one.train(), 1))

    def _drawn(
        self, first: Held, differs: Iterable[str], kept: dict[str, Tensor], other: nn.Module, output: Any
    ) -> tuple[str, str, bool]:
        """Return what differs between models of different seeds, in words, what has other shapes, and ``twice``."""
        large, twice = sum(x.numel() for x in other.parameters()) > LARGE, False
        for seed in range(1, 2 if large else 1 + SEEDS):
            module = self.task.model(seed)
            if unlike := _unlike(module, kept) or [*self.begun - _tensors(module).keys()]:
                return "", unlike[0], twice
            own = held(module)
            names = [name for name in changed(first, own) if name not in differs]
            if plain := [name for name in names if _counts(first, own, name)]:
                return _drawn(own, plain, module), "", twice
            if seed == 1:
                self.begins_alike = all(torch.equal(p, kept[name]) for name, p in module.named_parameters())
                again = [name for name, value in first.items() if value[0] == "alias"]
                if again:  # and it may begin with the same values for all seeds
                    _change(module, {str(first[name][1]) for name in again})
                twice = bool(again) and not self._stands_in(other, module)
                if twice and not self._stands_in(other, module, everywhere=True):
                    return (
                        f"{again[0]} holds {first[again[0]][1]} a second time, where vmap does not find it",
                        "",
                        True,
                    )
                if names:
                    _copy(module, kept)
                    if not self._gives(module, other, output):
                        return _drawn(own, names, module), "", twice
        return "", "", twice

    def _stands_in(self, module: nn.Module, another: nn.Module, *, everywhere: bool = False) -> bool:
        """Return whether a module gives what another does, where it is called with the other's tensors."""
        tensors, inputs = _tensors(another), self.batches[0].inputs
        mode = StandIns(module, tensors) if everywhere else nullcontext()
        with (Key(0) / "outside" / 0).seeded(), torch.no_grad(), mode:
            found = apply(lambda *args, **named: functional_call(module.eval(), tensors, args, named), inputs)
        return close(found, self._pass(another.eval(), 0))


def _kind(found: Held, name: str) -> str:
    return str(found[name][0]) if name in found else ""


def _counts(one: Held, other: Held, name: str) -> bool:
    """Return whether outputs may depend on what changed, though none yet did: all but tensors, and what is new."""
    kinds = {_kind(one, name), _kind(other, name)}
    return "" not in kinds and not kinds <= {"tensor", "none", "object", "alias"}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: x.detach() for name, x in (*module.named_parameters(), *module.named_buffers())}


def _unlike(module: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Return the names of a module's tensors that others cannot be copied into."""
    return [n for n, x in _tensors(module).items() if n not in tensors or tensors[n].shape != x.shape]


def _copy(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy tensors into a module, as a run that goes on from a checkpoint does."""
    for name, x in _tensors(module).items():
        x.copy_(tensors[name])


def _change(module: nn.Module, names: Iterable[str]) -> None:
    """Change some of a module's tensors, all their elements."""
    tensors = _tensors(module)
    for name in names:
        if tensors[name].is_floating_point():
            tensors[name].mul_(0.9).add_(0.01)


def listed(names: Iterable[str], whole: object) -> str:
    """Return some names, at most three, one after the other; a whole part's stands for what is in it."""
    heads: list[str] = []
    for name in names:
        if not any(name.startswith(f"{head}.") for head in heads):
            heads.append(name)
    some = [name or type(whole).__name__ for name in heads[:3]]
    return " and ".join(some) if len(some) < 3 else f"{', '.join(some[:-1])} and {some[-1]}"


def _drawn(found: Held, names: Sequence[str], module: nn.Module) -> str:
    if types := [name for name in names if _kind(found, name) == "type"]:
        return f"{types[0] or 'the model'} is of another type from seed to seed"
    return unregistered(module, names[0]) or (
        f"{names[0]}, which is no parameter or buffer, differs from seed to seed; register it as a buffer"
    )


def _carried(names: Iterable[str], module: nn.Module, where: str = "in forward") -> str:
    found = listed(names, module)
    many = " and " in found
    if not found:
        return "its forward leaves something for the next one, outside its buffers"
    return f"{found}, which {'are no buffers, change' if many else 'is no buffer, changes'} {where}"
