"""What an augmentation is: a formula from random numbers to what happens to a sample; policies are chains of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.augment._policy import Policy
from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

__all__ = ["AugmentTechnique", "augmentation"]


@dataclass(frozen=True, repr=False)
class AugmentTechnique(Technique):
    """A formula of one of several forms; its arguments ``u1``, ``u2``, … are random numbers from 0 up to 1.

    Attributes:
        medium: ``image`` or ``text``.
        stage: what the formula returns. ``geometry``: a map of the plane, from places of the input to places of the
            output (`thalweg.augment.image._plane`); it takes ``height`` and ``width``. ``field``: moves of places
            (`thalweg.augment.image._fields`), from numbers ``n`` of as many nodes as ``nodes`` says, and the same.
            ``level``: from each level
            ``x``, 0 to 1, to another, which is then cut to 0 to 1; ``grain``: the same, from a number ``n`` of each
            level's own too; ``last``: the same, and not cut. ``colour``: a matrix of red, green and blue.
            ``kernel``: weights of neighbours; ``separable``: those along one side, for both. ``hole``: whether a
            pixel of a row and column is erased. ``veil``: what passes of a picture's light, and what is added to it
            (`thalweg.augment.image._veils`), from numbers ``n`` too where there is ``nodes``. ``whole``: a picture.
            ``chosen``: other steps, for each sample; and ``mixture``: chains of such with weights. ``mix``: the share
            that a picture keeps where it is mixed with another of the batch.
            For texts: ``word``, from a word to another, whose casing and form follow; ``letters``, from a word to how
            it is written; ``order``, from the other words to the one to change places with; ``gap``, from the
            text's words to one to put in; ``mask`` and ``mask_gap``, from a language model's guesses to one;
            ``sentence``, from a translation model's offers to one.
        sized: for geometry that changes the size, the function from height, width and the hyperparameters to the
            output's.
        nodes: for fields and veils, the function from height, width and the hyperparameters to how many rows and
            columns of numbers ``n`` there are.
    """

    medium: str = "image"
    stage: str = "level"
    sized: Callable[..., tuple[int, int]] | None = field(default=None, compare=False)
    nodes: Callable[..., tuple[int, int]] | None = field(default=None, compare=False)

    def by_hand(self) -> str:
        """Return how its policy is called: on texts, or on pictures."""
        called = f"{self.name}(…)"
        if self.medium == "text":
            return f"``{called}.text(text, sample=…)``, ``.edited``, ``.texts``"
        if self.stage == "mix":
            return f"``{called}.mixed(images, labels, samples)``"
        return f"``{called}(image, sample=…)``, ``.together``, ``.batch(images, samples)``"

    def __call__(self, *positional: Any, **values: Any) -> Policy:
        """Return the policy of one step; hyperparameters may stand in their place, as in ``flip(0.5)``."""
        named = by_name(self, positional, values)
        if isinstance(side := named.get("size"), int) and side > 0:
            wide = named.get("p") if len(positional) > 1 else side
            raise InputError(f"size of {self.name} is a height and a width: {self.name}(size=({side}, {wide}))")
        return Policy((Ingredient(self, named),))

    @property
    def draws(self) -> int:
        """How many random numbers a sample takes, beside the one that decides whether anything happens."""
        return sum(name[0] == "u" and name[1:].isdigit() for name in inspect.signature(self.formula).parameters)


def augmentation(
    *,
    source: str,
    stage: str,
    medium: str = "image",
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
    generalises: tuple[str, ...] = (),
    sized: Callable[..., tuple[int, int]] | None = None,
    nodes: Callable[..., tuple[int, int]] | None = None,
) -> Callable[[Callable[..., Any]], AugmentTechnique]:
    """Declare the decorated formula an augmentation; see `AugmentTechnique` for what it takes and returns.

    Every one has a hyperparameter ``p``: how likely it is that anything happens to a sample.
    """

    def declare(formula: Callable[..., Any]) -> AugmentTechnique:
        return AugmentTechnique(
            kind="augment", formula=formula, source=source, space=dict(space or {}),
            limits={"p": "[0, 1]", **(limits or {})}, generalises=generalises, medium=medium, stage=stage,
            sized=sized, nodes=nodes,
        )  # fmt: skip

    return declare
