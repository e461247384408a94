"""Laws that every technique keeps, of whatever kind."""

import ast
import copy
import doctest
import inspect
import pickle
import pydoc
import re
from importlib import import_module

import pytest
import torch

from thalweg import optim
from thalweg.catalogue import KINDS, describe
from thalweg.errors import InputError
from thalweg.latex import latex
from thalweg.recipe import CATALOGUES, OPTIONAL
from thalweg.stubs import stubs
from thalweg.technique import Choice, Ingredient, Technique, limits_of

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


def arguments(text):
    """Return what the section of arguments says of each, by name."""
    section = text.partition("\nArgs:\n")[2].partition("\n\nReturns:\n")[0]
    lines = re.sub(r"\n {8}", " ", section).splitlines()
    return {name.strip(): said for name, _, said in (line.partition(": ") for line in lines)}


@by_name
def test_help_says_how_it_is_called(technique):
    """What ``help()``, an editor and ``inspect.signature`` show: each hyperparameter, its limits, and an example."""
    signature = inspect.signature(technique)
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    assert {name: defaults[name] for name in technique.hyperparameters} == technique.hyperparameters
    page = pydoc.render_doc(technique, renderer=pydoc.plaintext)
    assert f"{technique.name}{signature}" in " ".join(page.split())
    assert technique.summary in page
    assert technique.__doc__.splitlines()[-1] in page
    said = arguments(technique.__doc__)
    assert said.keys() == defaults.keys()
    for name, default in technique.hyperparameters.items():
        assert f"; by default {'' if default in (None, '') else repr(default) + '.'}" in said[name]
        place = technique.space.get(name)
        assert ("Searched" in said[name]) == (place is not None)
        if place is not None:
            ends = place.values if isinstance(place, Choice) else (f"{place.low:g}", f"{place.high:g}")
            assert all(str(end) in said[name].partition("Searched")[2] for end in ends)
        counted = name == "steps" or name in getattr(technique, "counts", ())
        if not isinstance(default, str | tuple) and not counted:
            low, high = (end.strip() for end in limits_of(technique, name).removeprefix("whole ")[1:-1].split(","))
            assert low == "-inf" or re.search(rf"number (from|above) {re.escape(low)}\b", said[name])
            assert high == "inf" or re.search(rf"up to(, but not,)? {re.escape(high)};", said[name])
    assert "\nReturns:\n    The ingredient" in technique.__doc__
    assert "; by hand: " in " ".join(technique.__doc__.split())
    assert "\nRaises:\n    InputError: " in technique.__doc__
    example = doctest.DocTestParser().get_doctest(technique.__doc__, {}, technique.name, None, None)
    assert any(f".{technique.name}(" in line.source for line in example.examples)
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@by_name
def test_its_signature_is_how_it_can_be_called(technique):
    """By place as far as it says so, by name in any case, and no further."""
    given = {name: value for name, value in technique.hyperparameters.items() if value is not None}
    parameters = inspect.signature(technique).parameters
    placed = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    first = list(given)[
        : next((i for i, name in enumerate(given) if [*given][: i + 1] != placed[: i + 1]), len(given))
    ]
    rest = {name: value for name, value in given.items() if name not in first}
    assert technique(*(given[name] for name in first), **rest) == technique(**given)
    with pytest.raises(InputError, match=r"takes at most|takes its hyperparameters by name"):
        technique(*[0.5] * (len(placed) + 1))


@by_name
def test_a_misspelt_hyperparameter_is_named(technique):
    for name in technique.hyperparameters:
        with pytest.raises(InputError, match=f'unknown hyperparameter of {technique.name} "{name}x"; did you mean '):
            technique(**{name + "x": 0.5})


@by_name
def test_uncalled_it_stands_for_itself_with_nothing_filled_in(technique):
    """Its methods too; and what is used on models or data says that it is to be called first."""
    made = technique()
    methods = [
        name for name in dir(type(made)) if not name.startswith("_") and inspect.isfunction(getattr(type(made), name))
    ]
    for name in set(methods) - set(dir(Ingredient)) - {"resolved"}:
        assert getattr(technique, name).__func__ is getattr(type(made), name)
        assert getattr(technique, name).__self__ == made
    if hasattr(type(made), "__rshift__"):
        assert technique >> technique == made >> made == made >> technique
        with pytest.raises(InputError, match=r"is appended to .*, such as .*, not 'cosine'"):
            made >> "cosine"
    with pytest.raises(InputError, match=f"{technique.name} takes hyperparameters and no Module; by hand: "):
        technique(torch.nn.Module())
    with pytest.raises(AttributeError, match=f"{technique.name}> has no nonsense"):
        technique.nonsense  # noqa: B018


def test_classes_of_techniques_have_documentation_of_their_own():
    for kind in {type(technique) for technique in TECHNIQUES} | {Technique}:
        assert inspect.getdoc(kind).startswith(("One ", "An ", "A "))
        assert "class" in pydoc.render_doc(kind, renderer=pydoc.plaintext)
        assert inspect.signature(kind)


CLASSES = [name for name in optim.__all__ if hasattr(getattr(optim, name), "face")]


@pytest.mark.parametrize("name", CLASSES)
def test_an_optimizers_class_says_what_each_argument_is(name):
    """Those on how to step too: what torch's do, and which are refused."""
    made = getattr(optim, name)
    parameters = inspect.signature(made).parameters
    defaults = {n: one.default for n, one in parameters.items() if n != "params"}
    assert not any(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in parameters.values())
    text = made.__doc__.replace("\nRaises:\n", "\nReturns:\n")
    said = arguments(text)
    assert list(said) == ["params", *defaults]
    for argument, default in defaults.items():
        assert said[argument].endswith(f"; by default {default!r}."), argument
    assert {"maximize", "foreach", "fused", "capturable", "differentiable", "executor"} < said.keys()
    weights = [torch.nn.Parameter(torch.ones(2, 2))]
    assert made(weights, **defaults).param_groups[0]["lr"] == made(weights).param_groups[0]["lr"] == defaults["lr"]
    for argument in (argument for argument, words in said.items() if "is refused" in words):
        with pytest.raises(InputError, match=argument):
            made(weights, **{argument: True})


PACKAGES = [{"optimizer": "optim"}.get(role, role) for role in CATALOGUES] + ["surgery"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_what_it_has_and_nothing_else(package):
    """For tab completion: what is fetched when it is first used too, and no names that it imports for itself."""
    module = import_module(f"thalweg.{package}")
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        module.nonsense  # noqa: B018


@pytest.mark.parametrize("path", stubs(), ids=lambda path: path.parent.name)
def test_stubs_say_what_the_declarations_say(path):
    """What editors and type checkers read; a stub names all that its package lists."""
    text = stubs()[path]
    assert path.read_text(encoding="utf-8") == text, "run python -m thalweg.stubs"
    tree = ast.parse(text)
    names = {name.asname for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    names |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert set(import_module(f"thalweg.{path.parent.name}").__all__) <= names
