"""How a formula looks to torch's users: a class's arguments, and which of them select which formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.errors import InputError
from thalweg.optim._technique import Optimizer

__all__ = ["Face"]


@dataclass(frozen=True)
class Face:
    """One class of optimizers, declared.

    Attributes:
        formulas: by the options that are on, the formula that a group with them selects; that of the defaults first.
            An option that takes a word is on as ``"name=word"``.
        order: the arguments in torch's order.
        options: arguments that are no hyperparameter of the plain formula, with their defaults.
        spelled: hyperparameters that torch calls otherwise; ``"-name"`` where it is the negative there.
        tuples: arguments that hold several hyperparameters.
        fixed: arguments that can have one value only.
        kept: state and scalars that torch keeps under another key.
        starts: state that begins at the value of an argument.
    """

    formulas: Mapping[tuple[str, ...], Optimizer]
    order: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)
    tuples: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"betas": ("beta1", "beta2", "beta3")})
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> Optimizer:
        """The formula that the defaults select."""
        return next(iter(self.formulas.values()))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments with their defaults, in torch's order."""
        values = self.plain.hyperparameters
        found: dict[str, Any] = {}
        for name in self.order.split():
            if name in self.options or name in self.fixed:
                found[name] = {**self.options, **self.fixed}[name]
            elif name in self.tuples:
                found[name] = tuple(values[part] for part in self.tuples[name] if part in values)
            else:
                (mine,) = [h for h in values if self.spelled.get(h, h).removeprefix("-") == name]
                found[name] = -values[mine] if self.spelled.get(mine, "").startswith("-") else values[mine]
        return found

    def select(self, group: Mapping[str, Any], owner: str) -> tuple[Optimizer, dict[str, Any], tuple[str, ...]]:
        """Return the formula for a group, its hyperparameters, and what stands before it: see `lifting.BEFORE`.

        Raises:
            InputError: no formula covers what the group asks for.
        """
        selectors = {name.partition("=")[0] for names in self.formulas for name in names}
        asked_for = {n: group.get(n) for n in (*selectors, *self.options) if n not in self.starts.values()}
        on = {f"{n}={value}" if isinstance(value, str) else n for n, value in asked_for.items() if value}
        on |= {n for n, value in self.fixed.items() if _differ(group.get(n), value)}
        by_options = {frozenset(names): formula for names, formula in self.formulas.items()}
        formula = by_options.get(frozenset(on))
        before = ("maximize",) if group.get("maximize") else ()
        if formula is None and "weight_decay" in on:
            formula, before = by_options.get(frozenset(on - {"weight_decay"})), (*before, "weight_decay")
        if formula is None:
            names = {name.partition("=")[0] for name in on} - {"weight_decay"}
            names |= {name for name, default in self.options.items() if default and not group.get(name)}
            asked = " and ".join(f"{name}={group[name]!r}" for name in group if name in names)
            raise InputError(f"no formula covers {owner} with {asked}")
        values = {name: self._value(name, group) for name in formula.hyperparameters}
        if formula.vectors is not None:
            values = {**formula.vectors.hyperparameters, **values}
        if "weight_decay" in before:
            values["weight_decay"] = group["weight_decay"]
        return formula, values, before

    def _value(self, name: str, group: Mapping[str, Any]) -> Any:
        for argument, parts in self.tuples.items():
            if name in parts and argument in group:
                return group[argument][parts.index(name)]
        spelled = self.spelled.get(name, name)
        return -group[spelled[1:]] if spelled.startswith("-") else group[spelled]

    def key(self, name: str) -> str:
        """Return under which key torch keeps a state or scalar of the formula."""
        return self.kept.get(name, name)


def _differ(given: Any, value: Any) -> bool:
    return list(given) != list(value) if isinstance(value, tuple) else given != value
