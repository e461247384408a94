"""Leaving a model, its optimizer and everything random as they were, whatever happens in between."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.key import Key
from thalweg.optim._base import FormulaOptimizer

__all__ = ["kept"]


@contextmanager
def kept(model: nn.Module, optimizer: torch.optim.Optimizer, data: Any, seed: int) -> Iterator[None]:
    """Put everything back at the end, in place, bit for bit; inside, the generators start at ``seed``.

    That is: parameters and their gradients, buffers, modes, the optimizer's groups and state, the global generators
    of torch, numpy and Python, and those that ``data`` and its sampler hold. Tensors keep their identity. What a
    module keeps in other attributes is its own affair.
    """
    places = [*_generators(data), *_tensors(model, optimizer), *_optimizer(optimizer)]
    modes = [(module, module.training) for module in model.modules()]
    key = Key(seed) / "range test"
    try:
        random.seed(key.integer(63))
        np.random.seed(key.integer(32))  # noqa: NPY002
        torch.default_generator.manual_seed(key.integer(63))
        if _cuda():
            torch.cuda.manual_seed_all(key.integer(63))
        yield
    finally:
        _insist([*(lambda m=m, on=on: setattr(m, "training", on) for m, on in modes), *places])


def _insist(places: list[Any]) -> None:
    """Put everything back, to the end even if an interruption comes meanwhile; then let that through."""
    interrupted: KeyboardInterrupt | None = None
    for put_back in places:
        while True:
            try:
                put_back()
                break
            except KeyboardInterrupt as error:
                interrupted = error
    if interrupted is not None:
        raise interrupted


# Each of these takes down how things are, and returns functions that put them back.


def _generators(data: Any) -> list[Any]:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    back: list[Any] = [
        lambda: random.setstate(python),
        lambda: np.random.set_state(numpy),  # noqa: NPY002
        lambda: torch.set_rng_state(cpu),
    ]
    if _cuda():
        cuda = torch.cuda.get_rng_state_all()
        back.append(lambda: torch.cuda.set_rng_state_all(cuda))
    batches = getattr(data, "batch_sampler", None)
    owners = (data, getattr(data, "sampler", None), batches, getattr(batches, "sampler", None))
    own = {
        id(g): g for g in (getattr(owner, "generator", None) for owner in owners) if isinstance(g, torch.Generator)
    }
    for generator in own.values():
        state = generator.get_state()
        back.append(lambda g=generator, s=state: g.set_state(s))
    return back


def _cuda() -> bool:
    return torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    back: list[Any] = []
    grouped = itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups)
    for p in {id(p): p for p in itertools.chain(model.parameters(), grouped)}.values():
        back.append(lambda p=p, grad=p.grad: setattr(p, "grad", grad))  # the sweep makes gradients of its own
        back.append(_same(p))
    for module in model.modules():
        names = dict(module._buffers)  # noqa: SLF001
        back.append(lambda m=module, names=names: (m._buffers.clear(), m._buffers.update(names)))  # noqa: SLF001
        back += [_same(x) for x in names.values() if x is not None]
    return back


def _same(x: Tensor) -> Any:
    """Take down a tensor's numbers."""
    before = x.detach().clone()

    def put_back() -> None:
        with torch.no_grad():
            x.detach().copy_(before)  # of a parameter that nothing in a graph waits for

    return put_back


def _optimizer(optimizer: torch.optim.Optimizer) -> list[Any]:
    state, known = optimizer.state, dict(optimizer.state)
    back: list[Any] = [_same_dict(group, skip=("params",)) for group in optimizer.param_groups]
    back.append(lambda: [state.pop(p) for p in list(state) if p not in known])
    back += [_same_dict(kept) for kept in known.values() if isinstance(kept, dict)]
    each: Any = optimizer
    while isinstance(each, torch.optim.Optimizer):
        back += _attributes(each)
        each = getattr(each, "optimizer", None)  # of one that goes around another
    return back


def _attributes(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Take down what an optimizer keeps beside its state: counters, and tensors by parameter or name."""
    own = optimizer.__dict__
    plain = int | float | str | None
    held = {name: value for name, value in own.items() if isinstance(value, plain)}

    def put_back() -> None:
        for name in [name for name, value in own.items() if isinstance(value, plain) and name not in held]:
            del own[name]
        own.update(held)
        if isinstance(optimizer, FormulaOptimizer):
            optimizer.__setstate__({})  # what it has prepared for its next step is of the sweep's state

    tables = [
        value
        for name, value in own.items()
        if isinstance(value, dict) and name not in ("state", "defaults") and not name.startswith("_optimizer_")
    ]
    return [*(_same_dict(table) for table in tables if all(isinstance(x, Tensor) for x in table.values())), put_back]


def _same_dict(table: dict[Any, Any], skip: tuple[str, ...] = ()) -> Any:
    """Take down what a dictionary holds; its tensors stay the same tensors."""
    held = {key: value for key, value in table.items() if key not in skip}
    tensors = [_same(value) for value in held.values() if isinstance(value, Tensor)]
    others = {key: copy.deepcopy(value) for key, value in held.items() if not isinstance(value, Tensor)}

    def put_back() -> None:
        for key in [key for key in table if key not in held and key not in skip]:
            del table[key]
        table.update(held)
        table.update(others)
        for again in tensors:
            again()

    return put_back
