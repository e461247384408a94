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
            (): optim.sgd, ("dampening",): optim.sgd, ("momentum",): optim.momentum,
            ("momentum", "dampening"): optim.momentum_dampened, ("momentum", "nesterov"): optim.nesterov,
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
        formulas={
            (): optim.rmsprop, ("momentum",): optim.rmsprop_momentum, ("centered",): optim.rmsprop_centered,
            ("momentum", "centered"): optim.rmsprop_centered_momentum,
        },
        order="lr alpha eps weight_decay momentum centered",
        options={"momentum": 0.0, "centered": False, **_DECAY},
        spelled={"beta": "alpha"},
        kept={"c": "square_avg", "m": "grad_avg", "b": "momentum_buffer"},
    ),
    "AdamUncorrected": Face(
        formulas={(): optim.adam_uncorrected}, order="lr betas eps weight_decay", options=_DECAY, kept=_MOMENTS
    ),
    "Adam": Face(
        formulas={
            (): optim.adam, ("weight_decay",): optim.adam_l2, ("amsgrad",): optim.amsgrad,
            ("decoupled_weight_decay",): optim.adam, ("weight_decay", "decoupled_weight_decay"): optim.adamw,
            ("amsgrad", "decoupled_weight_decay"): optim.amsgrad,
            ("amsgrad", "weight_decay", "decoupled_weight_decay"): optim.amsgradw,
        },
        order="lr betas eps weight_decay amsgrad decoupled_weight_decay",
        options={"amsgrad": False, "decoupled_weight_decay": False, **_DECAY},
        kept=_MOMENTS,
    ),
    "AdamW": Face(
        formulas={(): optim.adamw, ("amsgrad",): optim.amsgradw},
        order="lr betas eps weight_decay amsgrad",
        options={"amsgrad": False},
        kept=_MOMENTS,
    ),
    "NAdam": Face(
        formulas={
            (): optim.nadam, ("decoupled_weight_decay",): optim.nadam,
            ("weight_decay", "decoupled_weight_decay"): optim.nadamw,
        },
        order="lr betas eps weight_decay momentum_decay decoupled_weight_decay",
        options={"decoupled_weight_decay": False, **_DECAY},
        spelled={"psi": "momentum_decay"},
        kept=_MOMENTS,
    ),
    "RAdam": Face(
        formulas={
            (): optim.radam, ("decoupled_weight_decay",): optim.radam,
            ("weight_decay", "decoupled_weight_decay"): optim.radamw,
        },
        order="lr betas eps weight_decay decoupled_weight_decay",
        options={"decoupled_weight_decay": False, **_DECAY},
        kept=_MOMENTS,
    ),
    "Adafactor": Face(
        formulas={(): optim.adafactor},
        order="lr beta2_decay eps d weight_decay",
        spelled={"decay": "-beta2_decay"},
        tuples={"eps": ("eps1", "eps2")},
        kept={"R": "row_var", "C": "col_var", "v": "variance"},
    ),
    "AdafactorUnfactored": Face(
        formulas={(): optim.adafactor_unfactored},
        order="lr beta2_decay eps d weight_decay",
        spelled={"decay": "-beta2_decay"},
        tuples={"eps": ("eps1", "eps2")},
        kept={"v": "variance"},
    ),
    "Muon": Face(
        formulas={
            ("nesterov",): optim.muon, ("nesterov", "adjust_lr_fn=original"): optim.muon,
            ("nesterov", "adjust_lr_fn=match_rms_adamw"): optim.muon_matched,
        },
        order="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
        options={"nesterov": True, "adjust_lr_fn": None},
        spelled={"steps": "ns_steps"},
        fixed={"ns_coefficients": (3.4445, -4.775, 2.0315)},
        kept={"m": "momentum_buffer", "v": "exp_avg_sq"},
    ),
    "Yogi": Face(formulas={(): optim.yogi}, order="lr betas eps weight_decay", options=_DECAY, kept=_MOMENTS),
    "AdaBelief": Face(
        formulas={(): optim.adabelief}, order="lr betas eps weight_decay", options=_DECAY, kept=_MOMENTS
    ),
    "Adan": Face(formulas={(): optim.adan}, order="lr betas eps weight_decay"),
    "Lion": Face(formulas={(): optim.lion}, order="lr betas weight_decay", kept=_MOMENTS),
    "LARS": Face(
        formulas={(): optim.lars}, order="lr momentum weight_decay trust", kept={"v": "momentum_buffer"}
    ),
    "LAMB": Face(formulas={(): optim.lamb}, order="lr betas eps weight_decay", kept=_MOMENTS),
    "SOAP": Face(
        formulas={(): optim.soap}, order="lr betas eps weight_decay precondition_frequency", kept=_MOMENTS
    ),
    "ScheduleFreeSGD": Face(formulas={(): optim.schedule_free_sgd}, order="lr beta weight_decay", options=_DECAY),
    "ScheduleFreeAdamW": Face(
        formulas={(): optim.schedule_free_adamw}, order="lr betas eps weight_decay", kept=_MOMENTS
    ),
    "Prodigy": Face(formulas={(): optim.prodigy}, order="lr betas eps weight_decay d0", kept=_MOMENTS),
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
