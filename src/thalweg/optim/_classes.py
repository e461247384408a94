"""The classes: torch's names, arguments and defaults, which select the formula for each parameter group.

What no formula covers is refused by name. Groups keep torch's keys, so that torch's schedulers find what they look
for, and state keeps torch's names, so that state dicts are exchanged.
"""

from __future__ import annotations

import inspect
from typing import Any

from thalweg import optim
from thalweg.optim._base import FormulaOptimizer
from thalweg.optim._face import Face

__all__ = ["FACES"]

_MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
_DECAY = {"weight_decay": 0.0}

FACES: dict[str, Face] = {
    "SGD": Face(
        formulas={
            (): optim.sgd, ("momentum",): optim.momentum, ("momentum", "nesterov"): optim.nesterov,
        },
        order="lr momentum dampening weight_decay nesterov",
        options={"momentum": 0.0, "dampening": 0.0, "nesterov": False, **_DECAY},
        kept={"v": "momentum_buffer"},
    ),
    "Adagrad": Face(
        formulas={(): optim.adagrad},
        order="lr lr_decay weight_decay initial_accumulator_value eps",
        options={"initial_accumulator_value": 0.0, **_DECAY},
        kept={"c": "sum"},
        starts={"c": "initial_accumulator_value"},
    ),
    "Adadelta": Face(
        formulas={(): optim.adadelta},
        order="lr rho eps weight_decay",
        options=_DECAY,
        kept={"v": "square_avg", "u": "acc_delta"},
    ),
    "RMSprop": Face(
        formulas={(): optim.rmsprop},
        order="lr alpha eps weight_decay momentum centered",
        options={"momentum": 0.0, "centered": False, **_DECAY},
        spelled={"beta": "alpha"},
        kept={"c": "square_avg"},
    ),
    "AdamUncorrected": Face(
        formulas={(): optim.adam_uncorrected}, order="lr betas eps weight_decay", options=_DECAY, kept=_MOMENTS
    ),
    "Adam": Face(
        formulas={
            (): optim.adam, ("weight_decay",): optim.adam_l2, ("amsgrad",): optim.amsgrad,
            ("decoupled_weight_decay",): optim.adam, ("weight_decay", "decoupled_weight_decay"): optim.adamw,
        },
        order="lr betas eps weight_decay amsgrad decoupled_weight_decay",
        options={"amsgrad": False, "decoupled_weight_decay": False, **_DECAY},
        kept=_MOMENTS,
    ),
    "AdamW": Face(
        formulas={(): optim.adamw},
        order="lr betas eps weight_decay amsgrad",
        options={"amsgrad": False},
        kept=_MOMENTS,
    ),
    "NAdam": Face(
        formulas={(): optim.nadam},
        order="lr betas eps weight_decay momentum_decay decoupled_weight_decay",
        options={"decoupled_weight_decay": False, **_DECAY},
        spelled={"psi": "momentum_decay"},
        kept=_MOMENTS,
    ),
    "Yogi": Face(formulas={(): optim.yogi}, order="lr betas eps weight_decay", options=_DECAY, kept=_MOMENTS),
}  # fmt: skip
"""Every class by name."""


def _made(name: str, face: Face) -> type[FormulaOptimizer]:
    """Return the class that a face declares."""
    parameter = inspect.Parameter
    signature = [parameter("params", parameter.POSITIONAL_OR_KEYWORD)]
    signature += [parameter(n, parameter.POSITIONAL_OR_KEYWORD, default=v) for n, v in face.arguments().items()]
    modes = parameter("modes", parameter.VAR_KEYWORD)
    members: dict[str, Any] = {
        "face": face,
        "__doc__": _told(name, face),
        "__module__": "thalweg.optim",
        "__signature__": inspect.Signature([*signature, modes]),
    }
    return type(name, (FormulaOptimizer,), members)


def _told(name: str, face: Face) -> str:
    """Return the class's documentation: which arguments select which formula, and what each is."""
    import torch

    lines = [f"``{face.plain.name}`` as a ``torch.optim.Optimizer``: {face.plain.summary}", ""]
    if hasattr(torch.optim, name):
        lines += [f"Takes the arguments of ``torch.optim.{name}``, with its defaults, and its state dicts.", ""]
    for on, formula in list(face.formulas.items())[1:]:
        lines.append(
            f"With {' and '.join(on)}: ``{formula.name}``, {formula.summary[0].lower()}{formula.summary[1:]}"
        )
    lines += ["", "Raises:", "    InputError: an argument that does not exist or cannot be; see `FormulaOptimizer`."]
    return "\n".join(lines)


globals().update({name: _made(name, face) for name, face in FACES.items()})
