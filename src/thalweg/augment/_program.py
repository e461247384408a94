"""A policy made ready: its steps with their numbers, and what each sample draws for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.augment._draws import place_key, uniform_arrays, uniforms
from thalweg.errors import InputError
from thalweg.technique import Distribution

if TYPE_CHECKING:
    from thalweg.augment._policy import Policy
    from thalweg.augment._technique import AugmentTechnique

__all__ = ["Step", "steps"]


@dataclass(frozen=True, eq=False)
class Step:
    """One augmentation of a policy.

    Attributes:
        technique: whose formula.
        values: its hyperparameters, but ``p``.
        p: how likely it is to happen.
        place: in the policy, counted from 0.
        draws: how many random numbers the technique takes.
    """

    technique: AugmentTechnique
    values: dict[str, Any]
    p: float
    place: int
    draws: int = 0

    def drawn(self, seed: int, epoch: int, sample: int) -> list[float] | None:
        """Return a sample's random numbers, or None if nothing happens to it."""
        key = _key(seed, self.place)
        if self.p < 1 and uniforms(key, epoch, sample, 1)[0] >= self.p:
            return None
        return uniforms(key, epoch, sample, 1 + self.draws)[1:] if self.draws else []

    def drawn_arrays(self, keys: np.ndarray, epochs: Any, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of many samples something happens to, bool, and their random numbers, ``(…, draws)``."""
        found = uniform_arrays(keys, epochs, samples, 1 + self.draws)
        return found[..., 0] < self.p, found[..., 1:]

    def keys(self, seeds: Any) -> np.ndarray:
        """Return the step's keys under some seeds, of their shape."""
        flat = np.ravel(seeds)
        if len(flat) and (flat == flat[0]).all():
            return np.full(np.shape(seeds), _key(int(flat[0]), self.place), np.uint64)
        distinct, which = np.unique(flat, return_inverse=True)
        each = np.array([_key(seed, self.place) for seed in distinct.tolist()], np.uint64)
        return each[which].reshape(np.shape(seeds))


_key = lru_cache(1 << 16)(place_key)


def steps(policy: Policy, medium: str) -> tuple[Step, ...]:
    """Return a policy's steps, which are kept with it: hashing it anew would take longer than many a picture does.

    Raises:
        InputError: one that is for another medium, or a hyperparameter that is still a range.
    """
    kept: tuple[Step, ...] | None = policy.__dict__.get(f"_steps_{medium}")
    if kept is not None:
        return kept
    found = []
    for place, part in enumerate(policy.parts):
        technique: Any = part.technique
        if technique.medium != medium:
            what = {"image": "pictures", "text": "texts"}
            raise InputError(f"{part.name} is for {what[technique.medium]}, and these are {what[medium]}")
        if ranges := [name for name, value in part.values if isinstance(value, Distribution)]:
            raise InputError(f"{ranges[0]} of {part.name} is a range to search; give it a value")
        if technique.stage == "last" and place < len(policy.parts) - 1:
            raise InputError(f"{part.name} makes floats of levels: it is the last step of a policy")
        values = {**technique.hyperparameters, **dict(part.values)}
        found.append(Step(technique, values, float(values.pop("p", 1.0)), place, technique.draws))
    policy.__dict__[f"_steps_{medium}"] = done = tuple(found)
    return done
