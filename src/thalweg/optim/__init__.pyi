# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.optim._stub`` from the declarations in `_classes`."""

from collections.abc import Sequence

from torch import Tensor

from thalweg.optim._base import FormulaOptimizer, Params
from thalweg.optim._groups import groups as groups
from thalweg.optim._technique import Optimizer as Optimizer
from thalweg.technique import Choice, Ingredient, LogUniform, Uniform

CATALOGUE: dict[str, Optimizer]

class _adabelief(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-16,
    ) -> Ingredient: ...

adabelief: _adabelief

class _adadelta(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 1.0,
        rho: float | Uniform | LogUniform | Choice = 0.9,
        eps: float | Uniform | LogUniform | Choice = 1e-06,
    ) -> Ingredient: ...

adadelta: _adadelta

class _adafactor(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        decay: float | Uniform | LogUniform | Choice = 0.8,
        eps1: float | Uniform | LogUniform | Choice | None = None,
        eps2: float | Uniform | LogUniform | Choice = 0.001,
        d: float | Uniform | LogUniform | Choice = 1.0,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

adafactor: _adafactor

class _adafactor_unfactored(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        decay: float | Uniform | LogUniform | Choice = 0.8,
        eps1: float | Uniform | LogUniform | Choice | None = None,
        eps2: float | Uniform | LogUniform | Choice = 0.001,
        d: float | Uniform | LogUniform | Choice = 1.0,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

adafactor_unfactored: _adafactor_unfactored

class _adagrad(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        eps: float | Uniform | LogUniform | Choice = 1e-10,
        lr_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

adagrad: _adagrad

class _adam(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

adam: _adam

class _adam_l2(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

adam_l2: _adam_l2

class _adam_uncorrected(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

adam_uncorrected: _adam_uncorrected

class _adamax(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.002,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

adamax: _adamax

class _adamw(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

adamw: _adamw

class _adan(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.98,
        beta2: float | Uniform | LogUniform | Choice = 0.92,
        beta3: float | Uniform | LogUniform | Choice = 0.99,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

adan: _adan

class _amsgrad(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

amsgrad: _amsgrad

class _amsgradw(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

amsgradw: _amsgradw

class _lamb(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-06,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

lamb: _lamb

class _lars(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 1.0,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0005,
        trust: float | Uniform | LogUniform | Choice = 0.001,
    ) -> Ingredient: ...

lars: _lars

class _lion(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.0001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.99,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

lion: _lion

class _momentum(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

momentum: _momentum

class _momentum_dampened(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
        dampening: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

momentum_dampened: _momentum_dampened

class _muon(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        momentum: float | Uniform | LogUniform | Choice = 0.95,
        weight_decay: float | Uniform | LogUniform | Choice = 0.1,
        eps: float | Uniform | LogUniform | Choice = 1e-07,
        steps: int | Uniform | LogUniform | Choice = 5,
    ) -> Ingredient: ...

muon: _muon

class _muon_matched(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        momentum: float | Uniform | LogUniform | Choice = 0.95,
        weight_decay: float | Uniform | LogUniform | Choice = 0.1,
        eps: float | Uniform | LogUniform | Choice = 1e-07,
        steps: int | Uniform | LogUniform | Choice = 5,
    ) -> Ingredient: ...

muon_matched: _muon_matched

class _nadam(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.002,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        psi: float | Uniform | LogUniform | Choice = 0.004,
    ) -> Ingredient: ...

nadam: _nadam

class _nadamw(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.002,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        psi: float | Uniform | LogUniform | Choice = 0.004,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

nadamw: _nadamw

class _nesterov(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

nesterov: _nesterov

class _prodigy(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 1.0,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
        d0: float | Uniform | LogUniform | Choice = 1e-06,
    ) -> Ingredient: ...

prodigy: _prodigy

class _radam(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

radam: _radam

class _radamw(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Ingredient: ...

radamw: _radamw

class _rmsprop(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        beta: float | Uniform | LogUniform | Choice = 0.99,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

rmsprop: _rmsprop

class _rmsprop_centered(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.01,
        beta: float | Uniform | LogUniform | Choice = 0.99,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
    ) -> Ingredient: ...

rmsprop_centered: _rmsprop_centered

class _rmsprop_centered_momentum(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta: float | Uniform | LogUniform | Choice = 0.99,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

rmsprop_centered_momentum: _rmsprop_centered_momentum

class _rmsprop_momentum(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta: float | Uniform | LogUniform | Choice = 0.99,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        momentum: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

rmsprop_momentum: _rmsprop_momentum

class _schedule_free_adamw(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.0025,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Ingredient: ...

schedule_free_adamw: _schedule_free_adamw

class _schedule_free_sgd(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 1.0,
        beta: float | Uniform | LogUniform | Choice = 0.9,
    ) -> Ingredient: ...

schedule_free_sgd: _schedule_free_sgd

class _sgd(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
    ) -> Ingredient: ...

sgd: _sgd

class _soap(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.003,
        beta1: float | Uniform | LogUniform | Choice = 0.95,
        beta2: float | Uniform | LogUniform | Choice = 0.95,
        eps: float | Uniform | LogUniform | Choice = 1e-08,
        weight_decay: float | Uniform | LogUniform | Choice = 0.01,
        precondition_frequency: int | Uniform | LogUniform | Choice = 10,
    ) -> Ingredient: ...

soap: _soap

class _yogi(Optimizer):
    def __call__(
        self,
        *,
        lr: float | Uniform | LogUniform | Choice = 0.001,
        beta1: float | Uniform | LogUniform | Choice = 0.9,
        beta2: float | Uniform | LogUniform | Choice = 0.999,
        eps: float | Uniform | LogUniform | Choice = 0.001,
    ) -> Ingredient: ...

yogi: _yogi

class AdaBelief(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adadelta(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adafactor(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.01,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 0.001),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class AdafactorUnfactored(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.01,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 0.001),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adagrad(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adam(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class AdamUncorrected(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class AdamW(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adamax(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Adan(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class LAMB(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-06,
        weight_decay: float = 0.01,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class LARS(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        trust: float = 0.001,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Lion(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Muon(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-07,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class NAdam(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Prodigy(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        d0: float = 1e-06,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class RAdam(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class RMSprop(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class SGD(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class SOAP(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.003,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        precondition_frequency: int = 10,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class ScheduleFreeAdamW(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class ScheduleFreeSGD(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        beta: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...

class Yogi(FormulaOptimizer):
    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 0.001,
        weight_decay: float = 0.0,
        *,
        maximize: bool = ...,
        foreach: bool | None = ...,
        fused: bool | None = ...,
        capturable: bool = ...,
        differentiable: bool = ...,
        executor: str | None = ...,
    ) -> None: ...
