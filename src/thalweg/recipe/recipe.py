"""Everything that is chosen around a model, by role."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from thalweg import augment, optim, schedule
from thalweg.augment import Policy
from thalweg.errors import InputError, spelt, unknown
from thalweg.gradient import Gradient
from thalweg.key import Key
from thalweg.recipe.roles import CATALOGUES, CHAINS, NUMBERS, SHAPING, UNSAID, WORDS, checked, values_of
from thalweg.recipe.text import from_plain, line_of, plain, table
from thalweg.schedule import Schedule
from thalweg.technique import Choice, Distribution, Ingredient

__all__ = ["ROLES", "Recipe", "Settings", "Together"]

Settings = dict[str, Any]
"""Values drawn from a recipe's space, by path: ``{"optimizer.lr": 0.003}``."""


@spelt
@dataclass(frozen=True)
class Recipe:
    """What is chosen around a model.

    Args:
        optimizer: an ingredient of `thalweg.optim`.
        schedule: of the learning rate; of `thalweg.schedule`.
        batch_size: examples a step; the last batch of an epoch may be smaller.
        epochs: passes over the training data.
        gradient: what happens to the gradient before the optimizer takes it; of `thalweg.gradient`.
        average: of the weights along the way, which is then what is evaluated; of `thalweg.average`.
        wrapper: what goes around the optimizer's step; of `thalweg.wrapper`.
        accumulate: in how many parts of equal size, or of sizes one apart, a batch passes the model, so that only one
            part's activations are in memory. The gradient is that of the whole batch, for a loss that is a mean over
            examples: each part's counts by its examples. Batch norm sees the parts, each part drops units of its own,
            and the last batch of an epoch may be too small for so many.
        precision: ``"float32"``, everything in the task's own type; or ``"bf16"``: forward pass and loss in training
            under ``torch.autocast`` with bfloat16. Weights, gradients, the optimizer's state and every evaluation
            stay float32: what is judged is the weights.
        freeze: names of parameters that keep their initial values, or patterns such as ``"encoder.*"``, with spaces
            between them; ``"none"``. They cost no gradient and no optimizer state. Buffers, such as a batch norm's
            running mean, go on.
        recompute: ``"blocks"`` for activation checkpointing: of what the blocks of the model compute, only what
            passes between them is kept for the backward pass, which computes the rest again. The results are the same
            to the bit. See `thalweg.train.recompute` for what is a block. ``"none"`` keeps everything.
        init: the first values of the weights, in place of the task's own; of `thalweg.init`.
        activation: in place of the model's own, wherever it has one; of `thalweg.activation`.
        norm: in place of the model's own, and behind each layer that leads to an activation without one; of
            `thalweg.norm`, whose ``removed`` takes them out. See `thalweg.surgery`.
        dropout: before the last linear layers, or before or around the layers that it is for; of `thalweg.dropout`.
        penalty: on the weights, added to the loss, or a constraint that they keep to; of `thalweg.penalty`.
        loss: in place of the task's own; of `thalweg.loss`. The metric stays the task's.
        stop: when the run ends before its last epoch; of `thalweg.stop`. It takes the weights of its best epoch then.
        prune: which weights stay, from before the first step to the end; of `thalweg.prune`.
        bucket: ``"length"`` for batches of examples that are about as long, each cut to its longest, on tasks that
            say which number is ``padding``; see `thalweg.train.bucket`. ``"none"``: as they come, at full length.
        augment: what happens to a training example before the model sees it; of `thalweg.augment`. It follows from
            the run's seed, the epoch and the example; what is evaluated is left as it is. See
            `thalweg.train.augmented`.

    Raises:
        InputError: a value that its role does not take, or more parts than a batch has examples.

    >>> from thalweg import optim, schedule
    >>> recipe = Recipe(optim.adam(lr=0.003), schedule.warmup() >> schedule.cosine(), epochs=5)
    >>> print(recipe.toml())
    batch_size = 64
    epochs = 5
    <BLANKLINE>
    [optimizer]
    name = "adam"
    lr = 0.003
    <BLANKLINE>
    [[schedule]]
    name = "warmup"
    <BLANKLINE>
    [[schedule]]
    name = "cosine"
    <BLANKLINE>
    >>> Recipe.from_toml(recipe.toml()) == recipe
    True
    """

    optimizer: Ingredient = field(default_factory=optim.adam)
    schedule: Schedule = field(default_factory=schedule.constant)
    batch_size: int | Choice = 64
    epochs: int | Choice = 30
    gradient: Gradient = field(default_factory=Gradient)
    average: Ingredient | None = None
    wrapper: Ingredient | None = None
    init: Ingredient | None = None
    activation: Ingredient | None = None
    norm: Ingredient | None = None
    dropout: Ingredient | None = None
    penalty: Ingredient | None = None
    loss: Ingredient | None = None
    stop: Ingredient | None = None
    prune: Ingredient | None = None
    accumulate: int | Choice = 1
    precision: str = "float32"
    freeze: str = "none"
    recompute: str = "none"
    bucket: str = "none"
    augment: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        for role in ROLES:
            object.__setattr__(self, role, checked(role, getattr(self, role)))
        parts, size = max(values_of(self.accumulate)), min(values_of(self.batch_size))
        if parts > size:
            raise InputError(f"accumulate takes at most one part an example: {parts} parts, but batch_size is {size}")

    def space(self) -> dict[str, Distribution]:
        """Return what is searched, by path: ranges given, and the techniques' own for what is not named."""
        found: dict[str, Distribution] = {}
        for path, part in self.ingredients():
            found |= {f"{path}.{name}": value for name, value in part.space().items()}
        return found | {role: value for role in NUMBERS if isinstance(value := getattr(self, role), Choice)}

    def ranges(self) -> list[str]:
        """Return the paths of the ranges that were given, without those that techniques have of their own."""
        parts = [(f"{path}.{name}", value) for path, part in self.ingredients() for name, value in part]
        numbers = [(role, getattr(self, role)) for role in NUMBERS]
        return [path for path, value in (*parts, *numbers) if isinstance(value, Distribution)]

    def declared(self) -> Recipe:
        """Return the recipe with everything written out: values and defaults, and ranges where it is searched."""
        return self._with(
            {path: Ingredient(p.technique, dict(p.resolved()) | p.space()) for path, p in self.ingredients()}
        )

    def resolved(self, settings: Mapping[str, Any] | None = None) -> Recipe:
        """Return the recipe with every hyperparameter a value: drawn, else given, else the default."""
        drawn = dict(settings or {})

        def fill(path: str, part: Ingredient) -> Ingredient:
            here = {k.removeprefix(path + "."): v for k, v in drawn.items() if k.rpartition(".")[0] == path}
            return part.resolved(here)

        numbers = {}
        for role in NUMBERS:
            value = getattr(self, role)
            numbers[role] = drawn.get(role, value.values[0] if isinstance(value, Choice) else value)
        return replace(self._with({path: fill(path, part) for path, part in self.ingredients()}), **numbers)

    def draw(self, key: Key) -> Settings:
        """Return one independent draw from the space; a path's number depends on key and path alone."""
        return {path: place.at((key / path).generator().random()) for path, place in self.space().items()}

    def ingredients(self) -> list[tuple[str, Ingredient]]:
        """Return every ingredient with its path: the role's name, and in a chain its number too."""
        found = []
        for role in CATALOGUES:
            value = getattr(self, role)
            if role in CHAINS:
                found += [(f"{role}.{i}", part) for i, part in enumerate(value.parts)]
            elif value is not None:
                found.append((role, value))
        return found

    def _with(self, parts: Mapping[str, Ingredient]) -> Recipe:
        """Return the recipe with other ingredients at the same paths."""
        values: dict[str, Any] = {path: part for path, part in parts.items() if path in CATALOGUES}
        for role, chain in CHAINS.items():
            values[role] = chain(tuple(part for path, part in parts.items() if path.startswith(f"{role}.")))
        return replace(self, **values)

    def sizes(self) -> tuple[int, int]:
        """Return batch size and epochs of a resolved recipe."""
        assert isinstance(self.batch_size, int), "resolve the recipe first"
        assert isinstance(self.epochs, int), "resolve the recipe first"
        return self.batch_size, self.epochs

    def together(self) -> Together:
        """Return what runs of a resolved recipe must have in common with those that they train together with."""
        assert isinstance(self.accumulate, int), "resolve the recipe first"
        parts = [(role, part) for role in SHAPING if (part := getattr(self, role)) is not None]
        shaping = tuple((role, part.technique() if role == "dropout" else part) for role, part in parts)
        return Together(
            self.sizes()[0], self.accumulate, self.precision, self.freeze, self.recompute, self.bucket, shaping,
            labels=2**self.augment.mixes,
        )  # fmt: skip

    def toml(self) -> str:
        """Return the recipe as TOML; ``Recipe.from_toml`` reads it back."""
        said = {role: getattr(self, role) for role in (*NUMBERS, *WORDS)}
        numbers = tomli_w.dumps({role: plain(x) for role, x in said.items() if x != UNSAID.get(role)})
        heads = {
            path: f"[[{path.partition('.')[0]}]]" if "." in path else f"[{path}]" for path, _ in self.ingredients()
        }
        return "\n".join([numbers, *(f"{heads[path]}\n{table(part)}" for path, part in self.ingredients())])

    def digest(self) -> str:
        """Return a hash of the recipe, defaults included; equal for equal recipes, in any process."""
        return hashlib.sha256(self.toml().encode()).hexdigest()

    @classmethod
    def from_toml(cls, text: str, where: str = "the recipe", base: Recipe | None = None) -> Recipe:
        """Return the recipe that ``text`` describes; roles it leaves out are as in ``base``.

        Raises:
            InputError: the text is not TOML, or names a role, technique or hyperparameter that does not
                exist, or a value has the wrong type; the message gives ``where``, the path and the line.
        """
        try:
            said = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{where} is not TOML: {error}") from error
        values = {}
        for role, value in said.items():
            try:
                if role not in ROLES:
                    raise unknown("role", role, ROLES)
                values[role] = checked(role, from_plain(role, value))
            except InputError as error:
                line = line_of(text, role, str(error))
                raise InputError(f"{where}, line {line}: {error}") from error
        try:
            return replace(base or cls(), **values)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    @classmethod
    def from_file(cls, path: Path | str, base: Recipe | None = None) -> Recipe:
        """Return the recipe in a TOML file; see `from_toml`."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(f"the recipe {path} cannot be read: {reason}") from error
        return cls.from_toml(text, str(path), base)


@dataclass(frozen=True)
class Together:
    """What the runs of one population share: how a batch passes through them, and through what; see `Recipe`.

    Attributes:
        shaping: the roles that change what a step computes, with their ingredients.
        labels: of how many examples the targets enter an example's loss; more than one where pictures are mixed.
    """

    batch_size: int = 64
    accumulate: int = 1
    precision: str = "float32"
    freeze: str = "none"
    recompute: str = "none"
    bucket: str = "none"
    shaping: tuple[tuple[str, Ingredient], ...] = ()
    labels: int = 1

    def recipe(self) -> Recipe:
        """Return a recipe that says this, and nothing else."""
        said: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        del said["shaping"], said["labels"]
        mixed = Policy(augment.mixup().parts * (self.labels.bit_length() - 1))
        return Recipe(**said | dict(self.shaping), augment=mixed)

    @property
    def alone(self) -> bool:
        """Whether the runs train one by one: vmap takes no checkpoints, and no batches that differ in length."""
        return self.recompute != "none" or self.bucket != "none"


ROLES = tuple(role.name for role in fields(Recipe))
"""Everything a recipe chooses, and so everything a study can vary."""
