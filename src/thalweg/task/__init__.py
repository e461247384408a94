"""What recipes are applied to."""

from thalweg.task.metric import Metric, absolute_error, accuracy, squared_error
from thalweg.task.task import Origin, Split, Task

__all__ = ["Metric", "Origin", "Split", "Task", "absolute_error", "accuracy", "squared_error"]
