"""What recipes are applied to."""

from thalweg.task.check import check
from thalweg.task.fingerprint import fingerprint
from thalweg.task.loading import builtin_tasks, load_task
from thalweg.task.metric import Metric, absolute_error, accuracy, balanced_accuracy, squared_error
from thalweg.task.reading import Split, apply
from thalweg.task.splits import split, standardize
from thalweg.task.task import Origin, Task

__all__ = [
    "Metric", "Origin", "Split", "Task", "absolute_error", "accuracy", "apply", "balanced_accuracy",
    "builtin_tasks", "check", "fingerprint", "load_task", "split", "squared_error", "standardize",
]  # fmt: skip
