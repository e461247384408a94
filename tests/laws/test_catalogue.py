"""Laws that every technique keeps, of whatever kind."""

import copy
import inspect
import pickle

import pytest

from thalweg.catalogue import KINDS, describe
from thalweg.errors import InputError
from thalweg.latex import latex
from thalweg.recipe import OPTIONAL
from thalweg.technique import Choice, Ingredient

TECHNIQUES = [technique for members in KINDS.values() for technique in members.values()]
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: f"{technique.kind}-{technique.name}")


@by_name
def test_it_says_what_it_is(technique):
    """Where it comes from, how it differs from its siblings, and what is searched, on its page too."""
    assert KINDS[technique.kind][technique.name] is technique
    assert technique.source
    assert technique.summary.endswith((".", ":", "other."))
    assert "Source:" in inspect.getdoc(technique.formula) or technique.kind == "schedule"
    assert set(technique.space) <= set(technique.hyperparameters)
    assert set(technique.generalises) <= set(KINDS[technique.kind])
    for name, place in technique.space.items():
        default = technique.hyperparameters[name]
        if default is not None:
            inside = default in place.values if isinstance(place, Choice) else place.low <= default <= place.high
            assert inside, f"the default of {name} lies outside its space"
    page = describe(technique.kind)
    assert f"{technique.name}: {technique.summary}" in page
    assert technique.source in page
    assert all(equation in page for equation in technique.equations)


@by_name
def test_its_formula_is_printed(technique):
    lines = latex(technique)
    assert len(lines) == len(technique.statements()) or technique.kind == "schedule"
    assert all(line.count("{") == line.count("}") for line in lines)
    assert all(r" \leftarrow " in line or " = " in line for line in lines) or technique.kind == "schedule"


@by_name
def test_its_ingredient_is_the_same_whoever_makes_it(technique):
    """A recipe that is read makes ingredients of techniques that it knows by name alone.

    Frameworks put techniques into checkpoints, and worker processes get them through a pipe.
    """
    for again in (pickle.loads(pickle.dumps(technique)), copy.copy(technique), copy.deepcopy(technique)):
        assert again is technique
    made = technique()
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)
    (one,) = getattr(made, "parts", [made])  # a chain of one, for what can be chained
    assert Ingredient(technique, {}) == one
    assert type(Ingredient(technique, {})) is type(one) is type(one.resolved()) is technique.ingredient


SHAPING = [
    technique
    for technique in TECHNIQUES
    if technique.kind in OPTIONAL and technique.kind not in ("gradient", "average", "wrapper")
]


@pytest.mark.parametrize("technique", SHAPING, ids=lambda technique: f"{technique.kind}-{technique.name}")
def test_a_number_below_its_limits_is_refused_by_name(technique):
    bounded = [name for name, limits in technique.limits.items() if limits[1] != "-"]
    for name in technique.hyperparameters.keys() & set(bounded):
        with pytest.raises(InputError, match=f"{name} of {technique.name} takes "):
            technique(**{name: -1})
