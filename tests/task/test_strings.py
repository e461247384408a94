"""Tasks of strings: they become numbers, stay with the training examples, and can be encoded again."""

import numpy as np
import pytest
import torch
from tiny import tiny
from torch import nn

from thalweg import InputError
from thalweg.task import fingerprint

STRINGS = [f"{'word ' * (1 + i % 5)}{'good' if i % 2 else 'bad'} {i}" for i in range(60)]
LABELS = [i % 2 for i in range(60)]


def encode(strings):
    """The lengths of a string's words."""
    return [[len(word) for word in string.split()] for string in strings]


def several(strings):
    """The same, with a mask, as tokenisers give it."""
    ids = encode(strings)
    return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}


def fixed(strings):
    """Two numbers a string, of one length."""
    return torch.tensor([[len(string), string.count("o")] for string in strings])


def texts(**changes):
    parts = {
        "model": lambda: nn.EmbeddingBag(64, 2), "data": (STRINGS, LABELS), "encode": encode, "padding": 0, **changes
    }  # fmt: skip
    return tiny(**parts)


def rows(inputs):
    return [[n for n in row if n] for row in inputs.tolist()]


def test_the_training_strings_are_those_of_the_training_examples():
    task = texts()
    assert len(task.texts) == len(task.train) == 36
    assert rows(task.train.inputs) == encode(task.texts)
    assert [int("good" in text) for text in task.texts] == task.train.targets.tolist()


def test_given_splits_keep_those_of_train():
    parts = {word: (STRINGS[i::3], LABELS[i::3]) for i, word in enumerate(("train", "valid", "test"))}
    task = texts(data=None, **parts)
    assert task.texts == tuple(STRINGS[::3])
    assert rows(task.test.inputs) == encode(STRINGS[2::3])


def test_strings_are_encoded_as_the_training_inputs_are():
    task = texts()
    assert torch.equal(task.encoded(task.texts), task.train.inputs)
    assert torch.equal(task.encoded(task.texts[5:6]), task.train.inputs[5:6])
    longest = task.train.inputs.shape[1]
    longer = task.encoded(["a " * (longest + 3), ""])
    assert longer.tolist() == [[1] * longest, [0] * longest]


def test_several_inputs_and_inputs_of_one_length_are_too():
    task = texts(encode=several, padding={"input_ids": 0, "attention_mask": 0})
    found = task.encoded(task.texts[:4])
    assert found.keys() == task.train.inputs.keys()
    assert all(torch.equal(x, task.train.inputs[name][:4]) for name, x in found.items())
    task = texts(encode=fixed, padding=None)
    assert torch.equal(task.encoded(task.texts), task.train.inputs)


def test_numpys_strings_are_strings():
    task = texts(data=(np.array(STRINGS), LABELS))
    assert task.texts == texts().texts
    assert {type(text) for text in task.texts} == {str}


def test_a_task_of_numbers_has_none():
    task = tiny()
    assert task.texts is None
    with pytest.raises(InputError, match="holds numbers and not strings"):
        task.encoded(["a"])


def test_the_fingerprint_sees_strings_that_make_the_same_numbers():
    task, other = texts(), texts(data=([text.replace("good", "fine") for text in STRINGS], LABELS))
    assert torch.equal(task.train.inputs, other.train.inputs)
    one, other = fingerprint(task), fingerprint(other)
    assert one == fingerprint(texts())
    assert one["data"] != other["data"]
    assert one["model"] == other["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ([*STRINGS[:3], 5, *STRINGS[4:]], LABELS)}, "data: text 3 is 5, of type int; texts are strings"),
        ({"data": ("one", LABELS)}, "data: the inputs are one string; give a list"),
        ({"data": STRINGS}, r"data= takes a pair \(strings, targets\)"),
        ({"data": (3, LABELS)}, "data: the inputs are of type int; give a list of strings"),
        ({"encode": "words"}, "encode= takes a function from a list of strings to inputs, not 'words'"),
        ({"encode": lambda strings: strings[0]["a"]}, "data: encode= cannot take the texts: TypeError: string ind"),
        ({"encode": lambda strings: encode(strings)[1:]}, "data: encode= makes 59 inputs of 60 texts; it must make"),
        ({"encode": lambda strings: strings}, "data: the input is text, not numbers"),
        ({"padding": None}, "data: the input is of another length in other examples; give the task padding="),
    ],
)
def test_what_cannot_be_used_is_said(changes, message):
    with pytest.raises(InputError, match=message):
        texts(**changes)
