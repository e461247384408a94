"""The classes: torch's names, arguments and defaults, which select the formula for each parameter group.

What no formula covers is refused by name. Groups keep torch's keys, so that torch's schedulers find what they look
for, and state keeps torch's names, so that state dicts are exchanged.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from thalweg import optim
from thalweg.optim._base import MODES, FormulaOptimizer
from thalweg.optim._face import Face
from thalweg.technique import takes

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
    "Adamax": Face(
        formulas={(): optim.adamax}, order="lr betas eps weight_decay", options=_DECAY,
        kept={"m": "exp_avg", "u": "exp_inf"},
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
    modes = [parameter(n, parameter.KEYWORD_ONLY, default=v) for n, v in MODES.items()]
    members: dict[str, Any] = {
        "face": face,
        "__doc__": _told(name, face),
        "__module__": "thalweg.optim",
        "__signature__": inspect.Signature([*signature, *modes]),
    }
    return type(name, (FormulaOptimizer,), members)


def _told(name: str, face: Face) -> str:
    """Return the class's documentation: which arguments select which formula, and what each is."""
    import torch

    lines = [f"``{face.plain.name}`` as a ``torch.optim.Optimizer``: {face.plain.summary}", ""]
    if hasattr(torch.optim, name):
        lines += [f"Takes the arguments of ``torch.optim.{name}``, with its defaults, and its state dicts.", ""]
    for on, formula in list(face.formulas.items())[1:]:
        said = formula.summary if formula.summary[1].isupper() else formula.summary[0].lower() + formula.summary[1:]
        lines.append(f"With {' and '.join(on)}: ``{formula.name}``, {said}")
    lines += [""] * bool(lines[-1]) + [
        "Args:",
        "    params: parameters, or groups of them with arguments of their own.",
    ]
    lines += [
        _filled(f"{n}: {_about(face, n, value)}; by default {value!r}.") for n, value in face.arguments().items()
    ]
    lines += [_filled(f"{n}: {said}; by default {MODES[n]!r}.") for n, said in _MODES.items()]
    lines += ["", "Raises:", "    InputError: an argument that does not exist or cannot be; see `FormulaOptimizer`."]
    return "\n".join(lines)


_MODES = {
    "maximize": "whether steps go up the gradient",
    "foreach": "taken as torch takes it, for speed alone, and changes nothing here",
    "fused": "as foreach",
    "capturable": "there is no such form; True is refused",
    "differentiable": "there is no such form; True is refused",
    "executor": "what steps: 'fused', one pass over memory on the CPU; 'compiled', torch.compile; 'eager', tensor "
    "operations; where it is not given, the quickest that can take a tensor",
}


def _about(face: Face, argument: str, default: Any) -> str:
    """Return what an argument takes, as the formula's declaration says it."""
    values = face.plain.hyperparameters
    names = face.tuples.get(argument, (argument,))
    mine = {face.spelled.get(name, name).removeprefix("-"): name for name in values}
    found = [mine[name] for name in names if name in mine]
    selects = dict.fromkeys(formula.name for on, formula in face.formulas.items() if argument in _options(on))
    if argument in face.fixed:
        return "no others are there"
    if isinstance(default, bool):
        said = "True or False"
    elif found and "-" + argument not in face.spelled.values():
        taken = dict.fromkeys(takes(face.plain, name, values[name]) for name in found)
        said = ("each " if len(found) > 1 else "") + ", then ".join(taken)
    else:
        said = "a word, or None" if default is None else "a number"
    return said + (f"; selects {', '.join(f'``{name}``' for name in selects)}" if selects else "")


def _options(on: tuple[str, ...]) -> list[str]:
    return [option.partition("=")[0] for option in on]


def _filled(text: str) -> str:
    return textwrap.fill(text, 112, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)


globals().update({name: _made(name, face) for name, face in FACES.items()})
