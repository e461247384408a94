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
        formulas: by the options that are on, the formula that a group with them selects.
        order: the arguments in torch's order.
        options: arguments that are no hyperparameter of the plain formula, with their defaults.
        spelled: hyperparameters that torch calls otherwise.
        kept: state and scalars that torch keeps under another key.
        starts: state that begins at the value of an argument.
    """

    formulas: Mapping[tuple[str, ...], Optimizer]
    order: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> Optimizer:
        """The formula that the defaults select."""
        return self.formulas[()]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments with their defaults, in torch's order."""
        values = self.plain.hyperparameters
        found: dict[str, Any] = {}
        for name in self.order.split():
            if name in self.options:
                found[name] = self.options[name]
            elif name == "betas":
                found[name] = tuple(values[b] for b in ("beta1", "beta2", "beta3") if b in values)
            else:
                (mine,) = [h for h in values if self.spelled.get(h, h) == name]
                found[name] = values[mine]
        return found

    def select(self, group: Mapping[str, Any], owner: str) -> tuple[Optimizer, dict[str, Any], tuple[str, ...]]:
        """Return the formula for a group, its hyperparameters, and what stands before it: see `lifting.BEFORE`.

        Raises:
            InputError: no formula covers what the group asks for.
        """
        selectors = {name for names in self.formulas for name in names}
        on = {name for name in (*selectors, *self.options) if name not in self.starts.values() and group.get(name)}
        by_options = {frozenset(names): formula for names, formula in self.formulas.items()}
        formula = by_options.get(frozenset(on))
        before = ("maximize",) if group.get("maximize") else ()
        if formula is None and "weight_decay" in on:
            formula, before = by_options.get(frozenset(on - {"weight_decay"})), (*before, "weight_decay")
        if formula is None:
            asked = " and ".join(f"{name}={group[name]!r}" for name in group if name in on and name != "weight_decay")
            raise InputError(f"no formula covers {owner} with {asked}")
        values = {name: self._value(name, group) for name in formula.hyperparameters}
        if "weight_decay" in before:
            values["weight_decay"] = group["weight_decay"]
        return formula, values, before

    def _value(self, name: str, group: Mapping[str, Any]) -> Any:
        if name in ("beta1", "beta2", "beta3") and "betas" in group:
            return group["betas"][int(name[-1]) - 1]
        return group[self.spelled.get(name, name)]

    def key(self, name: str) -> str:
        """Return under which key torch keeps a state or scalar of the formula."""
        return self.kept.get(name, name)
