"""Made by ``python -m thalweg.optim._stub`` from the declarations in `_classes`."""

from torch import Tensor

from thalweg.optim._base import FormulaOptimizer, Params
from thalweg.optim._technique import Optimizer as Optimizer

CATALOGUE: dict[str, Optimizer]

adadelta: Optimizer
adagrad: Optimizer
adam: Optimizer
adam_l2: Optimizer
adam_uncorrected: Optimizer
adamw: Optimizer
amsgrad: Optimizer
momentum: Optimizer
nadam: Optimizer
nesterov: Optimizer
rmsprop: Optimizer
sgd: Optimizer
yogi: Optimizer

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
