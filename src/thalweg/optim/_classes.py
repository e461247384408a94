"""The classes: torch's names, arguments and defaults, which select the formula for each parameter group.

What no formula covers is refused by name. Groups keep torch's keys, so that torch's schedulers find what they
look for, and state keeps torch's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from thalweg.errors import InputError
from thalweg.optim._adadelta import adadelta
from thalweg.optim._adagrad import adagrad
from thalweg.optim._adam import adam
from thalweg.optim._adam_l2 import adam_l2
from thalweg.optim._adam_uncorrected import adam_uncorrected
from thalweg.optim._adamw import adamw
from thalweg.optim._amsgrad import amsgrad
from thalweg.optim._base import FormulaOptimizer, Params, refuse
from thalweg.optim._momentum import momentum as momentum_
from thalweg.optim._nadam import nadam
from thalweg.optim._nesterov import nesterov as nesterov_
from thalweg.optim._rmsprop import rmsprop
from thalweg.optim._sgd import sgd
from thalweg.optim._technique import Optimizer
from thalweg.optim._yogi import yogi

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamUncorrected", "AdamW", "NAdam", "RMSprop", "Yogi"]

Rate = float | Tensor
Pair = tuple[float, float]
_MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}


def _moments(group: Mapping[str, Any]) -> dict[str, Any]:
    beta1, beta2 = group["betas"]
    return {"lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"]}


class SGD(FormulaOptimizer):
    """``sgd``; with a momentum ``momentum``, and with ``nesterov=True`` ``nesterov``. As ``torch.optim.SGD``.

    >>> import torch
    >>> w = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = SGD([w], lr=0.5, momentum=0.9)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, 0.5]
    """

    kept_as: ClassVar = {"v": "momentum_buffer"}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **modes: Any,
    ) -> None:
        super().__init__(
            params,
            modes,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        refuse(group, "SGD", "dampening")
        if not group["momentum"]:
            if group["nesterov"]:
                raise InputError("SGD with nesterov=True needs a momentum above 0")
            return sgd, {"lr": group["lr"]}
        chosen = nesterov_ if group["nesterov"] else momentum_
        return chosen, {"lr": group["lr"], "momentum": group["momentum"]}


class Adagrad(FormulaOptimizer):
    """``adagrad``. As ``torch.optim.Adagrad``."""

    kept_as: ClassVar = {"c": "sum"}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **modes: Any,
    ) -> None:
        super().__init__(
            params,
            modes,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        refuse(group, "Adagrad", "initial_accumulator_value")
        return adagrad, {name: group[name] for name in ("lr", "lr_decay", "eps")}


class Adadelta(FormulaOptimizer):
    """``adadelta``. As ``torch.optim.Adadelta``."""

    kept_as: ClassVar = {"v": "square_avg", "u": "acc_delta"}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        **modes: Any,
    ) -> None:
        super().__init__(params, modes, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        return adadelta, {name: group[name] for name in ("lr", "rho", "eps")}


class RMSprop(FormulaOptimizer):
    """``rmsprop``. As ``torch.optim.RMSprop``, without its centred form and its momentum."""

    kept_as: ClassVar = {"c": "square_avg"}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **modes: Any,
    ) -> None:
        super().__init__(
            params,
            modes,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        refuse(group, "RMSprop", "momentum", "centered")
        return rmsprop, {"lr": group["lr"], "beta": group["alpha"], "eps": group["eps"]}


class AdamUncorrected(FormulaOptimizer):
    """``adam_uncorrected``, with the arguments of ``Adam``."""

    kept_as: ClassVar = _MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **modes: Any,
    ) -> None:
        super().__init__(params, modes, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        return adam_uncorrected, _moments(group)


class Adam(FormulaOptimizer):
    """``adam``; with a decay ``adam_l2``, and with ``amsgrad=True`` ``amsgrad``. As ``torch.optim.Adam``."""

    kept_as: ClassVar = _MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **modes: Any,
    ) -> None:
        super().__init__(params, modes, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        if group.get("decoupled_weight_decay"):
            raise InputError("Adam with decoupled_weight_decay=True is AdamW; use that")
        if group["amsgrad"]:
            return amsgrad, _moments(group)
        if group["weight_decay"]:
            return adam_l2, {**_moments(group), "weight_decay": group["weight_decay"]}
        return adam, _moments(group)


class AdamW(FormulaOptimizer):
    """``adamw``. As ``torch.optim.AdamW``, without its ``amsgrad``."""

    kept_as: ClassVar = _MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **modes: Any,
    ) -> None:
        super().__init__(params, modes, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        refuse(group, "AdamW", "amsgrad")
        return adamw, {**_moments(group), "weight_decay": group["weight_decay"]}


class NAdam(FormulaOptimizer):
    """``nadam``. As ``torch.optim.NAdam``, without its decoupled decay."""

    kept_as: ClassVar = {**_MOMENTS, "mu_product": "mu_product"}

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **modes: Any,
    ) -> None:
        super().__init__(
            params,
            modes,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        refuse(group, "NAdam", "decoupled_weight_decay")
        return nadam, {**_moments(group), "psi": group["momentum_decay"]}


class Yogi(FormulaOptimizer):
    """``yogi``, with the arguments of ``Adam`` and optax's defaults."""

    kept_as: ClassVar = _MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        **modes: Any,
    ) -> None:
        super().__init__(params, modes, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        return yogi, _moments(group)
