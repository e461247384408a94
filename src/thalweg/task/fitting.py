"""What a loss takes of a model that puts out one thing in training and another in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from thalweg.errors import is_memory
from thalweg.task.reading import Split, apply

__all__ = ["output_for"]


def output_for(loss: Callable[[Any, Tensor], Any], module: nn.Module, few: Split) -> Any:
    """Return what a module puts out for some examples in evaluation, or where the loss cannot take that, in training.

    Auxiliary heads, such as Inception's, put out more in training; their loss may be for that alone.

    Args:
        loss: of the output and the targets.
        module: in the mode of what is returned afterwards.
        few: examples.
    """
    output = apply(module.eval(), few.inputs)
    try:
        loss(output, few.targets)
    except Exception as error:
        if is_memory(error):
            raise
        return apply(module.train(), few.inputs)
    return output
