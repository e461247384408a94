"""What recipes are applied to: a model factory, data in three splits, a loss and a metric."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError, spelt
from thalweg.key import Key
from thalweg.task.blank import filled
from thalweg.task.metric import Metric, balanced_accuracy
from thalweg.task.padding import checked, lengths, to_one_length
from thalweg.task.reading import WORDS, Inputs, Split, check_alike, first_line, read, scaled, split_rows
from thalweg.task.strings import encoded, in_numbers

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["Origin", "Task", "on_task"]


@dataclass(frozen=True)
class Origin:
    """Where a task comes from: what the user typed, the file that makes it, and the call that does.

    ``of_data`` says whether it is made of a user's file or folder of data, so that its metric can be asked for.
    """

    spec: str
    file: Path
    expression: str
    of_data: bool = False


@spelt
class Task:
    """A model factory, data in three splits, a loss and a metric.

    Args:
        model: makes a fresh module, taking no arguments; an ``nn.Module`` class or any function. It may draw
            its initial weights from torch's, numpy's or Python's global generators: they are seeded by key.
        data: all examples, to be split: a pair ``(inputs, targets)`` of tensors or arrays whose first axis
            counts the examples, or a map-style dataset of such pairs, read once. Inputs may also be a tuple
            or dict of tensors; with ``padding``, each may be a list of sequences.
        train, valid, test: the three splits, in the same forms, where you made them yourself.
        loss: ``(output, targets) -> scalar``, a mean over the batch: ``F.cross_entropy``, ``nn.MSELoss()``.
        metric: what recipes are judged by; `thalweg.accuracy`, `balanced_accuracy` of the classes, `squared_error`,
            `absolute_error`, or a `Metric` of your own.
        name: what reports call the task.
        splits: the shares of train, valid and test where ``data`` is given; stratified when targets
            are classes (integers, one an example).
        standardize: give inputs mean 0 and standard deviation 1, fitted on train alone; per feature for
            ``(N, features)``, per channel for ``(N, channels, …)``.
        padding: the number that fills up sequences of whole numbers along the second axis of inputs, 0 for most
            tokenisers: those that are too short are filled up to the longest. Where inputs differ in it, by name or
            place: ``{"input_ids": 1, "attention_mask": 0}``; what is not named is no sequence. Targets of one whole
            number a token are filled up with −100, which torch's cross entropy leaves out.
        encode: from a list of strings to inputs, where the data's inputs are strings: to a tensor of whole numbers,
            or with ``padding`` to a list of sequences, such as a tokeniser gives them. What it makes of a string must
            not depend on the others in the list. The task keeps the training strings as ``texts``.
        dtype: that of the model and of inputs with fractions.
        epochs, batch_size: what recipes say on this task where they say nothing.
        note: a sentence for whoever uses the task, such as how a target was understood.
        seed: of the splits.

    Raises:
        InputError: data that cannot be used (empty, NaN, ragged without ``padding``, lengths that differ, one class
            alone or one too rare to be in every split), or arguments that do not fit together.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import Task, accuracy
    >>> x = torch.randn(60, 4)
    >>> task = Task(model=lambda: nn.Linear(4, 2), data=(x, (x[:, 0] > 0).long()),
    ...             loss=nn.functional.cross_entropy, metric=accuracy)
    >>> len(task.train), len(task.valid), len(task.test)
    (36, 12, 12)

    Texts of different lengths, as a tokeniser gives them:

    >>> texts = [[5, 3], [2, 7, 7, 1], [4], [1, 2, 3]] * 15
    >>> task = Task(model=lambda: nn.EmbeddingBag(8, 2, padding_idx=0), data=(texts, [0, 1, 0, 1] * 15), padding=0,
    ...             loss=nn.functional.cross_entropy, metric=accuracy)
    >>> task.train.inputs[:2], task.lengths[:2]
    (tensor([[5, 3, 0, 0],
            [2, 7, 7, 1]]), tensor([2, 4]))

    The texts themselves, so that they can be augmented before they become numbers:

    >>> def encode(strings):
    ...     return [[len(word) for word in string.split()] for string in strings]
    >>> task = Task(model=lambda: nn.EmbeddingBag(16, 2, padding_idx=0), data=(["a bee", "no"] * 30, [0, 1] * 30),
    ...             encode=encode, padding=0, loss=nn.functional.cross_entropy, metric=accuracy)
    >>> task.texts[:2], task.train.inputs[:2].tolist(), task.encoded(["a new bee"]).tolist()
    (('a bee', 'no'), [[1, 3], [2, 0]], [[1, 3]])

    Attributes:
        texts: the strings of the training examples, in the order of ``train``; None without ``encode``.
        features, classes: what a file calls the numbers of an example's inputs, and the classes; else empty.
        constant: a file's columns that are no input, since they have one value in all of train.
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        loss: Callable[[Any, Tensor], Tensor],
        metric: Metric,
        data: Any = None,
        train: Any = None,
        valid: Any = None,
        test: Any = None,
        name: str = "task",
        splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
        standardize: bool = False,
        padding: Any = None,
        encode: Callable[[list[str]], Any] | None = None,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        epochs: int = 30,
        batch_size: int = 64,
        note: str = "",
    ) -> None:
        if not callable(model) or isinstance(model, nn.Module):
            raise InputError(
                "model= takes a function that makes a fresh module, such as the class itself "
                "or lambda: Net(10); a module made once would be trained on by every run"
            )
        if isinstance(loss, type):
            raise InputError(f"loss= takes a function (output, targets) -> scalar; make one of it: {loss.__name__}()")
        if not callable(loss):
            raise InputError(f"loss= takes a function (output, targets) -> scalar, not {type(loss).__name__}")
        if isinstance(loss, nn.Module) and any(p.requires_grad for p in loss.parameters()):
            raise InputError(
                f"the loss {type(loss).__name__} has parameters, which no run would train; "
                "make them part of the model, and the loss a function of its output"
            )
        if not isinstance(metric, Metric) and metric is balanced_accuracy:
            raise InputError(
                "metric=balanced_accuracy is to be given the classes of all examples: balanced_accuracy(y)"
            )
        if not isinstance(metric, Metric):
            raise InputError(
                "metric= takes thalweg.accuracy, balanced_accuracy(y), squared_error, absolute_error or "
                f"Metric(name, outcomes, higher_is_better), not {type(metric).__name__}"
            )
        if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise InputError(f"dtype= takes a type of numbers with fractions, such as torch.float64, not {dtype!r}")
        if encode is not None and not callable(encode):
            raise InputError(f"encode= takes a function from a list of strings to inputs, not {encode!r:.60}")
        self.padding = checked(padding)
        self.encode = encode
        self.name = name
        self.factory = model
        self.loss = loss
        self.metric = metric
        self.dtype = dtype
        self.splits = splits
        self.standardized = standardize
        self.seed = seed
        self.epochs = epochs
        self.batch_size = batch_size
        self.note = note
        self.origin: Origin | None = None
        self.features: tuple[str, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.constant: tuple[str, ...] = ()
        given = [part is not None for part in (train, valid, test)]
        if (data is not None) == any(given) or (any(given) and not all(given)):
            raise InputError("give either data=, to be split, or train=, valid= and test=, all three")
        self.texts: tuple[str, ...] | None = None
        if encode is not None:
            self.texts, data, train, valid, test = in_numbers(encode, data, train, valid, test)
        started = time.perf_counter()
        if data is not None:
            whole = read(data, "data", dtype, self.padding)
            rows = split_rows(whole, splits, seed)
            parts = [whole.at(torch.from_numpy(part)) for part in rows]
            self.texts = self.texts and tuple(self.texts[i] for i in rows[0])
        else:
            given_parts = zip((train, valid, test), WORDS, strict=True)
            parts = [read(part, word, dtype, self.padding) for part, word in given_parts]
        pairs = all(isinstance(x, tuple | list) and len(x) == 2 for x in (data, train, valid, test) if x is not None)
        # Of tensors, what it took is the first use of a library on a cold machine, and nothing of the data.
        self.seconds_to_read = 0.0 if pairs else time.perf_counter() - started
        if self.padding is not None:
            checked(self.padding, parts[0].inputs)
            parts = [Split(*part) for part in to_one_length([(x.inputs, x.targets) for x in parts], self.padding)]
        check_alike(parts)
        if standardize:
            parts = scaled(parts)
        self.train, self.valid, self.test = parts

    def model(self, seed: int) -> nn.Module:
        """Return a fresh module in ``dtype``, its initial weights keyed by ``seed``.

        Raises:
            InputError: the factory raised, or made something that is not a module of real numbers.
        """
        with (Key(seed) / "init").seeded(), filled():
            try:
                module = self.factory()
            except Exception as error:
                raise InputError(f"the model of task {self.name} could not be made: {first_line(error)}") from error
        if not isinstance(module, nn.Module):
            raise InputError(f"the model of task {self.name} is a {type(module).__name__}, not an nn.Module")
        for name, x in (*module.named_parameters(), *module.named_buffers()):
            if x.is_complex():  # whose imaginary part a conversion would drop
                raise InputError(
                    f"the model of task {self.name} has complex numbers in {name}; "
                    "keep real and imaginary parts side by side, as torch.view_as_real does"
                )
        return module.to(self.dtype)

    @cached_property
    def lengths(self) -> Tensor:
        """How long each training example is, int64, shape ``(N,)``: one past its last place that is not padding.

        Raises:
            InputError: the task has no ``padding``.
        """
        if self.padding is None:
            raise InputError(
                f"the task {self.name} does not say which of its inputs' numbers is padding; give it padding=, 0 for "
                "most tokenisers"
            )
        return lengths(self.train.inputs, self.padding)

    def encoded(self, strings: Sequence[str]) -> Inputs:
        """Return strings as inputs of the form and length of ``train.inputs``; longer ones are cut.

        Raises:
            InputError: the task has no ``encode``, or it cannot take them.
        """
        if self.encode is None:
            raise InputError(
                f"the task {self.name} holds numbers and not strings; give it strings, and encode=, a function from "
                "strings to numbers"
            )
        return encoded(self.encode, strings, self.train.inputs, self.padding)

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test"
        return f"<Task {self.name}: {sizes}, {self.metric.name}>"


def on_task(function: Function) -> Function:
    """Let a function whose first argument is a task refuse what is none, and arguments that it does not have."""

    def checked_first(task: Any, *positional: Any, **named: Any) -> Any:
        if not isinstance(task, Task):
            given = f'"{task}"' if isinstance(task, str) else f"a {type(task).__name__}"
            makes = f'load_task("{task}") makes one' if isinstance(task, str) else "load_task or Task makes one"
            raise InputError(f"{function.__name__} takes a task, not {given}: {makes}")
        return function(task, *positional, **named)

    return spelt(functools.update_wrapper(checked_first, function))  # type: ignore[return-value]
