"""Made by ``python -m thalweg.optim._stub`` from the declarations in `_classes`."""

from torch import Tensor

from thalweg.optim._base import FormulaOptimizer, Params
from thalweg.optim._groups import groups as groups
from thalweg.optim._technique import Optimizer as Optimizer

CATALOGUE: dict[str, Optimizer]

adabelief: Optimizer
adadelta: Optimizer
adafactor: Optimizer
adafactor_unfactored: Optimizer
adagrad: Optimizer
adam: Optimizer
adam_l2: Optimizer
adam_uncorrected: Optimizer
adamw: Optimizer
adan: Optimizer
amsgrad: Optimizer
amsgradw: Optimizer
lamb: Optimizer
lars: Optimizer
lion: Optimizer
momentum: Optimizer
momentum_dampened: Optimizer
muon: Optimizer
muon_matched: Optimizer
nadam: Optimizer
nadamw: Optimizer
nesterov: Optimizer
prodigy: Optimizer
radam: Optimizer
radamw: Optimizer
rmsprop: Optimizer
rmsprop_centered: Optimizer
rmsprop_centered_momentum: Optimizer
rmsprop_momentum: Optimizer
schedule_free_adamw: Optimizer
schedule_free_sgd: Optimizer
sgd: Optimizer
soap: Optimizer
yogi: Optimizer

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
