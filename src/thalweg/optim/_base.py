"""A formula as a ``torch.optim.Optimizer``: groups, state and steps; which formula, its `Face` says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import InputError, unknown
from thalweg.optim._batch import Batch, how
from thalweg.optim._executors import eager
from thalweg.optim._face import Face
from thalweg.optim._technique import Optimizer

__all__ = ["FormulaOptimizer", "Params"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

MODES: dict[str, Any] = {
    "maximize": False, "foreach": None, "fused": None, "capturable": False, "differentiable": False, "executor": None,
}  # fmt: skip
"""Arguments on how to step. torch's ``foreach`` and ``fused`` ask for speed alone, and change nothing here."""

EXECUTORS = ("fused", "compiled", "eager")
NOTES = {
    "params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "lr_scale",
}  # fmt: skip
"""Keys of a group that are no arguments: what schedulers write there, and a name."""


class FormulaOptimizer(torch.optim.Optimizer):
    """Steps each parameter by the formula that its group selects.

    Args:
        params: parameters, or groups with arguments of their own, as torch takes them.
        arguments: by torch's names; see the class. ``executor`` forces one of ``"fused"`` (one pass over memory, on
            the CPU), ``"compiled"`` (``torch.compile``) and ``"eager"`` (tensor operations); left out, each tensor
            gets the quickest that can take it.

    Raises:
        InputError: an argument that does not exist or cannot be, a combination that no formula covers, no parameters
            or the same one twice.
    """

    face: ClassVar[Face]

    def __init__(self, params: Params, *positional: Any, **arguments: Any) -> None:
        name, known = type(self).__name__, self.face.arguments()
        if len(positional) > len(known):
            raise InputError(f"{name} takes at most {len(known)} arguments after params, not {len(positional)}")
        for given, value in zip(known, positional, strict=False):
            if given in arguments:
                raise InputError(f"{name} got {given} twice")
            arguments[given] = value
        for given in arguments:
            if given not in known and given not in MODES:
                raise unknown(f"argument of {name}", given, [*known, *MODES])
        if isinstance(params, Tensor):
            raise InputError(f"{name} takes several parameters, such as model.parameters(); put the one in a list")
        groups: list[Any] = [params] if isinstance(params, dict) else list(params)
        if not groups:
            raise InputError(f"{name} got no parameters")
        self._cache: dict[int, Any] = {}
        super().__init__(groups, {**known, **MODES, **arguments})

    # -- groups --------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with arguments of their own; nothing is added when the group is refused."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise InputError(f'a group of {name} takes a dictionary with "params" in it')
        for key in param_group:
            if key not in self.defaults and key not in NOTES:
                raise unknown(f"argument of {name} in a group", key, self.defaults)
        params = param_group["params"]
        if not isinstance(params, Tensor):
            param_group = {**param_group, "params": list(params)}
            tensors = [p[1] if isinstance(p, tuple) else p for p in param_group["params"]]
            if len({id(p) for p in tensors}) < len(tensors):
                raise InputError(f"a group of {name} has the same parameter twice")
            if not tensors:
                raise InputError(f"a group of {name} has no parameters")
        self._chosen({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def _chosen(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any], tuple[str, ...]]:
        """Return a group's formula, its hyperparameters as numbers, and what stands before it."""
        name = type(self).__name__
        for mode in ("capturable", "differentiable"):
            if group.get(mode):
                raise InputError(f"{name} has no {mode} form; leave {mode} out")
        if group.get("executor") not in (None, *EXECUTORS):
            raise unknown("executor", group["executor"], EXECUTORS)
        technique, values, before = self.face.select(group, name)
        numbers = {key: float(v) if isinstance(v, Tensor) else v for key, v in values.items()}
        own = {key: numbers[key] for key in technique.hyperparameters}
        technique(**own)  # refuses what a hyperparameter cannot be
        decay = numbers.get("weight_decay", 0.0)
        if not (isinstance(decay, int | float) and 0 <= decay < math.inf):
            raise InputError(f"weight_decay of {name} takes a number from 0 up, not {decay!r}")
        return technique, numbers, before

    # -- steps ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what the closure returns.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            InputError: a gradient that the formula cannot take, or a hyperparameter that cannot be; nothing has been
                changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [self._work(group) for group in self.param_groups]
        for batches, sparse, values in work:
            for batch, gradients in batches:
                batch.run(gradients, values)
            for technique, p in sparse:
                self._sparse(technique, p, values)
        return loss

    def _work(self, group: dict[str, Any]) -> tuple[list[tuple[Batch, list[Tensor]]], list[Any], dict[str, Any]]:
        """Return what a step of a group is made of: batches with their gradients, and sparse parameters."""
        live = group["params"]
        gradients = [p.grad for p in live]
        if not all(g is not None for g in gradients):
            live = [p for p, g in zip(live, gradients, strict=True) if g is not None]
            gradients = [g for g in gradients if g is not None]
        settings = [(name, value) for name, value in group.items() if name != "params"]
        known = self._cache.get(id(group))
        if known is not None and known[0] == settings and known[1] == list(map(id, live)):
            _, _, values, batches = known
            work = [(batch, [gradients[i] for i in places]) for batch, places in batches]
            if all(batch.is_current(mine) for batch, mine in work):
                return work, [], values
        technique, values, before = self._chosen(group)
        dense: list[int] = []
        sparse: list[tuple[Optimizer, Tensor]] = []
        for i, (p, g) in enumerate(zip(live, gradients, strict=True)):
            self._check(technique, before, p, g)
            if g.layout == torch.strided:
                dense.append(i)
            else:
                sparse.append((technique, p))
        batches = self._batches(group, technique, before, live, dense)
        if not sparse and not any(isinstance(value, Tensor) for _, value in settings):
            self._cache[id(group)] = (settings, [id(p) for p in live], values, batches)
        return [(batch, [gradients[i] for i in places]) for batch, places in batches], sparse, values

    def _check(self, technique: Optimizer, before: tuple[str, ...], p: Tensor, g: Tensor) -> None:
        """Refuse a gradient that the formula cannot take."""
        name = type(self).__name__
        if g.dtype != p.dtype or g.device != p.device or g.shape != p.shape:
            unlike = f"a gradient is {g.dtype} {tuple(g.shape)} on {g.device}"
            raise InputError(f"{unlike}, and its parameter {p.dtype} {tuple(p.shape)} on {p.device}")
        if g.layout not in (torch.strided, torch.sparse_coo):
            raise InputError(f"{name} does not take gradients of layout {g.layout}")
        if g.layout == torch.sparse_coo and (not technique.sparse or "weight_decay" in before):
            why = " with weight_decay" if technique.sparse else ""
            raise InputError(f"{name}{why} does not take sparse gradients: a step moves elements that have none")
        if p.is_complex() and technique.scope != "element":
            raise InputError(f"{name} does not take complex parameters")

    def _batches(
        self,
        group: Mapping[str, Any],
        technique: Optimizer,
        before: tuple[str, ...],
        live: Sequence[Tensor],
        places: Sequence[int],
    ) -> list[tuple[Batch, list[int]]]:
        """Return parameters by executor, type, device and step."""
        keys = [self.face.key(name) for name in technique.state]
        scalar_keys = [self.face.key(name) for name in technique.scalars]
        executors = [self._executor(group, technique, live[i]) for i in places]
        found: dict[Any, list[int]] = {}
        for i, executor in zip(places, executors, strict=True):
            kept = self._begun(group, technique, live[i])
            found.setdefault((executor, live[i].dtype, live[i].device, float(kept["step"])), []).append(i)
        return [
            (
                Batch(
                    technique, before, executor, [live[i] for i in members],
                    [self.state[live[i]] for i in members], keys, scalar_keys,
                ),
                members,
            )
            for (executor, *_), members in found.items()
        ]  # fmt: skip

    def _executor(self, group: Mapping[str, Any], technique: Optimizer, p: Tensor) -> str:
        best, asked = how(technique, p), group.get("executor")
        if asked is None or asked == best or asked == "eager":
            return asked or best
        if asked == "compiled" and technique.scope == "element" and p.dtype in (torch.float32, torch.float64):
            return "compiled"
        kind = f"{str(p.dtype).removeprefix('torch.')} on {p.device.type}"
        raise InputError(f"{technique.name} has no {asked} step for {kind}; leave executor out")

    def _begun(self, group: Mapping[str, Any], technique: Optimizer, p: Tensor) -> dict[str, Any]:
        """Return a parameter's state, filled in before its first step."""
        kept: dict[str, Any] = self.state[p]
        if not isinstance(kept.get("step"), Tensor):
            kept["step"] = torch.tensor(float(kept.get("step", 0.0)))
        names = [name for name in technique.state if kept.get(self.face.key(name)) is None]
        if names:
            dtype = p.dtype if p.dtype not in (torch.bfloat16, torch.float16) else torch.float32
            begun = dict(zip(technique.state, eager.begin(technique, p, dtype), strict=True))
            for name in names:
                kept[self.face.key(name)] = begun[name]
                if name in self.face.starts:
                    begun[name].fill_(group[self.face.starts[name]])
        for name in technique.scalars:
            kept.setdefault(self.face.key(name), torch.tensor(technique.start.get(name, 0.0), dtype=torch.float64))
        return kept

    def _sparse(self, technique: Optimizer, p: Tensor, values: Mapping[str, Any]) -> None:
        """Update the elements that a sparse gradient names; for the others the step changes nothing."""
        assert p.grad is not None
        g = p.grad.coalesce()
        kept = self._begun(self.param_groups[0], technique, p)
        kept["step"] = kept["step"] + 1
        at = tuple(g.indices())
        states = [kept[self.face.key(name)] for name in technique.state]
        rows = [x[at] for x in (p, *states)]
        own = {name: values[name] for name in technique.hyperparameters}
        eager.update(technique, rows[0], g.values(), rows[1:], [], t=int(kept["step"]), hyperparameters=own)
        for place, row in zip((p, *states), rows, strict=True):
            place[at] = row

    # -- state dicts ---------------------------------------------------------------------------------

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._cache = {}
        for group in self.param_groups:
            for name, value in {**self.face.arguments(), **MODES}.items():
                group.setdefault(name, value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state under torch's keys; each parameter has a step counter of its own there."""
        found: dict[str, Any] = super().state_dict()
        found["state"] = {
            p: {key: x.clone() if isinstance(x, Tensor) and x.dim() == 0 else x for key, x in kept.items()}
            for p, kept in found["state"].items()
        }
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; that of torch's optimizer of the same name will do.

        Raises:
            InputError: the state is another optimizer's, or of other shapes; nothing has been changed then.
        """
        try:
            groups, states = state_dict["param_groups"], state_dict["state"]
            counts = [len(group["params"]) for group in groups]
        except (KeyError, TypeError) as error:
            raise InputError('a state dict holds "param_groups" and "state"; this one does not') from error
        name = type(self).__name__
        mine = [len(group["params"]) for group in self.param_groups]
        if counts != mine:
            raise InputError(f"the saved state is of groups of {counts} parameters, and {name} has {mine}")
        keys = {"step", *(self.face.key(s) for f in self.face.formulas.values() for s in (*f.state, *f.scalars))}
        places = [i for group in groups for i in group["params"]]
        owners = [p for group in self.param_groups for p in group["params"]]
        for saved, group in zip(groups, self.param_groups, strict=True):
            self._chosen({**self.face.arguments(), **MODES, **saved, "capturable": False, "executor": None})
            assert group is not saved
        by_place = dict(zip(places, owners, strict=True))
        for place, kept in states.items():
            p = by_place.get(place)
            strange = set(kept) - keys
            if p is None or strange:
                what = f'it keeps "{min(strange)}"' if strange else "it names other parameters"
                raise InputError(f"the saved state is not {name}'s: {what}")
            for key, value in kept.items():
                if (
                    isinstance(value, Tensor)
                    and value.dim()
                    and self._shape(p, key) not in (None, tuple(value.shape))
                ):
                    shapes = f"{tuple(value.shape)}, and its parameter {tuple(p.shape)}"
                    raise InputError(f"the saved state of {name} does not fit: {key} has the shape {shapes}")
        super().load_state_dict(state_dict)
        for place, kept in states.items():
            p = by_place[place]
            for key, value in kept.items():
                if value is None:  # torch's SGD without momentum writes it down
                    self.state[p].pop(key, None)
                elif isinstance(value, Tensor) and value.dim() and p.dtype in (torch.bfloat16, torch.float16):
                    self.state[p][key] = value.to(p.device, torch.float32, copy=True)  # torch would round it

    def _shape(self, p: Tensor, key: str) -> tuple[int, ...] | None:
        """Return the shape that state under a key must have."""
        for formula in self.face.formulas.values():
            for name in formula.state:
                if self.face.key(name) == key:
                    make = formula.shapes.get(name)
                    return tuple(p.shape) if make is None else make(tuple(p.shape))
        return None
