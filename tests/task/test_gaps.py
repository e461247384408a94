"""Missing values of a CSV file are filled in or left out as asked, and all of them are named where it is not said."""

import numpy as np
import pytest
import torch
from test_tabular import PRICES, SIZES, UNSEEN, changed, load, table  # noqa: F401

from thalweg import InputError
from thalweg.task import fingerprint
from thalweg.task.gaps import is_gap
from thalweg.task.loading import task_of

COLOURS = ["red", "green", "blue"] * 20
SEEN = sorted(set(range(60)) - set(UNSEEN.tolist()))
"""The rows of train."""


def row(i):
    """Return what the file calls a row."""
    return f"row_{i + 2}"


def values(task):
    """Return each input by its name, of train."""
    return dict(zip(task.features, task.train.inputs.T, strict=True))


@pytest.mark.parametrize("mark", ["", "NA", "na", "N/A", "nan", "NaN", "NULL", "null", "?", " "])
@pytest.mark.parametrize("column", [{"size": SIZES}, {"colour": COLOURS}, {"price": PRICES}])
def test_a_mark_is_a_missing_value_in_every_kind_of_column(load, mark, column):  # noqa: F811
    ((name, given),) = column.items()
    with pytest.raises(InputError, match=f"houses.csv has missing values: 1 in {name} "):
        load(table(**{name: changed(given, row_9=mark)}))
    assert is_gap(mark.strip())


def test_missing_numbers_are_the_median_of_train_and_an_input_says_where(load):  # noqa: F811
    gaps = [SEEN[3], SEEN[20], int(UNSEEN[0])]
    task = load(table(size=changed(SIZES, **{row(i): "NA" for i in gaps})), missing="fill")
    found = values(task)
    assert list(found) == ["size", "size is missing", "colour=blue", "colour=green", "colour=red"]
    assert found["size is missing"].nonzero().flatten().tolist() == [3, 20]
    known = [SIZES[i] for i in SEEN if i not in gaps]
    whole = np.array([np.median(known) if i in gaps else SIZES[i] for i in SEEN])
    assert found["size"].numpy() == pytest.approx((whole - whole.mean()) / whole.std(), abs=1e-5)
    assert task.note.endswith("; missing values are filled in: 3 in size")


def test_no_input_says_where_a_number_is_missing_that_is_never_so_in_train(load):  # noqa: F811
    task = load(table(size=changed(SIZES, **{row(int(UNSEEN[0])): ""})), missing="fill")
    assert task.features == ("size", "colour=blue", "colour=green", "colour=red")


def test_a_missing_category_is_one_of_its_own_whatever_its_mark(load):  # noqa: F811
    gaps = {row(SEEN[0]): "NA", row(SEEN[1]): "", row(SEEN[2]): "null"}
    found = values(load(table(colour=changed(COLOURS, **gaps)), missing="fill"))
    assert list(found) == ["size", "colour is missing", "colour=blue", "colour=green", "colour=red"]
    assert found["colour is missing"].nonzero().flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize("missing", ["fill", "drop"])
def test_rows_without_a_target_are_left_out(load, missing):  # noqa: F811
    task = load(table(price=changed(PRICES, row_9="", row_30="NA")), missing=missing)
    assert len(task.train) + len(task.valid) + len(task.test) == 58
    assert "2 of 60 rows are left out where" in task.note
    fewer = load([line for i, line in enumerate(table(), 1) if i not in (9, 30)])
    assert torch.equal(task.train.inputs, fewer.train.inputs)


def test_rows_with_a_gap_are_left_out(load):  # noqa: F811
    spoilt = table(size=changed(SIZES, row_9=""), colour=changed(COLOURS, row_9="NA", row_40="?"))
    task = load(spoilt, missing="drop")
    assert len(task.train) + len(task.valid) + len(task.test) == 58
    assert task.note.endswith("2 of 60 rows are left out where values are missing (1 in size, 2 in colour)")


def test_what_is_wrong_further_down_keeps_its_row(load):  # noqa: F811
    with pytest.raises(InputError, match='row 30, column "size", is "big"'):
        load(table(size=changed(SIZES, row_9="", row_30="big")), missing="drop")


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"size": changed(SIZES, row_9="")}, {"missing": "fil"}, 'missing values: "fil"; did you mean "fill"'),
        ({"size": [""] * 55 + [1, 2, 3, 4, 5]}, {"missing": "drop"}, "has 5 rows without missing values"),
        (
            {"size": ["NA" if i in SEEN else i for i in range(60)]},
            {"missing": "fill"},
            'column "size" of houses.csv has no value in the training rows',
        ),
    ],
)
def test_what_cannot_be_filled_or_left_out_is_said(load, columns, options, message):  # noqa: F811
    with pytest.raises(InputError, match=message):
        load(table(**columns), **options)


def test_how_gaps_are_taken_is_recorded_and_part_of_the_data(load):  # noqa: F811
    spoilt = table(size=changed(SIZES, row_9="", row_30="NA"))
    filled, left = (load(spoilt, missing=missing) for missing in ("fill", "drop"))
    again = task_of(filled.origin.file, filled.origin.expression)
    assert "missing='fill'" in filled.origin.expression
    assert fingerprint(again) == fingerprint(filled)
    assert fingerprint(filled)["data"] != fingerprint(left)["data"]


def test_texts_without_a_text_are_left_out(load):  # noqa: F811
    reviews = [f"a {word} film number {i}" for i in range(30) for word in ("good", "bad")]
    content = [["review", "label"], *([text, "yn"[i % 2]] for i, text in enumerate(reviews))]
    content[5][0] = "N/A"
    task = load(content, target="label", missing="fill")
    assert len(task.texts) == len(task.train)
    assert "1 of 60 rows are left out where values are missing (1 in review)" in task.note
