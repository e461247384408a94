"""Data of every accepted form become the same examples; all others are refused with thing, place and remedy."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from tiny import classes, linear, numbers, tiny, words, x
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import thalweg as tw
from thalweg import InputError, Task, accuracy
from thalweg.errors import is_memory
from thalweg.task import apply

NAN = float("nan")


class Map:
    """A map-style dataset that is nothing but one."""

    def __init__(self, inputs=x, targets=classes):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return self.inputs[i], self.targets[i]


class Changing(Map):
    """Its length is another after its first examples were read; beyond it there is nothing."""

    def __init__(self, to):
        super().__init__()
        self.to, self.asked = to, 0

    def __len__(self):
        return len(self.targets) if self.asked < 8 else self.to

    def __getitem__(self, i):
        self.asked += 1
        if i >= len(self):
            raise IndexError(i)
        return super().__getitem__(i)


class TooMany(Map):
    """Examples that memory has no room for, one or all of them."""

    def __init__(self, alone):
        super().__init__()
        self.alone = alone

    def __getitem__(self, i):
        return torch.empty(2**58) if self.alone else torch.empty(1).expand(2**52), 0


class Proper(Map, Dataset):
    pass


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Map())


class Broken(Map):
    def __getitem__(self, i):
        if i == 7:
            raise OSError("disk on fire")
        return super().__getitem__(i)


Pair = namedtuple("Pair", ["inputs", "targets"])

FORMS = {
    "tensors": (x, classes),
    "arrays": (x.numpy(), classes.numpy()),
    "doubles": (x.double().numpy(), classes.numpy()),
    "lists": [x.tolist(), classes.tolist()],
    "an array that cannot be written": (np.broadcast_to(x.numpy(), (60, 4)), classes.numpy()),
    "a named pair": Pair(x, classes),
    "with a gradient": (x.clone().requires_grad_(), classes),
    "small integers": (x, classes.to(torch.uint8)),
    "Fortran's order": (np.asfortranarray(x.numpy()), classes.numpy().astype(np.int32)),
    "a dataset": Proper(),
    "anything with len and items": Map(),
    "items of arrays": Map(x.numpy(), classes.numpy()),
    "items of plain numbers": Map(x, classes.tolist()),
    "tensors in a dataset": TensorDataset(x, classes),
    "subsets put together": ConcatDataset([Subset(Map(), range(25)), Subset(Map(), range(25, 60))]),
    "a list of examples": list(zip(x, classes, strict=True)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_forms_of_data_become_the_same_examples(form):
    task, plain = tiny(data=form), tiny()
    for part, expected in zip(
        (task.train, task.valid, task.test), (plain.train, plain.valid, plain.test), strict=True
    ):
        assert (part.inputs.dtype, part.targets.dtype) == (torch.float32, torch.int64)
        assert not part.inputs.requires_grad
        assert torch.equal(part.inputs, expected.inputs)
        assert torch.equal(part.targets, expected.targets)


SEVERAL = {
    "a tuple": ((x, words), classes),
    "a tuple of arrays": ((x.numpy(), words.numpy()), classes),
    "a dict": ({"a": x, "b": words}, classes),
    "a dataset of tuples": Map(list(zip(x, words, strict=True))),
    "a dataset of dicts": Map([{"a": a, "b": b} for a, b in zip(x, words, strict=True)]),
}


@pytest.mark.parametrize("form", SEVERAL.values(), ids=SEVERAL)
def test_several_inputs_reach_the_model_as_its_arguments(form):
    part = tiny(data=form).train
    seen = apply(lambda a, b: (a, b), part.inputs)
    assert [(tuple(value.shape), value.dtype) for value in seen] == [((36, 4), torch.float32), ((36, 4), torch.int64)]
    rows = part.at(torch.tensor([[3, 1], [0, 2]]))
    assert rows.targets.shape == (2, 2)
    assert torch.equal(apply(lambda a, b: b, rows.inputs)[0, 1], seen[1][1])


def test_three_splits_are_kept_as_given():
    rows = (slice(0, 30), slice(30, 40), slice(40, 60))
    parts = [(x[part], classes[part]) for part in rows]
    parts[2] = Map(x[40:], classes[40:])
    task = tiny(data=None, **dict(zip(("train", "valid", "test"), parts, strict=True)))
    for part, given in zip((task.train, task.valid, task.test), rows, strict=True):
        assert torch.equal(part.inputs, x[given])
        assert torch.equal(part.targets, classes[given])
    assert repr(task) == "<Task task: 30 train, 10 valid, 20 test, accuracy>"


def test_examples_take_the_tasks_type_where_they_have_fractions():
    task = tiny(data=({"a": x, "b": words}, numbers), dtype=torch.float64)
    assert [task.train.inputs["a"].dtype, task.train.inputs["b"].dtype] == [torch.float64, torch.int64]
    assert task.train.targets.dtype == task.model(0).weight.dtype == torch.float64


def with_value(tensor, row, value):
    changed = tensor.clone()
    changed[row] = value
    return changed


ODD = np.ma.masked_array(x.numpy(), x.numpy() > 2)

BAD = [
    # values
    ((with_value(x, (7, 2), NAN), classes), "data: the input of example 7 is NaN or infinite; drop it or fill it in"),
    ((x, with_value(numbers, 5, NAN)), "data: the target of example 5 is NaN or infinite; drop it"),
    ((x, with_value(numbers, 5, -float("inf"))), "the target of example 5 is NaN or infinite"),
    (({"a": x, "b": with_value(x, 9, NAN)}, classes), "data: input 'b' of example 9 is NaN"),
    (((x, with_value(x, 9, NAN)), classes), "data: input 1 of example 9 is NaN"),
    (Map(with_value(x, 3, NAN)), "data: the input of example 3 is NaN"),
    ((with_value(x.double(), (4, 0), 1e300), classes), "input of example 4 is too large for float32; scale it"),
    ((ODD, classes), "data: the input has masked values; fill them in"),
    # kinds
    ((np.array(["a"] * 60), classes), "data: the input is text, not numbers"),
    ((x, ["cat", "dog"] * 30), "data: the target is text, not numbers; write quantities as floats, and classes as 0"),
    ((x, np.array([None] * 60)), "the target is Python objects, not numbers"),
    ((np.array(["2020-01-01"] * 60, "M8[D]"), classes), "the input is dates, not numbers"),
    ((x.to_sparse(), classes), r"the input is a sparse tensor; call its to_dense\(\)"),
    ((x, classes.to(torch.uint16)), "the target is uint16, .* convert it to int64"),
    ((x.numpy()[::-1], classes), "the input cannot be made a tensor: ValueError: .* negative"),
    (([[1.0, 2.0], [3.0]] * 30, classes), "the input cannot be made a tensor: ValueError"),
    ((x.to("meta"), classes), "the input cannot be made a tensor: NotImplementedError"),
    # lengths
    (
        (x[:50], classes),
        r"data: lengths differ \(inputs 50, targets 60\); the first axis of each counts the examples",
    ),
    (((x, x[:9]), classes), r"data: lengths differ \(input 0 60, input 1 9, targets 60\)"),
    (({"a": x[:9]}, classes), r"data: lengths differ \(input 'a' 9, targets 60\)"),
    ((x, torch.tensor(1)), "targets one number alone"),
    (((), classes), "data has no inputs, only targets"),
    ((x[:0], classes[:0]), "data is empty; there is nothing to learn from"),
    ([], "data is empty"),
    (Map(x[:0], classes[:0]), "data is empty"),
    # forms
    (x, r"data= takes a pair \(inputs, targets\) or a map-style dataset, not a Tensor"),
    ((x, words, classes), r"not 3 tensors; several inputs go into a tuple of their own: \(\(a, b\), targets\)"),
    (x.numpy(), "not a ndarray"),
    ({"x": x, "y": classes}, "not a dict"),
    ("digits.csv", "not a str"),
    (3, "not a int"),
    (iter(Map()), "not a iterator"),
    (DataLoader(Map()), "not a DataLoader; give the loader's dataset"),
    (Stream(), "not the IterableDataset Stream; collect its examples in a list"),
    # datasets
    (TensorDataset(x), r"data: example 0 is not a pair \(input, target\) but a tuple of 1"),
    (TensorDataset(x, words, classes), "example 0 is not a pair .* but a tuple of 3"),
    ([*[*Map()][:9], {"x": 1}], "example 9 is not a pair .* but a dict"),
    (Changing(3), "data changed its length while it was read, from 60 to 3 examples"),
    (Changing(65), "data changed its length while it was read, from 60 to 65 examples"),
    (Broken(), "data: example 7 cannot be read: OSError: disk on fire"),
    (Map([x[0]] * 59 + [x[0, :3]]), "data: examples cannot be stacked, they must have one shape and type"),
    (Map(["text"] * 60), "data: examples cannot be stacked, they are str and Tensor; make them tensors or numbers"),
    (Map([object()] * 60), "data: examples cannot be stacked"),
    # classes
    ((x, torch.ones(60).long()), r"all targets of train are of one class \(1\); there is nothing to learn"),
    ((x, with_value(classes, 0, 9)), "class 9 has 1 example, .* or make the targets floats if they are quantities"),
    ((x[:2], numbers[:2]), "there are 2 examples to split"),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_unfit_data_are_refused_with_thing_place_and_remedy(data, message):
    with pytest.raises(InputError, match=message) as caught:
        tiny(data=data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alone", [True, False])
def test_examples_that_memory_has_no_room_for_are_not_said_to_be_unfit(alone):
    with pytest.raises(RuntimeError) as caught:
        tiny(data=TooMany(alone))
    assert is_memory(caught.value)


WHOLE = (x, classes)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "give either data=, to be split, or train=, valid= and test=, all three"),
        ({"data": WHOLE, "test": WHOLE}, "give either data=, .* or train="),
        ({"train": WHOLE, "valid": WHOLE}, "train=, valid= and test=, all three"),
        (
            {"train": WHOLE, "valid": (x[:, :3], classes), "test": WHOLE},
            r"inputs in valid differ .* \(3,\), .* \(4,\)",
        ),
        ({"train": WHOLE, "valid": WHOLE, "test": (x, numbers)}, "targets in test differ from train's: float32"),
        (
            {"train": WHOLE, "valid": ((x, x), classes), "test": WHOLE},
            "valid has input 0, input 1, targets, and train",
        ),
        ({"train": WHOLE, "valid": WHOLE, "test": (x[:0], classes[:0])}, "test is empty"),
        ({"train": WHOLE, "valid": (with_value(x, 1, NAN), classes), "test": WHOLE}, "valid: the input of example 1"),
        ({"train": (x, 0 * classes), "valid": WHOLE, "test": WHOLE}, r"targets of train are of one class \(0\)"),
        ({"train": WHOLE, "valid": x, "test": WHOLE}, r"valid= takes a pair"),
    ],
)
def test_splits_that_do_not_fit_together_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        tiny(**{"data": None, **parts})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": linear()}, "model= takes a function that makes a fresh module"),
        ({"model": "mlp"}, "model= takes a function"),
        ({"loss": torch.nn.MSELoss}, r"make one of it: MSELoss\(\)"),
        ({"loss": "mse"}, r"loss= takes a function \(output, targets\) -> scalar, not str"),
        ({"metric": "accuracy"}, "metric= takes thalweg.accuracy, .* not str"),
        ({"metric": lambda output, y: 0}, r"or Metric\(name, outcomes, higher_is_better\), not function"),
        ({"dtype": torch.int64}, "dtype= takes a type of numbers with fractions, .* not torch.int64"),
        ({"dtype": "float32"}, "dtype= takes a type of numbers with fractions"),
        ({"splits": (0.5, 0.5)}, "splits takes three shares"),
        ({"data": (words, classes), "standardize": True}, "takes inputs with fractions, not integers"),
        ({"data": ((x, x), classes), "standardize": True}, "takes one input tensor; standardize several yourself"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        tiny(**change)


def fails():
    raise KeyError("width")


class Complex(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("turn", torch.tensor([1j]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (fails, "the model of task task could not be made: KeyError: 'width'"),
        (torch.nn.Linear, "could not be made: TypeError: .* missing 2 required"),
        (lambda: 3, "the model of task task is a int, not an nn.Module"),
        (Complex, "has complex numbers in turn; keep real and imaginary parts side by side"),
    ],
)
def test_a_factory_that_makes_no_model_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        tiny(model=model).model(0)


def test_models_are_a_function_of_their_seed():
    task = tiny(model=lambda: torch.nn.Linear(np.random.randint(2, 5000), 1))  # noqa: NPY002
    assert task.model(3).in_features == task.model(3).in_features != task.model(4).in_features
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(task.model(3).weight, task.model(3).weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_metric_is_what_is_given():
    assert tiny(metric=tw.squared_error).metric is tw.squared_error


def test_a_loss_with_parameters_of_its_own_is_refused():
    """No run would train them, and the comparison would be of something else than it seems."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

        def forward(self, output, targets):
            return nn.functional.cross_entropy(output * self.scale, targets)

    with pytest.raises(InputError, match="the loss Scaled has parameters, which no run would train; make them part"):
        Task(model=lambda: nn.Linear(3, 2), data=(torch.randn(30, 3), torch.arange(30) % 2), loss=Scaled(),
             metric=accuracy)  # fmt: skip
