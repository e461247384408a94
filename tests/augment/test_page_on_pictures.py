"""What docs/augmentation.md shows is what happens, and the names in its table are ours."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from thalweg import augment
from thalweg.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs/augmentation.md").read_text()
FENCES = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def test_its_examples_run(capsys):
    shown = [code for kind, code in FENCES if kind == "python"]
    assert shown
    for code in shown:
        names = {}
        exec(code, names)
        assert names["changed"].dtype == np.uint8
    assert capsys.readouterr().out.startswith("flip: ")


def test_its_policies_are_read():
    shown = [code for kind, code in FENCES if kind == "toml"]
    assert [repr(Recipe.from_toml(code).augment) for code in shown] == ["flip >> ssr(rotate=15.0)"]
    assert all(set(tomllib.loads(code)) == {"augment"} for code in shown)


def test_its_table_has_every_step_once_and_no_other():
    first = [row.split("|")[1].strip(" `") for row in ROWS]
    assert len(first) == len(set(first))
    assert set(first) == {technique.name for technique in augment.IMAGE}


def test_every_row_has_all_columns():
    header = next(line for line in PAGE.splitlines() if line.startswith("| here |"))
    assert {row.count("|") for row in ROWS} == {header.count("|")}
    assert not [row for row in ROWS if re.search(r"\|\s*\|", row)]


@pytest.mark.parametrize("name", re.findall(r"`(policy\.\w+|augment\.\w+)\(", PAGE))
def test_what_it_calls_is_there(name):
    home, _, called = name.partition(".")
    assert hasattr({"policy": augment.Policy, "augment": augment}[home], called)


@pytest.mark.parametrize("cell", re.findall(r"^\| \w[^|]*: .*\| ([^|]+) \|$", PAGE, re.MULTILINE))
def test_steps_named_for_others_transforms_are_ours(cell):
    names = re.findall(r"(?<!\.)\b(\w+)\(", cell)
    assert names or "not here" in cell or "of each step" in cell
    for name in names:
        step, values = augment.CATALOGUE.get(name), re.findall(r"(\w+)=", cell)
        assert name == "adapted" or (step is not None and (len(names) > 1 or set(values) <= {*step.hyperparameters}))
