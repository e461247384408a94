"""Sequences of different lengths become one tensor, with padding where it belongs; what does not fit is refused."""

import numpy as np
import pytest
import torch
from tiny import classes, numbers, tiny, words, x
from torch import nn

import thalweg as tw
from texts import task_of_tags, task_of_texts, texts
from thalweg import InputError
from thalweg.task import check, fingerprint

few, kinds = [[5, 3], [2, 7, 7, 1], [4], [1, 2, 3]] * 15, [0, 1, 0, 1] * 15
whole = torch.tensor([text + [0] * (4 - len(text)) for text in few])
mask = [[1] * len(text) for text in few]


class Rows:
    """A map-style dataset that is nothing but one."""

    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return self.inputs[i], self.targets[i]


def objects(lists):
    array = np.empty(len(lists), object)
    array[:] = lists
    return array


FORMS = {
    "lists": (few, kinds),
    "tensors": ([torch.tensor(text) for text in few], torch.tensor(kinds)),
    "small whole numbers": ([torch.tensor(text, dtype=torch.int32) for text in few], kinds),
    "arrays": ([np.array(text, np.uint16) for text in few], np.array(kinds)),
    "an array of lists": (objects(few), kinds),
    "a dataset of lists": Rows(few, kinds),
    "a dataset of tensors": Rows([torch.tensor(text) for text in few], torch.tensor(kinds)),
    "examples": list(zip(few, kinds, strict=True)),
    "filled up already": (whole, kinds),
}


def split_of(task):
    return task.train, task.valid, task.test


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_all_forms_of_sequences_become_the_same_examples(data):
    task, plain = tiny(data=data, padding=0), tiny(data=(whole, kinds))
    for part, expected in zip(split_of(task), split_of(plain), strict=True):
        assert part.inputs.dtype == part.targets.dtype == torch.int64
        assert torch.equal(part.inputs, expected.inputs)
        assert torch.equal(part.targets, expected.targets)
    assert task.lengths.tolist() == (task.train.inputs > 0).sum(1).tolist()


both = {"input_ids": few, "attention_mask": mask}
SEVERAL = {
    "a dict": (both, kinds),
    "a dataset of dicts": Rows(
        [dict(zip(both, pair, strict=True)) for pair in zip(*both.values(), strict=True)], kinds
    ),
    "a tuple": ((few, mask), kinds),
    "a dataset of tuples": Rows(list(zip(few, mask, strict=True)), kinds),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_each_input_is_filled_up_with_its_own_number(form):
    names = (0, 1) if "tuple" in form else tuple(both)
    task = tiny(data=SEVERAL[form], padding=dict(zip(names, (9, 0), strict=True)))
    ids, there = (task.train.inputs[name] for name in names)
    assert ((ids == 9) == (there == 0)).all()
    assert task.lengths.tolist() == there.sum(1).tolist()
    assert 1 in task.lengths
    assert 4 in task.lengths


def test_a_length_counts_inner_padding_and_every_input():
    first = torch.tensor([[7, 0, 7, 0], [0, 0, 0, 0], [7, 0, 0, 0]] * 20)
    second = torch.zeros(60, 4, 2, dtype=torch.int64)
    second[2::3, 3, 1] = 1
    parts = ((first, second), torch.arange(60) % 3)
    task = tiny(data=None, train=parts, valid=parts, test=parts, padding=0)
    assert task.lengths.tolist() == [3, 1, 4] * 20


def test_fractions_and_what_is_no_sequence_count_for_nothing():
    """They are filled up with the rest where they run along, and a column that is not named stays as it is."""
    size = [[len(text)] for text in few]
    scores = [[0.5] * len(text) for text in few]
    task = tiny(data=((few, scores, size), kinds), padding={0: 0, 1: 0})
    ids, own, sizes = task.train.inputs
    assert own.dtype == torch.float32
    assert ((own == 0) == (ids == 0)).all()
    assert task.lengths.tolist() == sizes[:, 0].tolist()


def test_targets_of_one_word_each_are_filled_up_with_what_cross_entropy_leaves_out():
    task = task_of_tags()
    assert ((task.train.targets == -100) == (task.train.inputs == 0)).all()
    check(task)


def test_splits_of_different_lengths_are_filled_up_to_the_longest_of_all():
    words, _ = texts()
    every = [[word % 2 for word in text] for text in words]
    short = [i for i, text in enumerate(words) if len(text) < 9]
    for targets in ([0, 1] * 80, every):
        parts = {"train": (words[1:], targets[1:]), "valid": ([words[i] for i in short], [targets[i] for i in short])}
        task = task_of_tags(data=None, **parts, test=(words, targets))
        assert [tuple(part.inputs.shape) for part in split_of(task)] == [(159, 40), (len(short), 40), (160, 40)]
        assert (task.valid.inputs[:, 9:] == 0).all()
        if targets is every:
            assert ((task.valid.targets == -100) == (task.valid.inputs == 0)).all()


def test_texts_of_no_word_have_one_place():
    task = tiny(data=([[]] * 60, kinds), padding=3)
    assert task.train.inputs.tolist() == [[3]] * 36
    assert set(task.lengths.tolist()) == {1}


def test_padding_is_part_of_what_identifies_a_task():
    plain, said, other = (fingerprint(tiny(data=(words, classes), model=bag, padding=p)) for p in (None, 0, 1))
    assert len({one["data"] for one in (plain, said, other)}) == 3
    assert plain["model"] == said["model"] == other["model"]


def bag():
    return nn.EmbeddingBag(10, 2)


DIFFER = "is of another length in other examples; give the task padding=, the number that fills up the shorter ones"

BAD = [
    # without padding
    ((few, kinds), None, f"data: the input {DIFFER}"),
    (([torch.tensor(text) for text in few], kinds), None, f"data: the input {DIFFER}"),
    ((objects(few), kinds), None, f"data: the input {DIFFER}"),
    (Rows(few, kinds), None, f"data: the input {DIFFER}"),
    (Rows([torch.tensor(text) for text in few], kinds), None, f"data: the input {DIFFER}"),
    (({"a": x, "b": few}, kinds), None, f"data: input 'b' {DIFFER}"),
    (Rows([{"a": a, "b": b} for a, b in zip(x, few, strict=True)], kinds), None, f"data: input 'b' {DIFFER}"),
    ((words, few), None, f"data: the target {DIFFER}"),
    ((both, kinds), {"input_ids": 0}, f"data: input 'attention_mask' {DIFFER}"),
    # what is no padding
    ((few, kinds), 0.5, "padding= takes a whole number, or one for each input such as .*, not 0.5"),
    ((few, kinds), True, "not True"),
    ((few, kinds), {}, "not {}"),
    ((both, kinds), {"input_ids": "0"}, "not {'input_ids': '0'}"),
    ((both, kinds), {"input_id": 0}, 'data: unknown input in padding= "input_id"; did you mean "input_ids"?'),
    ((both, kinds), 1, "padding=1 would fill up masks too; say it .* padding={'input_ids': 1, 'attention_mask': 0}"),
    ((x, kinds), 0, r"padding= is for inputs of whole numbers with a second axis; there is \(36, 4\) of float32"),
    ((torch.arange(60), kinds), 0, r"there is \(36,\) of int64"),
    ((whole.to(torch.uint8), kinds), 300, "padding=300 does not fit into uint8, its input's type"),
    # what cannot be filled up
    (([["a", "b"], ["c"]] * 30, kinds), 0, "data: there are sequences of something else than numbers; give"),
    (([[[1], [2, 3]], [[4]]] * 30, kinds), 0, "data: sequences cannot be filled up: ValueError: "),
    ((few, [[0.5] * len(text) for text in few]), 0, "data: targets with fractions differ in length; fill"),
    (
        Rows([{"a": few[0]}] * 59 + [{"b": few[0]}], kinds),
        0,
        r"data: example 59 has the inputs \['b'\], and example 0",
    ),
    ((few[:9], kinds), 0, r"data: lengths differ \(inputs 9, targets 60\)"),
]


@pytest.mark.parametrize(("data", "padding", "message"), BAD, ids=[message[:50] for *_, message in BAD])
def test_what_cannot_be_filled_up_is_refused_with_place_and_remedy(data, padding, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")) as caught:
        tiny(data=data, padding=padding)
    assert "\n" not in str(caught.value)


def test_targets_with_fractions_are_not_made_longer():
    part = {"train": (words, x), "test": (words, x), "valid": (words[:, :2], x[:, :2])}
    with pytest.raises(InputError, match="targets with fractions differ in length between splits; fill them up"):
        tiny(data=None, padding=0, **part)


def test_a_task_without_padding_knows_no_lengths():
    with pytest.raises(
        InputError, match="the task task does not say which of its inputs' numbers is padding; give it"
    ):
        tiny(data=(words, numbers)).lengths  # noqa: B018


def test_a_task_of_texts_passes_its_check():
    check(task_of_texts())
    assert isinstance(task_of_texts(), tw.Task)
