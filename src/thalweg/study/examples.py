"""A task's examples as classical models see them: rows of numbers in, and outputs as the task's metric takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.study.classical import CLASSICAL
from thalweg.task import Task, absolute_error, squared_error
from thalweg.task.reading import WORDS, apply, are_classes, first_line

__all__ = ["Examples", "examples"]

LEAST = 1e-9
"""The least probability whose logarithm is taken."""


@dataclass(frozen=True)
class Examples:
    """What baselines are fitted on and judged by.

    Attributes:
        inputs: by split, shape ``(examples, features)``, dense or sparse.
        targets: by split: classes ``(examples,)``, or quantities, ``(examples,)`` or ``(examples, outputs)``.
        seen: how inputs became rows of numbers, in words.
        judged: ``(model, split) -> outcomes``, the metric of every example, float32; of a model of scikit-learn.
    """

    inputs: dict[str, Any]
    targets: dict[str, np.ndarray]
    seen: str
    judged: Callable[[Any, str], np.ndarray]

    @property
    def classes(self) -> bool:
        """Whether targets are classes."""
        return self.targets["train"].dtype.kind in "iub"


def examples(task: Task, names: list[str]) -> Examples:
    """Return a task's examples for baselines.

    Args:
        task: of one tensor of inputs an example: a row of numbers, an image, or tokens that the model looks up.
        names: of the baselines.

    Raises:
        InputError: inputs, targets or a metric that they cannot take.
    """
    parts = {word: getattr(task, word) for word in WORDS}
    targets = {word: _targets(task, part.targets) for word, part in parts.items()}
    classes = are_classes(task.train.targets)
    if not isinstance(task.train.inputs, Tensor):
        raise _unfit(task, "an example of it is made of several inputs, and they take one row of numbers")
    model = task.model(0).eval()
    few = task.train.at(torch.arange(min(4, len(task.train))))
    with torch.no_grad():
        output = apply(model, few.inputs)
    if not isinstance(output, Tensor) or output.is_complex():
        raise _unfit(task, "its model returns something else than one tensor of scores")
    inputs, seen = _inputs(task, {word: part.inputs for word, part in parts.items()}, model)
    shape = output.shape[1:]
    if classes and len(shape) > 1:
        raise _unfit(task, f"its model returns shape {tuple(shape)} for one class an example")
    if not classes and output.numel() != few.targets.numel():
        raise _unfit(task, f"its model returns shape {tuple(shape)} for targets {tuple(few.targets.shape[1:])}")
    unsure = [name for name in names if not CLASSICAL[name].probabilities]
    if classes and unsure and not _of_likeliest(task, shape):
        raise InputError(
            f"the baseline {unsure[0]} gives classes without probabilities, which the metric {task.metric.name} "
            "needs; leave it out"
        )

    def judged(made: Any, word: str) -> np.ndarray:
        scores = _scores(made, inputs[word], shape) if classes else made.predict(inputs[word])
        told = torch.as_tensor(np.asarray(scores)).to(task.dtype).reshape(len(parts[word]), *shape)
        found = task.metric.outcomes(told, parts[word].targets)
        return found.detach().reshape(-1).float().numpy()

    found = Examples(inputs, targets, seen, judged)
    try:
        judged(_Same(targets["train"]), "valid")
    except Exception as error:
        raise _unfit(task, f"its metric does not take what they say ({first_line(error)})") from error
    return found


def _of_likeliest(task: Task, shape: torch.Size) -> bool:
    """Return whether the metric asks for the likeliest class alone.

    It does if it judges shares drawn at random as it judges the class alone that has the largest of them.
    """
    targets = task.valid.targets
    made = _Random(int(max(part.targets.max() for part in (task.train, task.valid, task.test))) + 1)
    try:
        told = [_scores(model, targets, shape).reshape(len(targets), *shape) for model in (made, _Sure(made))]
        one, other = (task.metric.outcomes(torch.as_tensor(x).to(task.dtype), targets) for x in told)
    except Exception:
        return False
    return bool(torch.equal(one, other))


def _unfit(task: Task, why: str) -> InputError:
    return InputError(f"baselines cannot be had on the task {task.name}: {why}; leave --baselines out")


def _targets(task: Task, targets: Tensor) -> np.ndarray:
    if are_classes(targets):
        return targets.numpy()
    if targets.dim() > 2 or not targets.is_floating_point():
        raise _unfit(task, "its targets are sequences or structures, and they say one class or quantity an example")
    values = targets.numpy()
    whole = (squared_error.outcomes, absolute_error.outcomes)
    if task.metric.outcomes not in whole and np.isin(values, (0.0, 1.0)).all():
        raise _unfit(task, "its targets are zeros and ones with fractions, and they take classes as whole numbers")
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


# -- inputs --------------------------------------------------------------------------------------------


def _inputs(task: Task, parts: dict[str, Any], model: nn.Module) -> tuple[dict[str, Any], str]:
    """Return inputs as rows of numbers, and how they became such."""
    first = parts["train"]
    if first.is_complex():
        raise _unfit(task, "its inputs are complex numbers")
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    if first.is_floating_point() or not tables:
        flat = {word: x.reshape(len(x), -1).double().numpy() for word, x in parts.items()}
        size = flat["train"].shape[1]
        shape = " × ".join(map(str, first.shape[1:]))
        rows = f"{shape} flattened to {size} numbers" if first.dim() > 2 else f"{size} numbers"
        return flat, f"{rows}, with mean 0 and standard deviation 1 on it for all but trees"
    places = first.shape[-1]
    words = [table for table in tables if table.num_embeddings not in (places, places + 1)]  # those are of places
    if first.dim() != 2 or len(words) != 1:
        raise _unfit(task, "its inputs are whole numbers that its model looks up in several tables")
    padding = words[0].padding_idx if task.padding is None else task.padding
    return _bags(parts, words[0].num_embeddings, padding), "bags of tokens, weighted by tf-idf"


def _bags(parts: dict[str, Tensor], known: int, padding: Any) -> dict[str, Any]:
    """Return how often each token is in each example, weighted by how rare it is in train; rows of length 1."""
    from scipy.sparse import coo_array, csr_array
    from sklearn.feature_extraction.text import TfidfTransformer

    def counted(x: Tensor) -> Any:
        tokens = x.numpy().astype(np.int32)
        rows = np.repeat(np.arange(len(tokens), dtype=np.int32), tokens.shape[1])  # no wider: svm takes no others
        there = tokens.ravel() != padding if isinstance(padding, int) else np.ones(tokens.size, bool)
        places = (rows[there], tokens.ravel()[there])
        return csr_array(coo_array((np.ones(there.sum()), places), shape=(len(tokens), known)))

    weigh = TfidfTransformer(sublinear_tf=True).fit(counted(parts["train"]))
    return {word: weigh.transform(counted(x)) for word, x in parts.items()}


# -- outputs -------------------------------------------------------------------------------------------


def _scores(made: Any, inputs: Any, shape: torch.Size) -> np.ndarray:
    """Return log probabilities of classes as the task's model has scores; their log odds where it has one score."""
    known = np.asarray(made.classes_).astype(int)
    if hasattr(made, "predict_proba"):
        shares = np.asarray(made.predict_proba(inputs))
    else:
        shares = (np.asarray(made.predict(inputs))[:, None] == made.classes_).astype(float)
    logs = np.log(np.maximum(shares, LEAST))
    width = shape[0] if shape else 1
    if width == 1:
        whole = np.full((len(logs), 2), np.log(LEAST))
        whole[:, known] = logs
        odds: np.ndarray = whole[:, 1] - whole[:, 0]
        return odds
    whole = np.full((len(logs), width), np.log(LEAST))
    whole[:, known] = logs
    return whole


class _Random:
    """Says for each example other shares of the classes, drawn at random."""

    def __init__(self, classes: int) -> None:
        self.classes_ = np.arange(classes)

    def predict_proba(self, inputs: Any) -> np.ndarray:
        drawn = (Key(0) / "shares").generator().exponential(size=(len(inputs), len(self.classes_)))
        shares: np.ndarray = drawn / drawn.sum(1, keepdims=True)
        return shares


class _Sure:
    """Says the class alone of which another is surest."""

    def __init__(self, made: _Random) -> None:
        self.made, self.classes_ = made, made.classes_

    def predict(self, inputs: Any) -> np.ndarray:
        surest: np.ndarray = self.made.predict_proba(inputs).argmax(1)
        return surest


class _Same:
    """Says the same of every example: the shares of the classes, or the mean."""

    def __init__(self, targets: np.ndarray) -> None:
        self.targets = targets
        self.classes_, counts = np.unique(targets, return_counts=True)
        self.shares = counts / counts.sum()

    def predict_proba(self, inputs: Any) -> np.ndarray:
        return np.tile(self.shares, (inputs.shape[0], 1))

    def predict(self, inputs: Any) -> np.ndarray:
        same: np.ndarray = np.stack([self.targets.mean(0)] * inputs.shape[0])
        return same
