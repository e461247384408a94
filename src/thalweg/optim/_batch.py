"""The parameters of a group that are updated together: same formula, same step, same executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim._executors import eager, fused, reader
from thalweg.optim._executors.kernel import kernel
from thalweg.optim._executors.lifting import lift
from thalweg.optim._technique import Optimizer

__all__ = ["Batch", "how"]

_REAL = {torch.complex64: "float32", torch.complex128: "float64"}


def how(technique: Optimizer, p: Tensor, g: Tensor) -> str:
    """Return the quickest executor for a parameter: ``fused``, ``compiled``, ``eager``, or ``sparse``."""
    if g.layout != torch.strided:
        return "sparse"
    plain = all(type(x).__torch_dispatch__ is Tensor.__torch_dispatch__ for x in (p, g))
    if technique.scope != "element" or not plain or p.numel() == 0:
        return "eager"
    if p.device.type == "cpu":
        return "fused" if _name(p) in fused.WIDTHS and _is_packed(p) else "eager"
    return "compiled" if p.device.type == "cuda" and p.dtype in (torch.float32, torch.float64) else "eager"


def _name(p: Tensor) -> str:
    return _REAL.get(p.dtype, str(p.dtype).removeprefix("torch."))


def _is_packed(p: Tensor) -> bool:
    """Return whether a parameter's memory holds each element once and nothing else: transposed, channels last."""
    return p.is_contiguous() or torch.empty_like(p, device="meta").stride() == p.stride()


class Batch:
    """Parameters with their state, as an executor takes them.

    Args:
        technique: whose formula.
        before: what stands before it, names in `lifting.BEFORE`.
        executor: see `how`.
        parameters: of one type, on one device.
        kept: the state of each, under torch's keys; all at the same step.
        keys: torch's keys of the formula's state, in its order.
        scalar_keys: torch's keys of the formula's scalars.
        places: of the parameters in their group; in order if not given.
    """

    def __init__(
        self,
        technique: Optimizer,
        before: tuple[str, ...],
        executor: str,
        parameters: Sequence[Tensor],
        kept: Sequence[dict[str, Any]],
        keys: Sequence[str],
        scalar_keys: Sequence[str],
        places: Sequence[int] | None = None,
    ) -> None:
        self.technique, self.before, self.executor = technique, before, executor
        self.parameters, self.kept = list(parameters), list(kept)
        self.keys, self.scalar_keys = list(keys), list(scalar_keys)
        self.places = list(range(len(self.parameters)) if places is None else places)
        self.states = [[mine[key] for key in self.keys] for mine in self.kept]
        self.shared = {key: self.kept[0][key] for key in ("step", *self.scalar_keys)}
        for mine in self.kept:  # one counter for all of them
            mine.update(self.shared)
        self.dtype, self.device = self.parameters[0].dtype, self.parameters[0].device
        self.lifted = lift(technique, before) if technique.scope == "element" else None
        self.reader: reader.Reader | None = None
        if executor == "fused":
            self._prepare()

    def _prepare(self) -> None:
        """Make the table for the kernel, with all that stays in it from step to step."""
        assert self.lifted is not None
        real = _name(self.parameters[0])
        self.parts = 2 if self.dtype.is_complex else 1
        self.kernel = kernel(self.technique, real, self.before)
        self.constants = np.empty(max(1, self.lifted.count), np.float64 if real == "float64" else np.float32)
        self.table = np.empty((len(self.parameters), 4 + len(self.keys)), np.int64)
        self.table[:, 0] = [x.numel() * self.parts for x in self.parameters]
        self.table[:, 1] = self.constants.ctypes.data
        self.address = int(self.table.ctypes.data)
        self.elements = int(self.table[:, 0].sum())
        self.single = [place for place, x in zip(self.places, self.parameters, strict=True) if x.numel() == 1]
        columns = [self.parameters, *map(list, zip(*self.states, strict=True))]
        plain = self.parts == 1 and all(x.is_contiguous() for column in columns for x in column)
        if plain and reader.available():
            found_at = [*self.keys, *self.shared]
            held = [[p, *(mine[key] for key in found_at)] for p, mine in zip(self.parameters, self.kept, strict=True)]
            dtypes = columns[0][0].dtype, columns[-1][0].dtype
            self.reader = reader.Reader(self.places, held, found_at, dtypes, self.table)

    # -- before a step -------------------------------------------------------------------------------

    def gradients(self, params: list[Any], gradients: list[Any]) -> Sequence[Tensor] | None:
        """Return the gradients as a step takes them; None if anything else is not as it was when this was made.

        Args:
            params: the group's parameters.
            gradients: theirs, None among them.
        """
        if self.reader is not None and self.reader.read(params, gradients, self.kept):
            # A single number is laid out like any other, even one that is still to be negated when it is read.
            negative = any(gradients[place].is_neg() for place in self.single)
            return self._laid_out([gradients[place] for place in self.places]) if negative else gradients
        mine = [gradients[place] for place in self.places]
        layout = torch.sparse_coo if self.executor == "sparse" else torch.strided
        for place, p, g, kept, states in zip(self.places, self.parameters, mine, self.kept, self.states, strict=True):
            alike = p is params[place] and g is not None and g.layout == layout and p.shape == g.shape
            if not alike or not p.dtype == g.dtype == self.dtype or not p.device == g.device == self.device:
                return None
            if any(kept.get(key) is not value for key, value in self.shared.items()):
                return None
            if any(kept.get(key) is not state for key, state in zip(self.keys, states, strict=True)):
                return None
        return self._laid_out(mine) if self.executor == "fused" else mine

    def _laid_out(self, gradients: list[Tensor]) -> list[Tensor] | None:
        """Fill the table, in Python; return the gradients in their parameters' layout."""
        found: list[Tensor] = []
        state = torch.float32 if self.dtype == torch.bfloat16 else self.dtype
        for row, (p, g, states) in enumerate(zip(self.parameters, gradients, self.states, strict=True)):
            if p.numel() * self.parts != self.table[row, 0] or not _is_packed(p):
                return None
            if any(not _match(p, x) or x.dtype != state or x.device != p.device for x in states):
                return None
            if not _match(p, g) or g.is_conj() or g.is_neg():
                g = torch.empty_like(p, memory_format=torch.preserve_format).copy_(g)
            self.table[row, 2:] = [x.data_ptr() for x in (p, g, *states)]
            found.append(g)
        return found

    # -- a step --------------------------------------------------------------------------------------

    def run(self, gradients: Sequence[Tensor], values: Mapping[str, Any]) -> None:
        """Update all of them once.

        Args:
            gradients: what `gradients` returned.
            values: the formula's hyperparameters.
        """
        step = self.shared["step"]
        t = int(step) + 1
        step.fill_(t)
        scalars = [float(self.shared[key]) for key in self.scalar_keys]
        if self.lifted is None:
            after = self._whole(gradients, values, t, scalars)
        else:
            made, after = self.lifted.constants(t, *scalars, *[values[name] for name in self.lifted.hyperparameters])
            getattr(self, "_" + self.executor)(gradients, made)
        for key, value in zip(self.scalar_keys, after, strict=True):
            self.shared[key].fill_(float(value))

    def _fused(self, gradients: Sequence[Tensor], made: Sequence[float]) -> None:  # noqa: ARG002  in the table
        self.constants[: len(made)] = made
        if self.elements <= fused.ALONE:
            self.kernel(self.address, 0, len(self.parameters))
        else:
            fused.walk(self.kernel, self.table, self.elements)
        torch.autograd.graph.increment_version(self.parameters)

    def _compiled(self, gradients: Sequence[Tensor], made: Sequence[float]) -> None:
        from thalweg.optim._executors import compiled

        assert self.lifted is not None
        compiled.run(self.lifted.elements, self.parameters, gradients, self.states, made)

    def _eager(self, gradients: Sequence[Tensor], made: Sequence[float]) -> None:
        assert self.lifted is not None
        for p, g, states in zip(self.parameters, gradients, self.states, strict=True):
            eager.elements(self.lifted.elements, p, g, states, made)

    def _sparse(self, gradients: Sequence[Tensor], made: Sequence[float]) -> None:
        """Update the elements that a sparse gradient names; for the others the step changes nothing."""
        assert self.lifted is not None
        for p, g, states in zip(self.parameters, gradients, self.states, strict=True):
            named = g.coalesce()
            at = tuple(named.indices())
            columns = [p, *states]
            rows = [x[at] for x in columns]
            eager.elements(self.lifted.elements, rows[0], named.values(), rows[1:], made)
            for column, row in zip(columns, rows, strict=True):
                column[at] = row

    def _whole(
        self, gradients: Sequence[Tensor], values: Mapping[str, Any], t: int, scalars: Sequence[float]
    ) -> Sequence[Any]:
        """Update by formulas that must see whole tensors, or all of them at once; return the scalars after."""
        gradients = self._prepared(gradients, values)
        own = {name: values[name] for name in self.technique.hyperparameters}
        after: Sequence[Any] = scalars
        if self.technique.scope == "tensor":
            for p, g, states in zip(self.parameters, gradients, self.states, strict=True):
                if p.numel() == 0:
                    continue
                after = eager.update(self.technique, p, g, states, scalars, t=t, hyperparameters=own)
            return after
        columns = [self.parameters, *map(list, zip(*self.states, strict=True))]
        flat = [torch.cat([x.reshape(-1) for x in column]) for column in columns]
        g = torch.cat([x.reshape(-1) for x in gradients])
        after = eager.update(self.technique, flat[0], g, flat[1:], scalars, t=t, hyperparameters=own)
        for column, joined in zip(columns, flat, strict=True):
            pieces = joined.split([x.numel() for x in column])
            for place, piece in zip(column, pieces, strict=True):
                place.copy_(piece.view_as(place))
        return after

    def _prepared(self, gradients: Sequence[Tensor], values: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return whole gradients after what stands before the formula."""
        if "maximize" in self.before:
            gradients = [-g for g in gradients]
        if "weight_decay" in self.before:
            gradients = [g + values["weight_decay"] * p for g, p in zip(gradients, self.parameters, strict=True)]
        return gradients


def _match(p: Tensor, x: Tensor) -> bool:
    """Return whether a tensor's memory is laid out as its parameter's."""
    return p.shape == x.shape and (p.stride() == x.stride() or (p.is_contiguous() and x.is_contiguous()))
