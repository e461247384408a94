"""A CSV file becomes a task, and what is wrong in it is said with row, column and remedy."""

import csv
import io
import re

import numpy as np
import pytest
import torch

from thalweg import InputError, load_task, split
from thalweg.task import check

GENERATOR = np.random.default_rng(0)
SIZES, PRICES = GENERATOR.normal(size=60).round(3), GENERATOR.normal(size=60).round(3)
UNSEEN = np.concatenate(split(60, (0.6, 0.2, 0.2), seed=0)[1:])
"""The rows of valid and test, where price is a quantity."""


def table(**columns):
    """Sixty houses; columns may be changed, added, or left out with None."""
    whole = {
        "size": SIZES,
        "colour": ["red", "green", "blue"] * 20,
        "price": PRICES,
        **columns,
    }
    whole = {name: [str(value) for value in values] for name, values in whole.items() if values is not None}
    return [list(whole), *map(list, zip(*whole.values(), strict=True))]


def written(rows, separator=","):
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
    return out.getvalue()


@pytest.fixture
def load(tmp_path):
    """Write a text, some bytes or rows to a file, and load it as a task."""

    def make(content, target="price", name="houses.csv", **options):
        path = tmp_path / name
        content = written(content) if isinstance(content, list) else content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_task(path, target=target, **options)

    return make


def same(one, two):
    return all(
        torch.equal(getattr(one, part).inputs, getattr(two, part).inputs)
        and torch.equal(getattr(one, part).targets, getattr(two, part).targets)
        for part in ("train", "valid", "test")
    )


def changed(values, **at):
    """Return values with some of them replaced: row_2 is the file's second row, the first after the header."""
    values = [str(value) for value in values]
    for row, value in at.items():
        values[int(row.removeprefix("row_")) - 2] = value
    return values


def test_numbers_and_categories_go_in_and_a_quantity_comes_out(load):
    task = load(table())
    assert [len(task.train), len(task.valid), len(task.test)] == [36, 12, 12]
    assert task.train.inputs.shape == (36, 1 + 3)
    assert (task.train.inputs[:, 1:].sum(1) == 1).all()
    for values in (task.train.inputs[:, 0], task.train.targets):
        assert values.mean().item() == pytest.approx(0, abs=1e-6)
        assert values.std(correction=0).item() == pytest.approx(1)
    assert (task.name, task.metric.name) == ("houses", "relative squared error")
    assert task.note == f"price is taken for a quantity ({len(set(PRICES))} different numbers)"
    check(task)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["yes", "no"] * 30, "price is taken for 2 classes (no, yes)"),
        ([1, 5, 9] * 20, "price is taken for 3 classes (1, 5, 9)"),
        (["1.0", "2.0"] * 30, "price is taken for 2 classes (1, 2)"),
        ([*"abcdef"] * 10, "price is taken for 6 classes (a, b, c, d, e, …)"),
        (["none", "some"] * 30, "price is taken for 2 classes (none, some)"),
    ],
)
def test_few_whole_numbers_and_texts_are_classes_in_every_split(load, values, note):
    task = load(table(price=values))
    assert (task.note, task.metric.name) == (note, "accuracy")
    for part in (task.train, task.valid, task.test):
        assert part.targets.unique().tolist() == list(range(len(set(values))))
    assert task.model(0)(task.train.inputs).shape == (len(task.train), len(set(values)))
    check(task)


@pytest.mark.parametrize("values", [range(60), [0.5, 1.5, 2.5] * 20, [*range(21)] * 2 + [*range(18)]])
def test_other_numbers_are_a_quantity(load, values):
    task = load(table(price=values))
    assert "is taken for a quantity" in task.note
    assert task.train.targets.dtype == torch.float32
    check(task)


def test_scales_and_categories_are_fitted_on_train_alone(load):
    plain = load(table())
    at = [f"row_{row + 2}" for row in UNSEEN]
    far = load(
        table(
            size=changed(SIZES, **dict.fromkeys(at, "1000")),
            colour=changed(["red", "green", "blue"] * 20, **dict.fromkeys(at, "purple")),
            price=changed(PRICES, **dict.fromkeys(at, "-1000")),
        )
    )
    assert torch.equal(far.train.inputs, plain.train.inputs)
    assert torch.equal(far.train.targets, plain.train.targets)
    for part in (far.valid, far.test):
        assert (part.inputs[:, 0] > 100).all()
        assert (part.inputs[:, 1:] == 0).all(), "a category that train does not have is none of its inputs"
        assert (part.targets < -100).all()


def test_constant_columns_are_no_inputs(load):
    assert same(load(table(city=["Rome"] * 60, floor=[0.1] * 60)), load(table()))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + written(table()),
        written(table(), ";"),
        written(table(), "\t"),
        written(table()).replace("\n", "\r\n"),
        written(table()).replace("\n", "\r"),
        written(table()).replace("\n", "\n\n"),
        "\n" + written(table()),
        written(table()).removesuffix("\n"),
        written(table()).replace(",", " , "),
        written([[f" {cell} " for cell in row] for row in table()]),
        written(table()).replace("red", '"red"'),
        written(table()).replace("size", '"size"'),
        written(table(size=[f"{v:e}" for v in SIZES])),
    ],
    ids=[
        "BOM",
        "semicolons",
        "tabs",
        "CRLF",
        "CR",
        "empty-lines",
        "leading-line",
        "no-end",
        "spaces",
        "cells",
        "quotes",
        "header",
        "exponents",
    ],
)
def test_the_same_table_written_otherwise_is_the_same_task(load, text):
    assert same(load(text), load(table()))


def test_a_byte_order_mark_is_no_part_of_the_first_name(load):
    assert same(load("\ufeff" + written(table()), target="size"), load(table(), target="size"))


def test_separators_and_newlines_within_quotes_belong_to_the_value(load):
    names = ["red, dark", "green;\tlight", 'blue\nor "azure"'] * 20
    task = load(table(colour=names, **{"size; in; m²;;\n(net)": SIZES}))
    assert task.train.inputs.shape == (36, 5)
    order = load(table(colour=["c", "b", "a"] * 20, other=SIZES))
    assert same(task, order)


def test_a_file_for_tabs_and_another_name(load):
    assert same(load(written(table(), "\t"), name="b.TSV"), load(table()))


BAD = {
    # files
    "empty": ("", "houses.csv is empty; give a CSV file with a header and rows"),
    "blank": (" \n\n", "is empty; give a CSV file"),
    "only quotes": ('""\n', "is empty; give a CSV file"),
    "header only": ("size,price\n", "houses.csv has a header and no rows; there is nothing to learn from"),
    "one row": ("size,price\n1,2\n", "has 1 row; train, valid and test need 10"),
    "nine rows": (table()[:10], "has 9 rows; train, valid and test need 10"),
    "one column": (table(size=None, colour=None), "has one column alone; there is nothing to predict price from"),
    "Latin-1": (
        written(table(colour=["rosé"] * 60)).encode("latin-1"),
        r"is not UTF-8 text \(line 2\); save it as UTF-8",
    ),
    "UTF-16": (written(table()).encode("utf-16"), r"is not UTF-8 text \(line 1\)"),
    "ragged": (
        written(table()).replace("red\n", "red\n", 1) + "1,2\n",
        "row 62, has 2 values, and the header 3; correct it",
    ),
    "one value": (written(table()) + "1\n", "row 62, has 1 value, and the header 3"),
    "too long, after empty lines": (
        "\n\n" + written(table()) + "1,2,3,4\n",
        "row 64, has 4 values, and the header 3",
    ),
    "open quote": (
        written(table()) + '1,"red,2\n',
        "row 62, cannot be read as CSV: a quotation mark is never closed",
    ),
    "odd quote": (written(table()) + '1,"red"dish,2\n', "row 62, cannot be read as CSV: ',' expected after '\"'"),
    # headers
    "twice": ("a,a,price\n" + "1,2,3\n" * 10, 'has the column "a" twice; rename one or drop it'),
    "no name": ("a,,price\n" + "1,2,3\n" * 10, "column 2 of houses.csv has no name; name it or drop it"),
    "only separators": (",,\n" * 12, "column 1 of houses.csv has no name"),
    "unknown": (table(price=None, prices=PRICES), 'unknown column of houses.csv: "price"; did you mean "prices"?'),
    "unknown and unlike": (
        table(price=None, x=PRICES),
        'unknown column of houses.csv: "price"; known: size, colour, x',
    ),
    # missing values
    "empty number": (
        table(size=changed(SIZES, row_5="")),
        r'houses.csv has missing values: 1 in size \(the first in row 5, column "size"\); fill them in',
    ),
    "NaN": (table(size=changed(SIZES, row_2="NaN")), 'missing values: 1 in size .* row 2, column "size"'),
    "in several columns": (
        table(
            size=changed(SIZES, row_9="NA", row_30="?", row_61="n/a"),
            colour=changed(["red", "blue"] * 30, row_61=" ", row_7="NA"),
            price=changed(PRICES, row_4="null"),
        ),
        r'3 in size, 2 in colour, 1 in price \(the first in row 4, column "price"\); .* with --drop "size"',
    ),
    "missing target": (
        table(price=changed(PRICES, row_4="")),
        r'1 in price \(the first in row 4, column "price"\); leave their rows out with --missing drop$',
    ),
    "missing class": (table(price=changed(["a", "b"] * 30, row_4="nan")), "1 in price .* leave their rows out"),
    "a dash": (
        table(size=changed(SIZES, row_9="-")),
        'row 9, column "size", is "-", and the others are numbers; correct it, or write NA if it is missing',
    ),
    # numbers
    "infinite": (
        table(size=changed(SIZES, row_7="inf")),
        'row 7, column "size", is "inf", which is infinite; correct it',
    ),
    "infinite target": (
        table(price=changed(PRICES, row_7="-1e999")),
        'row 7, column "price", is "-1e999", which is infinite',
    ),
    "too large": (
        table(size=changed(SIZES, row_8="1e300")),
        'row 8, column "size", is 1e\\+300, which is too large to be scaled',
    ),
    "a word": (
        table(size=changed(SIZES, row_8="big")),
        'row 8, column "size", is "big", and the others are numbers; correct it',
    ),
    "a thousand": (
        table(size=changed(SIZES, row_8="1,234.5")),
        'row 8, column "size", is "1,234.5"; write it as a plain number',
    ),
    "all thousands": (
        table(size=[f"{1000 + i:,}" for i in range(60)]),
        'row 2, .* is "1,000"; write it as a plain number such',
    ),
    "decimal commas": (
        table(price=[f"{v:.1f}".replace(".", ",") for v in PRICES]),
        "write it as a plain number such as 1234.5",
    ),
    "currency": (
        table(price=[f"${i + 1}" for i in range(60)]),
        'is "\\$1"; write it as a plain number .* without commas and signs',
    ),
    # nothing to learn
    "one class": (
        table(price=["a"] * 60),
        'column "price" of houses.csv has the same value in every row; there is nothing',
    ),
    "one number": (table(price=[3] * 60), 'column "price" of houses.csv has the same value in every row'),
    "one fraction": (table(price=[0.1] * 60), "has the same value in every row"),
    "a rare class": (
        table(price=changed(["a", "b"] * 30, row_2="c", row_3="c")),
        'class "c" of column "price" .* has 2 rows, and',
    ),
    "a class a row": (
        table(price=[f"n{i}" for i in range(60)]),
        "has 60 classes in 60 rows; group them, or predict another",
    ),
    "constant features": (
        table(size=[1] * 60, colour=["red"] * 60),
        "every column of houses.csv beside price is constant",
    ),
    "names": (
        table(colour=[f"name {i}" for i in range(60)]),
        'column "colour" of houses.csv has 36 different texts in 36 tr',
    ),
    "dates": (
        table(colour=[f"2020-01-{i % 30:02}" for i in range(60)], size=[f"2020-{i}-01" for i in range(60)]),
        'drop it with --drop "size" if it is a name or a date',
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_in_a_file_is_said_with_place_and_remedy(load, content, message):
    with pytest.raises(InputError, match=message) as caught:
        load(content)
    assert "\n" not in str(caught.value)


def test_a_target_that_is_constant_in_train_alone_is_refused(load):
    at = {f"row_{row + 2}": str(i) for i, row in enumerate(UNSEEN)}
    with pytest.raises(InputError, match=r'"price" of houses.csv is constant in the training rows; nothing to learn'):
        load(table(price=changed([0.5] * 60, **at)))


def test_a_file_without_target_is_answered_with_its_columns(load, tmp_path):
    with pytest.raises(InputError, match="predicted, with --target; it has size, colour, price"):
        load(table(), target=None)
    wide = [[f"c{i}" for i in range(40)], *([str(i)] * 40 for i in range(10))]
    with pytest.raises(InputError, match=r"c28, c29 and 10 more$"):
        load(wide, target=None)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder.csv cannot be read: Is a directory; give a CSV file"):
        load_task(tmp_path / "folder.csv", target="price")
    with pytest.raises(InputError, match=r"there is no file .*/house.csv; did you mean .*/houses.csv\?"):
        load_task(tmp_path / "house.csv", target="price")


def test_a_column_that_is_dropped_is_as_if_it_were_not_there(load):
    named = table(passenger=range(60), name=[f"name {i}" for i in range(60)])
    task = load(named, drop=["passenger", "name"])
    assert same(task, load(table(), name="others.csv"))
    assert task.features == ("size", "colour=blue", "colour=green", "colour=red")
    assert task.origin.expression.endswith(", 'price', drop=('passenger', 'name'))")


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["colours"], 'unknown column of houses.csv: "colours"; did you mean "colour"?'),
        (["price"], '"price" of houses.csv is what is predicted, and cannot be dropped'),
        (["size", "colour"], "every column of houses.csv beside price is dropped; leave one to predict from"),
    ],
)
def test_what_cannot_be_dropped_is_said(load, drop, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load(table(), drop=drop)
