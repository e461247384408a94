"""Recipes as one types them on the command line."""

import pytest

from thalweg import augment, average, gradient, optim, schedule, wrapper
from thalweg.errors import InputError
from thalweg.notation import combine, parse
from thalweg.recipe import Recipe
from thalweg.technique import Choice, LogUniform, Uniform


@pytest.mark.parametrize(
    ("role", "text", "value"),
    [
        ("optimizer", "adam", optim.adam()),
        ("optimizer", "adam(lr=0.01, beta1=0.8)", optim.adam(lr=0.01, beta1=0.8)),
        ("optimizer", "sgd(lr=LogUniform(1e-3, 1))", optim.sgd(lr=LogUniform(1e-3, 1))),
        ("schedule", "warmup(100) >> cosine", schedule.warmup(100) >> schedule.cosine()),
        ("schedule", "step(every=10)", schedule.step(every=10)),
        ("gradient", "clip_norm(1.0)", gradient.clip_norm(1.0)),
        ("gradient", "centralise >> clip_norm(0.5)", gradient.centralise() >> gradient.clip_norm(threshold=0.5)),
        ("gradient", "none", gradient.Gradient()),
        ("average", "ema(0.99)", average.ema(decay=0.99)),
        ("average", "swa(start=Uniform(0.5, 0.8))", average.swa(start=Uniform(0.5, 0.8))),
        ("wrapper", "lookahead(10, alpha=0.8)", wrapper.lookahead(k=10, alpha=0.8)),
        ("batch_size", "32", 32),
        ("epochs", "Choice([1, 2])", Choice((1, 2))),
        ("accumulate", "4", 4),
        ("precision", "bf16", "bf16"),
        ("freeze", "encoder.* head.bias", "encoder.* head.bias"),
        ("freeze", "none", "none"),
        ("recompute", "blocks", "blocks"),
        ("bucket", "length", "length"),
        ("augment", "none", augment.Policy()),
        ("augment", "trivial", augment.trivial()),
        ("augment", "flip >> ssr(rotate=10)", augment.flip() >> augment.ssr(rotate=10)),
        (
            "augment",
            "crop(size=(8, 8)) >> cutout(Uniform(0.1, 0.5))",
            augment.crop(size=(8, 8)) >> augment.cutout(Uniform(0.1, 0.5)),
        ),
        ("augment", "ssr(border='reflect')", augment.ssr(border="reflect")),
    ],
)
def test_it_reads_what_it_prints(role, text, value):
    assert parse(role, text) == value
    assert parse(role, repr(value)) == value


@pytest.mark.parametrize(
    ("role", "text", "message"),
    [
        ("optimiser", "adam", 'unknown role "optimiser"; did you mean "optimizer"?'),
        ("optimizer", "adm", 'unknown optimizer "adm"; did you mean "adam"?'),
        ("optimizer", "adam(lr=0.1", "cannot be read"),
        ("optimizer", "adam(0.1)", "adam takes its hyperparameters by name, as in adam(lr=…)"),
        ("optimizer", "__import__('os')", "unknown optimizer"),
        ("optimizer", "adam(lr=().__class__)", "cannot be"),
        ("optimizer", "3", "takes an ingredient"),
        ("schedule", "cosin", 'did you mean "cosine"?'),
        ("epochs", "many", "epochs takes a whole number"),
        ("batch_size", "-4", "batch_size takes a whole number from 1 up"),
        ("accumulate", "half", "accumulate takes a whole number"),
        ("precision", "fp16", 'unknown precision "fp16"'),
        ("augment", "flipp", 'unknown augment "flipp"; did you mean "flip"?'),
        ("augment", "horizontal_flip()", 'unknown augment "horizontal_flip"; did you mean "flip"?'),
        ("augment", "flip >> ShiftScaleRotate", 'unknown augment "ShiftScaleRotate"; did you mean "ssr"?'),
        ("augment", "ssr(angle=3)", 'unknown hyperparameter of ssr "angle"'),
        ("augment", "ssr(border='mirror')", "border of ssr takes constant, reflect or edge"),
        ("augment", "3", "augment takes augmentations such as augment.flip()"),
        ("recompute", "block", 'unknown recompute "block"; did you mean "blocks"?'),
    ],
)
def test_it_refuses_in_a_sentence(role, text, message):
    with pytest.raises(InputError) as error:
        parse(role, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_role_that_a_file_chooses_is_not_replaced_in_silence(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[optimizer]\nname = "adamw"\n')
    with pytest.raises(InputError, match=r"mine\.toml says its optimizer already, which --vary would replace"):
        combine(Recipe(), ["optimizer=sgd"], [path])
    assert list(combine(Recipe(), ["schedule=cosine"], [path])) == ["mine + cosine"]


def test_several_roles_multiply():
    made = combine(Recipe(epochs=2), ["optimizer=sgd,adam(lr=0.1, beta1=0.8)", "batch_size=16,32"], [])
    assert list(made) == [
        "sgd + batch_size 16", "sgd + batch_size 32",
        "adam(lr=0.1, beta1=0.8) + batch_size 16", "adam(lr=0.1, beta1=0.8) + batch_size 32",
    ]  # fmt: skip
    assert made["sgd + batch_size 32"] == Recipe(optim.sgd(), batch_size=32, epochs=2)


def test_how_a_batch_passes_is_varied_like_the_rest():
    made = combine(Recipe(), ["precision=float32,bf16", "accumulate=1,4", "freeze=none,encoder.*"], [])
    assert list(made)[-1] == "precision bf16 + accumulate 4 + freeze encoder.*"
    assert made["precision float32 + accumulate 1 + freeze none"] == Recipe()
    assert made["precision bf16 + accumulate 4 + freeze encoder.*"] == Recipe(
        precision="bf16", accumulate=4, freeze="encoder.*"
    )


def test_files_are_recipes_and_can_be_varied(tmp_path):
    (tmp_path / "one.toml").write_text('optimizer = "sgd"')
    (tmp_path / "two.toml").write_text('optimizer = "adam"\nepochs = 9')
    files = [tmp_path / "one.toml", tmp_path / "two.toml"]
    assert combine(Recipe(epochs=4), [], files) == {
        "one": Recipe(optim.sgd(), epochs=4),
        "two": Recipe(optim.adam(), epochs=9),
    }
    assert list(combine(Recipe(), ["schedule=constant,cosine"], files)) == [
        "one + constant", "one + cosine", "two + constant", "two + cosine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ([], "nothing to compare"),
        (["optimizer"], 'has no "="'),
        (["optimizer="], "names nothing to compare"),
        (["optimizer=adam,,sgd"], "names nothing to compare"),
        (["optimizer=adam,adam"], "is named twice"),
        (["optimizer=adam", "optimizer=sgd"], "is there twice"),
    ],
)
def test_a_list_that_compares_nothing_is_refused(vary, message):
    with pytest.raises(InputError, match=message):
        combine(Recipe(), vary, [])


def test_roles_that_may_be_empty_are_compared_with_nothing():
    vary = ["optimizer=sgd,adam", "gradient=none,clip_norm(1.0)", "wrapper=none,sam"]
    recipes = combine(Recipe(average=average.ema()), vary, [])
    assert len(recipes) == 8
    assert recipes["sgd + gradient none + wrapper none"] == Recipe(optim.sgd(), average=average.ema())
    assert recipes["adam + clip_norm(1.0) + sam"].gradient == gradient.clip_norm(1.0)
    assert parse("average", "none") is None
    with pytest.raises(InputError, match='unknown optimizer "none"'):
        parse("optimizer", "none")
