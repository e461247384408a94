"""Arrays in an .npz file become tasks, by their names and shapes."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

from thalweg import InputError, load_task
from thalweg.task import check

PIXELS, LABELS = load_digits(return_X_y=True)
PIXELS = PIXELS.reshape(-1, 8, 8)[:200]
LABELS = LABELS[:200]
LEVELS = np.rint(PIXELS * 255 / 16).astype(np.uint8)
COLOURS = np.stack([LEVELS, 255 - LEVELS, LEVELS // 2], -1)


@pytest.fixture
def load(tmp_path):
    """Save arrays, and load them as a task."""

    def make(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return load_task(tmp_path / "data.npz")

    return make


def inputs_by_label(task):
    return {i: task.train.inputs[task.train.targets == i] for i in task.train.targets.unique().tolist()}


@pytest.mark.parametrize(
    ("x", "y"), [("x", "y"), ("X", "Y"), ("images", "labels"), ("data", "target"), ("features", "targets")]
)
def test_inputs_and_targets_are_known_by_their_names(load, x, y):
    task = load(**{x: LEVELS, y: LABELS, "writers": np.arange(7)})
    assert task.name == "data"
    assert task.train.inputs.shape[1:] == (1, 8, 8)
    assert (len(task.train) + len(task.valid) + len(task.test), task.train.inputs.dtype) == (200, torch.float32)
    assert task.note == "10 classes (0, 1, 2, 3, 4, …); 200 pictures of 8 × 8"
    check(task)


@pytest.mark.parametrize(
    "images",
    [COLOURS, COLOURS.transpose(0, 3, 1, 2), COLOURS / 255, COLOURS.astype(np.uint16) * 257],
    ids=["last", "first", "floats", "16 bits"],
)
def test_channels_come_first_or_last_and_levels_in_every_form(load, images):
    task, plain = load(x=images, y=LABELS), load(x=COLOURS, y=LABELS)
    assert task.train.inputs.shape[1:] == (3, 8, 8)
    assert torch.allclose(task.train.inputs, plain.train.inputs, atol=1e-6)
    first = (task.train.inputs[0] * 255).round().to(torch.uint8).numpy().transpose(1, 2, 0)
    row = np.flatnonzero((first == COLOURS).all((1, 2, 3)))[0]
    assert LABELS[row] == task.train.targets[0]


def test_other_levels_become_0_to_1(load):
    task = load(x=PIXELS, y=LABELS)
    assert (task.train.inputs.min(), task.train.inputs.max()) == (0, 1)
    assert task.note.endswith("200 pictures of 8 × 8, whose levels of 0 to 16 became 0 to 1")
    assert torch.allclose(task.train.inputs * 16, (task.train.inputs * 16).round(), atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
def test_splits_that_are_given_are_kept_and_valid_comes_of_train(load, names):
    arrays = dict(zip(names, (LEVELS[:120], LABELS[:120, None], LEVELS[120:], LABELS[120:, None]), strict=True))
    task = load(**arrays)
    assert [len(task.train), len(task.valid), len(task.test)] == [91, 29, 80]
    assert task.test.targets.tolist() == LABELS[120:].tolist()
    valid = [name.replace("train", "val") for name in names[:2]]
    given = load(**arrays, **dict(zip(valid, (LEVELS[:50], LABELS[:50]), strict=True)))
    assert [len(given.train), len(given.valid), len(given.test)] == [120, 50, 80]
    assert given.valid.targets.tolist() == LABELS[:50].tolist()


def test_measurements_are_standardised(load):
    x, y = load_wine(return_X_y=True)
    task = load(x=x, y=y)
    assert task.train.inputs.shape == (106, 13)
    assert torch.allclose(task.train.inputs.mean(0), torch.zeros(13), atol=1e-5)
    assert torch.allclose(task.train.inputs.std(0, correction=0), torch.ones(13), atol=1e-5)
    assert task.metric.name == "accuracy"
    check(task)


def test_quantities_are_scaled_by_train_and_texts_are_classes(load):
    y = np.sqrt(np.arange(200))
    task = load(x=LEVELS, y=y)
    assert task.metric.name == "relative squared error"
    assert task.train.targets.mean().item() == pytest.approx(0, abs=1e-6)
    assert task.train.targets.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    check(task)
    named, plain = load(x=LEVELS, y=np.array(["zero", "one", "two"])[LABELS % 3]), load(x=LEVELS, y=LABELS % 3)
    assert named.note.startswith("3 classes (one, two, zero)")
    same = {"zero": 0, "one": 1, "two": 2}
    found = inputs_by_label(named)
    for i, name in enumerate(("one", "two", "zero")):
        assert len(found[i]) == len(inputs_by_label(plain)[same[name]])


def test_classes_count_from_0_whatever_they_are(load):
    task = load(x=LEVELS, y=LABELS * 10 - 3.0)
    assert sorted(task.train.targets.unique().tolist()) == list(range(10))


NAN = LEVELS / 255.0
NAN[3, 2, 2] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": LEVELS, "b": LABELS}, r"data.npz has a, b; call them x and y, images and labels, or x_train"),
        ({"x": LEVELS}, r"data.npz has x; call them x and y"),
        ({"x_train": LEVELS, "y_train": LABELS}, r"data.npz has x_train, y_train; call them x and y"),
        ({"x": LEVELS, "images": LEVELS, "y": LABELS}, r"data.npz has x and images, which say the same; keep one"),
        ({"x": LEVELS, "y": LABELS[:-1]}, r"data.npz: x has 200 examples, and y 199"),
        ({"x": LEVELS, "y": np.eye(10)[LABELS]}, r"y of data.npz has shape \(200, 10\); give one class or one"),
        ({"x": LEVELS[..., None, None], "y": LABELS}, r"x of data.npz has shape \(200, 8, 8, 1, 1\); pictures are"),
        ({"x": LEVELS[:0], "y": LABELS[:0]}, r"x of data.npz is empty: its shape is \(0, 8, 8\)"),
        ({"x": LEVELS.astype("U3"), "y": LABELS}, r"x of data.npz is of type <U3, and must hold numbers"),
        ({"x": LEVELS.astype(object), "y": LABELS}, r"data.npz cannot be read as .npz: it holds Python objects"),
        ({"x": LEVELS, "y": LABELS * 0}, r"all targets of data.npz are the same; there is nothing to learn"),
        ({"x": LEVELS, "y": np.full(200, np.nan)}, r"data.npz: the target of example 0 is NaN or infinite; drop it"),
        ({"x": NAN, "y": LABELS}, r"the input of example \d+ is NaN or infinite; drop it or fill it in"),
        ({"x": LEVELS[:2], "y": [0, 1]}, r"there are 2 examples to split; train, valid and test need one each"),
        (
            {"x_train": LEVELS, "y_train": LABELS, "x_test": LEVELS[:, 1:], "y_test": LABELS},
            r"the inputs of data.npz differ in shape between splits: \(1, 8, 8\) and \(1, 7, 8\)",
        ),
    ],
)  # fmt: skip
def test_what_is_no_task_is_said_so(load, arrays, message):
    with pytest.raises(InputError, match=message):
        load(**arrays)


def test_a_file_that_is_none_is_said_so(tmp_path):
    path = tmp_path / "data.npz"
    for content in (b"", b"PK\x03\x04 and no more", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"data.npz cannot be read as .npz: it is broken, or none; save arrays"):
            load_task(path)
    with path.open("wb") as file:
        np.save(file, LEVELS)
    with pytest.raises(InputError, match=r"data.npz holds one array without a name; save both with np.savez"):
        load_task(path)
    with pytest.raises(InputError, match=r"there is no file .*date.npz; did you mean .*data.npz\?"):
        load_task(tmp_path / "date.npz")
