"""Recipes read and write TOML, hash stably, and refuse what cannot be, by line."""

import subprocess
import sys

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from thalweg import activation, augment, average, gradient, loss, norm, optim, penalty, schedule, stop, wrapper
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import CATALOGUES, CHAINS, OPTIONAL, ROLES, WORDS, Recipe, Together
from thalweg.technique import Choice, LogUniform, Uniform

positive = st.floats(1e-8, 0.5)
places = st.one_of(
    positive,
    st.tuples(positive, st.floats(1.1, 1.9)).map(lambda pair: LogUniform(pair[0], pair[0] * pair[1])),
    st.tuples(positive, st.floats(1.1, 1.9)).map(lambda pair: Uniform(pair[0], pair[0] * pair[1])),
    st.lists(positive, min_size=1, max_size=3).map(lambda values: Choice(tuple(values))),
)


@st.composite
def ingredients(draw, catalogue):
    technique = draw(st.sampled_from(list(catalogue.values())))
    names = [name for name in technique.hyperparameters if name != "steps"]
    chosen = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    try:
        return technique(
            **{
                name: draw(_places(technique.hyperparameters[name], technique.limits.get(name, "")))
                for name in chosen
            }
        )
    except InputError:  # such as a growth below 1
        reject()


def _places(default, limits):
    """Return where a hyperparameter may be: values and ranges of its default's kind."""
    if isinstance(default, tuple):
        number = st.integers(1, 20) if limits.startswith("whole") else positive
        values = st.lists(number, min_size=1, max_size=3).map(tuple)
    elif isinstance(default, str):
        values = st.sampled_from(limits.split("|") if limits else ["", "a file.txt", 'it\'s "mine"'])
    elif isinstance(default, int):
        values = st.integers(0, 20)
    else:
        return places
    return st.one_of(values, st.lists(values, min_size=1, max_size=3).map(lambda items: Choice(tuple(items))))


@st.composite
def recipes(draw):
    parts = draw(st.lists(ingredients(schedule.CATALOGUE), min_size=1, max_size=3))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole >> part
    count = st.integers(1, 500)
    number = st.one_of(count, st.lists(count, min_size=1, max_size=3).map(lambda values: Choice(tuple(values))))
    medium = draw(st.sampled_from([augment.IMAGE, augment.TEXT]))
    around = {
        "gradient": gradient.Gradient(
            tuple(p for c in draw(st.lists(ingredients(gradient.CATALOGUE), max_size=2)) for p in c.parts)
        ),
        "augment": augment.Policy(
            tuple(
                p
                for c in draw(st.lists(ingredients({step.name: step for step in medium}), max_size=2))
                for p in c.parts
            )
        ),
        **{role: draw(st.none() | ingredients(CATALOGUES[role])) for role in OPTIONAL if role not in CHAINS},
    }
    passes = {
        "precision": draw(st.sampled_from(WORDS["precision"])),
        "freeze": draw(st.sampled_from(["none", "encoder.*", "0.* head.bias"])),
        "recompute": draw(st.sampled_from(WORDS["recompute"])),
        "bucket": draw(st.sampled_from(WORDS["bucket"])),
    }
    size = draw(number)
    least = min(size.values) if isinstance(size, Choice) else size
    parts = draw(st.integers(1, least) | st.just(Choice((1, least))))
    return Recipe(draw(ingredients(optim.CATALOGUE)), whole, size, draw(number), **around, accumulate=parts, **passes)


@given(recipes())
def test_toml_is_the_identity(recipe):
    again = Recipe.from_toml(recipe.toml())
    assert again == recipe
    assert again.digest() == recipe.digest()
    assert Recipe.from_toml(recipe.declared().toml()) == recipe.declared()


@given(recipes(), st.integers(0, 99))
def test_a_draw_resolves_to_values_inside_the_space(recipe, seed):
    settings = recipe.draw(Key(seed))
    resolved = recipe.resolved(settings)
    assert resolved.space() == {} or all(name not in settings for name in resolved.space())
    assert set(settings) == set(recipe.space())
    for path, value in settings.items():
        place = recipe.space()[path]
        assert value in place.values if isinstance(place, Choice) else place.low <= value <= place.high
    assert Recipe.from_toml(resolved.toml()) == resolved


def test_the_hash_is_the_same_in_another_process():
    code = "from thalweg.recipe import Recipe; print(Recipe().digest())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == Recipe().digest()


def test_roles_that_are_empty_leave_no_trace():
    """Runs that were recorded before a role came into the world keep their identity."""
    plain = Recipe(optim.sgd(), schedule.cosine()).resolved()
    assert plain.toml() == (
        'batch_size = 64\nepochs = 30\n\n[optimizer]\nname = "sgd"\nlr = 0.001\n\n'
        '[[schedule]]\nname = "cosine"\nend = 0.0\n'
    )
    assert plain == Recipe(optim.sgd(), schedule.cosine(), gradient=None, average=None, wrapper=None).resolved()
    passes = {"accumulate": 1, "precision": "float32", "freeze": "", "recompute": "none", "bucket": "none"}
    assert plain == Recipe(optim.sgd(), schedule.cosine(), **passes).resolved()


@pytest.mark.parametrize(
    "role",
    ["accumulate = 2", 'precision = "bf16"', 'freeze = "a.*"', 'recompute = "blocks"', 'bucket = "length"'],
)
def test_how_a_batch_passes_is_part_of_the_identity_and_of_what_a_population_shares(role):
    plain, other = Recipe().resolved(), Recipe.from_toml(role).resolved()
    assert other.toml() == plain.toml().replace("epochs = 30\n", f"epochs = 30\n{role}\n")
    assert other.digest() != plain.digest()
    assert other.together() != plain.together()
    assert plain.together() == Recipe(optim.sgd(), epochs=2).together() == Together()


def test_the_number_of_parts_is_searched_like_the_batch_size():
    recipe = Recipe.from_toml("batch_size = [8, 64]\naccumulate = [1, 4]")
    assert set(recipe.space()) >= {"batch_size", "accumulate"}
    assert recipe.resolved({"accumulate": 4}).together() == Together(8, 4)


def test_a_role_can_be_emptied():
    full = Recipe(**{role: list(CATALOGUES[role].values())[-1]() for role in OPTIONAL})
    assert all(getattr(full, role) != getattr(Recipe(), role) for role in OPTIONAL)
    assert Recipe.from_toml("\n".join(f'{role} = "none"' for role in OPTIONAL), base=full) == Recipe()


def test_defaults_are_part_of_a_resolved_recipe():
    assert "eps = 1e-08" in Recipe(optim.adam(lr=0.1)).resolved().toml()


def test_every_role_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "batch_size = 16\nepochs = [3, 6]\n\n"
        '[optimizer]\nname = "sgd"\nlr = {low = 0.01, high = 1.0, scale = "log"}\n'
        '\n[[schedule]]\nname = "warmup"\nsteps = 10\n\n[[schedule]]\nname = "cosine"\n'
        '\n[[gradient]]\nname = "centralise"\n\n[[gradient]]\nname = "clip_norm"\nthreshold = 0.5\n'
        '\n[average]\nname = "ema"\ndecay = [0.9, 0.99]\n\n[wrapper]\nname = "sam"\n'
    )
    recipe = Recipe.from_file(path)
    assert recipe == Recipe(
        optim.sgd(lr=LogUniform(0.01, 1.0)), schedule.warmup(10) >> schedule.cosine(), 16, Choice((3, 6)),
        gradient.centralise() >> gradient.clip_norm(0.5), average.ema(Choice((0.9, 0.99))), wrapper.sam(),
    )  # fmt: skip
    assert set(ROLES) == {*CATALOGUES, *WORDS, "batch_size", "epochs", "accumulate"}


def test_what_is_put_into_a_model_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'activation = "gelu"\n[norm]\nname = "group"\ngroups = 4\n[penalty]\nname = "l1"\n'
        'strength = {low = 1e-6, high = 1e-3, scale = "log"}\n[loss]\nname = "huber"\n'
        '[stop]\nname = "patience"\nepochs = 3\n'
    )
    recipe = Recipe.from_file(path)
    assert recipe == Recipe(
        activation=activation.gelu(), norm=norm.group(groups=4), penalty=penalty.l1(LogUniform(1e-6, 1e-3)),
        loss=loss.huber(), stop=stop.patience(3),
    )  # fmt: skip
    assert Recipe.from_toml(recipe.toml()) == recipe
    resolved = recipe.resolved()
    assert resolved.together().recipe().resolved().together() == resolved.together()
    assert resolved.together() != Recipe(optim.sgd()).resolved().together()
    alike = resolved.together(), recipe.resolved({"penalty.strength": 1e-5}).together()
    assert alike[0] == alike[1], "a penalty's strength and a rule to stop are each run's own"


def test_how_a_batch_passes_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('accumulate = 4\nprecision = "bf16"\nfreeze = " a.*  b a.* "\nrecompute = "blocks"\n')
    assert Recipe.from_file(path) == Recipe(accumulate=4, precision="bf16", freeze="a.* b", recompute="blocks")


def test_what_a_file_leaves_out_is_as_in_the_base():
    base = Recipe(epochs=3, batch_size=7)
    assert Recipe.from_toml('optimizer = "sgd"', base=base) == Recipe(optim.sgd(), epochs=3, batch_size=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[optimizer]\nname = "adm"', 'line 2: unknown optimizer "adm"; did you mean "adam"?'),
        ('epochs = 3\n[optimizr]\nname = "adam"', 'line 2: unknown role "optimizr"; did you mean "optimizer"?'),
        ('epochs = 3\n\n[optimizer]\nname = "adam"\nlr = "big"', "line 5: lr of adam takes a number, not 'big'"),
        ('[optimizer]\nname = "adam"\nlrr = 1', 'line 3: unknown hyperparameter of adam "lrr"; did you mean "lr"?'),
        ('[optimizer]\nname = "adam"\nlr = -1', "line 3: lr of adam takes a number from 0 up, not -1"),
        ('[optimizer]\nname = "adam"\nbeta1 = 1.0', "line 3: beta1 of adam takes a number from 0 up to, but not, 1"),
        ('[optimizer]\nname = "adam"\nlr = nan', "line 3: lr of adam takes a number from 0 up, not nan"),
        ("[optimizer]\nlr = 1", "line 1: optimizer takes a table with a name"),
        ('batch_size = "x"', "line 1: batch_size takes a whole number from 1 up, not 'x'"),
        ("epochs = 0", "line 1: epochs takes a whole number from 1 up, not 0"),
        ("\naccumulate = 0", "line 2: accumulate takes a whole number from 1 up, not 0"),
        ("accumulate = 65", "accumulate takes at most one part an example: 65 parts, but batch_size is 64"),
        ('epochs = 1\nprecision = "bf61"', 'line 2: unknown precision "bf61"; did you mean "bf16"?'),
        ("precision = 16", 'line 1: precision takes "float32" or "bf16", not 16'),
        ("recompute = true", 'line 1: recompute takes "none" or "blocks", not True'),
        ('bucket = "lenght"', 'line 1: unknown bucket "lenght"; did you mean "length"?'),
        ("freeze = 3", """line 1: freeze takes names of parameters such as "encoder.*", not 3"""),
        ("schedule = []", r"line 1: schedule = [] names none; leave schedule out"),
        ("\nepochs = 2.5", "line 2: epochs takes a whole number from 1 up, not 2.5"),
        (
            '[optimizer]\nname="adam"\nlr = {low = 1, high = 2}',
            "line 3: lr takes a value, a list of values, or a range",
        ),
        (
            '[optimizer]\nname="adam"\nlr = {low = 2, high = 1, scale = "log"}',
            "line 3: lr: a logarithmic range needs",
        ),
        ('[[schedule]]\nname = "cosin"', 'line 2: unknown schedule "cosin"; did you mean "cosine"?'),
        ('[wrapper]\nname = "sm"', 'line 2: unknown wrapper "sm"; did you mean "sam"?'),
        ('[average]\nname = "ema"\ndecay = 1.0', "line 3: decay of ema takes a number from 0 up to, but not, 1"),
        ('[[gradient]]\nname = "clip_norm"\nthreshold = 0', "line 3: threshold of clip_norm takes a number above 0"),
        ('wrapper = "noe"', 'line 1: unknown wrapper "noe"'),
        ("a = = 1", "is not TOML: Invalid value (at line 1, column 5)"),
    ],
)
def test_bad_input_gets_one_sentence_with_the_line(text, message):
    with pytest.raises(InputError) as error:
        Recipe.from_toml(text, "mine.toml")
    assert message in str(error.value)
    assert str(error.value).startswith("mine.toml")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match=r"the recipe nowhere\.toml cannot be read: No such file or directory"):
        Recipe.from_file("nowhere.toml")
