"""The roles of a recipe: what each may be, and what it may not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from thalweg import (
    activation,
    augment,
    average,
    dropout,
    gradient,
    init,
    loss,
    norm,
    optim,
    penalty,
    prune,
    schedule,
    stop,
    wrapper,
)  # fmt: skip
from thalweg.augment import Policy
from thalweg.errors import InputError, unknown
from thalweg.gradient import Gradient
from thalweg.optim._absent import absent
from thalweg.schedule import Schedule
from thalweg.technique import Choice, Ingredient, Technique

__all__ = [
    "CATALOGUES", "CHAINS", "NUMBERS", "OPTIONAL", "SHAPING", "UNSAID", "WORDS", "checked", "not_known", "values_of",
]  # fmt: skip

CATALOGUES: dict[str, Mapping[str, Any]] = {
    "optimizer": optim.CATALOGUE,
    "schedule": schedule.CATALOGUE,
    "gradient": gradient.CATALOGUE,
    "average": average.CATALOGUE,
    "wrapper": wrapper.CATALOGUE,
    "init": init.CATALOGUE,
    "activation": activation.CATALOGUE,
    "norm": norm.CATALOGUE,
    "dropout": dropout.CATALOGUE,
    "penalty": penalty.CATALOGUE,
    "loss": loss.CATALOGUE,
    "stop": stop.CATALOGUE,
    "prune": prune.CATALOGUE,
    "augment": augment.CATALOGUE,
}
"""The techniques that each role chooses from; the other roles are numbers."""

OPTIONAL = tuple(role for role in CATALOGUES if role not in ("optimizer", "schedule"))
"""Roles that may be empty, and are unless something is said; an empty one leaves no trace in TOML."""

SHAPING = ("activation", "norm", "dropout", "loss")
"""Roles that change what a step computes, so that runs must have them in common to train together; of dropout only
the kind, for its rates are numbers that each run has of its own."""

CHAINS: dict[str, Any] = {"schedule": Schedule, "gradient": Gradient, "augment": Policy}
NUMBERS = ("batch_size", "epochs", "accumulate")

WORDS: dict[str, tuple[str, ...]] = {
    "precision": ("float32", "bf16"), "freeze": (), "recompute": ("none", "blocks"), "bucket": ("none", "length"),
}  # fmt: skip
"""Roles that are words, and those that each knows; ``freeze`` knows the names of the model's parameters."""

UNSAID = {"accumulate": 1, "precision": "float32", "freeze": "none", "recompute": "none", "bucket": "none"}
"""What leaves no trace in TOML: recipes that say nothing of it keep the identity that they had without the role."""


def checked(role: str, value: Any) -> Any:
    """Return the value of a role, or refuse it."""
    if role in CATALOGUES:
        if value is None and role in OPTIONAL:
            return CHAINS[role]() if role in CHAINS else None
        if isinstance(value, Technique):
            value = value()
        fits = (
            isinstance(value, CHAINS[role])
            if role in CHAINS
            else isinstance(value, Ingredient) and value.technique.kind == role
        )
        if not fits:
            _refuse_class(role, value)
            raise InputError(f"{role} takes {_EXAMPLES[role]}, not {value!r}")
        for part in getattr(value, "parts", ()):
            if CATALOGUES[role].get(part.name) is not part.technique:
                raise InputError(f"{role} takes what thalweg knows by name, and {part.name} is of another library")
    elif role in WORDS:
        return _word(role, value)
    else:
        for number in values_of(value):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise InputError(f"{role} takes a whole number from 1 up, not {number!r}")
    return value


def _refuse_class(role: str, value: Any) -> None:
    """Refuse an optimizer's class, or an optimizer made of one, with the ingredient that is meant."""
    face = getattr(value, "face", None)
    if role == "optimizer" and face is not None:
        name = value.__name__ if isinstance(value, type) else type(value).__name__
        raise InputError(
            f"optim.{name} is the class for a loop of your own; in a recipe the ingredient is "
            f"optim.{face.plain.name}()"
        )


def values_of(number: Any) -> Sequence[Any]:
    """Return what a number may be."""
    return number.values if isinstance(number, Choice) else [number]


def _word(role: str, value: Any) -> str:
    """Return a word that a role knows, or refuse it."""
    known = WORDS[role]
    if not isinstance(value, str):
        what = " or ".join(f'"{word}"' for word in known) or 'names of parameters such as "encoder.*"'
        raise InputError(f"{role} takes {what}, not {value!r}")
    if known and value not in known:
        raise unknown(role, value, known)
    return value if known else " ".join(dict.fromkeys(value.split())) or "none"


_EXAMPLES = {
    "optimizer": "an ingredient such as optim.adam(lr=0.01)",
    "schedule": "a schedule such as schedule.cosine()",
    "gradient": "techniques such as gradient.clip_norm(1.0)",
    "average": "an average such as average.ema(0.99)",
    "wrapper": "a wrapper such as wrapper.sam(0.05)",
    "init": "an initialisation such as init.he_normal()",
    "activation": "an activation such as activation.gelu()",
    "norm": "a norm such as norm.layer()",
    "dropout": "a dropout such as dropout.gaussian(0.2)",
    "penalty": "a penalty such as penalty.l2(1e-4)",
    "loss": "a loss such as loss.huber()",
    "stop": "a way to stop such as stop.patience(5)",
    "prune": "a way to prune such as prune.snip(keep=0.1)",
    "augment": "augmentations such as augment.flip()",
}

_ELSEWHERE = {
    "horizontal_flip": "flip", "flip_horizontal": "flip", "vertical_flip": "flip_vertical",
    "rotate": "ssr", "rotation": "ssr", "random_rotation": "ssr", "shift": "ssr", "translate": "ssr", "scale": "ssr",
    "zoom": "ssr", "shear": "affine", "random_affine": "affine", "skew": "perspective",
    "random_perspective": "perspective",
    "rotate_90": "quarter_turns", "random_rotate_90": "quarter_turns", "shift_scale_rotate": "ssr",
    "trivial_augment": "trivial", "trivial_augment_wide": "trivial", "rand_augment": "rand", "aug_mix": "augmix",
    "auto_augment": "auto", "auto_imagenet": "auto", "autocontrast": "auto_contrast",
    "random_autocontrast": "auto_contrast",
    "gaussian_blur": "blur", "gauss_noise": "noise", "gaussian_noise": "noise", "to_gray": "grey",
    "grayscale": "grey", "normalize": "normalise", "equalize": "equalise", "posterize": "posterise",
    "solarize": "solarise", "center_crop": "centre_crop", "coarse_dropout": "cutout", "grid_dropout": "grid_mask",
    "random_fog": "fog", "random_rain": "rain", "random_snow": "snow", "snowflakes": "snow",
    "random_shadow": "shadow", "random_sun_flare": "sun_flare", "lens_flare": "sun_flare",
    "elastic_transform": "elastic", "elastic_transformation": "elastic", "random_distortion": "grid_distortion",
    "piecewise_affine": "grid_distortion",
    "synonym_replacement": "synonym", "swap": "random_swap", "ocr_aug": "ocr", "back_trans": "back_translation",
}  # fmt: skip
"""What other libraries call augmentations of ours."""


def not_known(role: str, name: str) -> InputError:
    """Return the error for a technique that a role does not know, with the one that was meant."""
    if name == "none" and role in OPTIONAL:
        return InputError(f'unknown {role} "none"; where there is to be none, leave {role} out')
    if role == "optimizer" and (said := absent(name)):
        return InputError(f'unknown optimizer "{name}"; {said}')
    plain = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name).lower()
    if role == "augment":
        near = get_close_matches(plain, [*CATALOGUES[role], *_ELSEWHERE], n=1)
        meant = _ELSEWHERE.get(near[0], near[0]) if near else name
        if meant != name:
            return InputError(f'unknown {role} "{name}"; did you mean "{meant}"?')
    return unknown(role, name, CATALOGUES[role])
