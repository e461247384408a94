"""What docs/augmentation-text.md shows is what happens."""

import doctest
import re
from pathlib import Path

from thalweg import augment

PAGE = Path(__file__).parents[2] / "docs/augmentation-text.md"


def test_its_examples_run():
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 9
    assert done.failed == 0


def test_it_names_every_step_and_no_other():
    steps = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert steps == {technique.name for technique in augment.TEXT}
    assert set(re.findall(r"augment\.(\w+)\(", PAGE.read_text())) <= steps


def test_its_hyperparameters_exist():
    for name, inside in re.findall(r"augment\.(\w+)\(([^)]*)\)", PAGE.read_text()):
        given = re.findall(r"(\w+)=", inside)
        assert set(given) <= set(augment.CATALOGUE[name].hyperparameters), name
