"""A formula as a ``torch.optim.Optimizer``: groups, state and steps; which formula, its `Face` says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import optimizer as _hooks

from thalweg.errors import InputError, unknown
from thalweg.optim import _plan, _state
from thalweg.optim._face import Face
from thalweg.optim._state import TRAINED

__all__ = ["FormulaOptimizer", "Params"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

MODES: dict[str, Any] = {
    "maximize": False, "foreach": None, "fused": None, "capturable": False, "differentiable": False, "executor": None,
}  # fmt: skip
"""Arguments on how to step. torch's ``foreach`` and ``fused`` ask for speed alone, and change nothing here."""

NOTES = {
    "params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "swa_lr",
    "lr_scale",
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
        if isinstance(params, nn.Module) or not isinstance(params, Iterable):
            raise InputError(f"{name} takes parameters, such as model.parameters(), not {type(params).__name__}")
        groups: list[Any] = [params] if isinstance(params, dict) else list(params)
        self._plans: list[_plan.Plan] = []
        self._kept: list[Any] = []
        if groups:
            super().__init__(groups, {**known, **MODES, **arguments})
        if not groups or not any(group["params"] for group in self.param_groups):
            raise InputError(f"{name} got no parameters")

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
        if isinstance(params, set | nn.Module) or not isinstance(params, Iterable):
            raise InputError(f"a group of {name} takes its parameters in a list, not as {type(params).__name__}")
        group = {**param_group, "params": [params] if isinstance(params, Tensor) else list(params)}
        tensors = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in group["params"]]
        for p in tensors:
            if not isinstance(p, Tensor):
                raise InputError(f"{name} updates tensors, not {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise InputError(f"{name} updates leaves; one parameter is the result of an operation")
        if len({id(p) for p in tensors}) < len(tensors):
            raise InputError(f"a group of {name} has the same parameter twice")
        there = {id(p) for other in self.param_groups for p in other["params"]}
        if not there.isdisjoint(map(id, tensors)):
            raise InputError(f"two groups of {name} have the same parameter")
        _plan.choose(self.face, {**self.defaults, **group}, name)
        try:
            super().add_param_group(group)
        except ValueError as error:  # parameters with and without names
            raise InputError(str(error)) from error

    # -- steps ---------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what the closure returns.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            InputError: a gradient that the formula cannot take, or a hyperparameter that cannot be; nothing has been
                changed then.
        """
        return self._seen(closure) if self._is_watched() else self._step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # torch need not wrap it: that costs as much as a small step

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._update()
        return loss

    _seen = torch.optim.Optimizer.profile_hook_step(_step)

    def _is_watched(self) -> bool:
        """Return whether a step is to be seen by hooks or a profiler."""
        everyones = _hooks._global_optimizer_pre_hooks or _hooks._global_optimizer_post_hooks  # noqa: SLF001
        own = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        return bool(everyones or own) or torch._C._autograd._profiler_enabled()  # noqa: SLF001

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _update(self) -> None:
        """Run a step; when a whole training step is compiled, this is called as it stands."""
        with torch.no_grad():
            for batch, gradients, values in self._work() or self._planned():
                batch.run(gradients, values)

    def _work(self) -> list[_plan.Work] | None:
        """Return what a step consists of by the plans of the last one, if they still hold."""
        kept = self.state.values()
        if len(self._plans) != len(self.param_groups) or len(kept) != len(self._kept):
            return None
        if not all(map(is_, kept, self._kept)):
            return None
        found: list[_plan.Work] = []
        for plan, group in zip(self._plans, self.param_groups, strict=True):
            work = plan.work(group)
            if work is None:
                return None
            found += work
        return found

    def _planned(self) -> list[_plan.Work]:
        """Plan anew and return what a step consists of: first all is checked, then state is begun."""
        name = type(self).__name__
        chosen, executors = [], []
        for group in self.param_groups:
            choice = _plan.choose(self.face, group, name)
            how: list[str | None] = []
            for p in group["params"]:
                if TRAINED in self.state.get(p, {}):
                    raise InputError(f"{name} is in evaluation; call its train() before its step()")
                if p.grad is not None:
                    _plan.check(self.face, choice, p, p.grad, self.state.get(p, {}), name)
                how.append(None if p.grad is None else _plan.executor(group, choice.technique, p, p.grad))
            chosen.append(choice)
            executors.append(how)
        self._plans = [
            _plan.plan(self.face, *each, self.state)
            for each in zip(chosen, self.param_groups, executors, strict=True)
        ]  # fmt: skip
        self._kept = list(self.state.values())
        found: list[_plan.Work] = []
        for plan, group in zip(self._plans, self.param_groups, strict=True):
            work = plan.work(group)
            assert work is not None, "a plan holds as soon as it is made"
            found += work
        return found

    # -- evaluation ----------------------------------------------------------------------------------

    @torch.no_grad()
    def eval(self) -> None:
        """Make the parameters the weights to evaluate, until `train` is called; frameworks call both by themselves.

        They differ from those that are trained where the formula says so, as in ``schedule_free_adamw``; elsewhere
        this changes nothing. What is trained is kept in the state, and saved with it.
        """
        for group in self.param_groups:
            choice = _plan.choose(self.face, group, type(self).__name__)
            for p in group["params"]:
                kept = self.state.get(p)
                if choice.technique.evaluate is not None and kept and TRAINED not in kept:
                    states = [kept[self.face.key(name)] for name in choice.technique.state]
                    kept[TRAINED] = p.detach().clone(memory_format=torch.preserve_format)
                    p.copy_(choice.technique.weights(p, states, choice.values))
        self._plans = []

    @torch.no_grad()
    def train(self) -> None:
        """Make the parameters those that are trained again, bit for bit as `eval` found them."""
        for p, kept in self.state.items():
            if TRAINED in kept:
                p.copy_(kept.pop(TRAINED))
        self._plans = []

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Within, the parameters are the weights to evaluate; see `eval`."""
        self.eval()
        try:
            yield
        finally:
            self.train()

    # -- state dicts ---------------------------------------------------------------------------------

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plans, self._kept = [], []
        for group in self.param_groups:
            for name, value in {**self.face.arguments(), **MODES}.items():
                group.setdefault(name, value)

    def state_dict(self) -> dict[str, Any]:
        """Return the state under torch's keys; each parameter has a step counter of its own there."""
        with _without(self, "_optimizer_state_dict_post_hooks") as hooks:
            found: dict[str, Any] = super().state_dict()
        numbers = _state.counters(self.face)
        found["state"] = {
            p: {key: x.clone() if key in numbers and isinstance(x, Tensor) else x for key, x in kept.items()}
            if isinstance(kept, dict)
            else kept
            for p, kept in found["state"].items()
        }
        for hook in hooks:
            replaced = hook(self, found)
            found = found if replaced is None else replaced
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; that of torch's optimizer of the same name will do.

        Args:
            state_dict: what `state_dict` returned; its tensors are copied.

        Raises:
            InputError: the state is another optimizer's, or of other shapes; nothing has been changed then.
        """
        name = type(self).__name__
        with _without(self, "_optimizer_load_state_dict_pre_hooks") as hooks:
            if hooks:
                state_dict = dict(state_dict)
            for hook in hooks:
                replaced = hook(self, state_dict)
                state_dict = state_dict if replaced is None else replaced
            try:
                groups, states = state_dict["param_groups"], state_dict["state"]
                places = [list(group["params"]) for group in groups]
            except (KeyError, TypeError) as error:
                raise InputError('a state dict holds "param_groups" and "state"; this one does not') from error
            counts, mine = list(map(len, places)), [len(group["params"]) for group in self.param_groups]
            if counts != mine:
                raise InputError(f"the saved state is of groups of {counts} parameters, and {name} has {mine}")
            owners = dict(
                zip(
                    (place for group in places for place in group),
                    (p for group in self.param_groups for p in group["params"]),
                    strict=True,
                )
            )
            _state.check_saved(self.face, groups, states, owners, name)
            modes = {"capturable": False, "differentiable": False}  # how torch stepped there, not how it is done here
            asked = [{**self.face.arguments(), **MODES, **group, **modes} for group in groups]
            for group in asked:
                _plan.choose(self.face, group, name)
            with _without(self, "_optimizer_load_state_dict_post_hooks") as after:
                super().load_state_dict({"state": {}, "param_groups": asked})
        for place, kept in states.items():
            if place in owners:
                self.state[owners[place]] = _state.place(self.face, owners[place], kept)
            else:  # what a hook has put there, for a hook
                self.state[place] = kept
        for done in after:
            done(self)


@contextmanager
def _without(optimizer: torch.optim.Optimizer, name: str) -> Iterator[list[Callable[..., Any]]]:
    """Within, torch calls none of an optimizer's hooks of a kind; they are given to be called at the right time."""
    hooks = getattr(optimizer, name)
    setattr(optimizer, name, OrderedDict())
    try:
        yield list(hooks.values())
    finally:
        setattr(optimizer, name, hooks)
