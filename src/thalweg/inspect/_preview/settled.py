"""What is shown of a policy in which something is still to be searched: one value of each range, which it says."""

from __future__ import annotations

from thalweg.augment import Policy
from thalweg.technique import Choice, Distribution, Ingredient

__all__ = ["settled"]

_REACHES = ("rotate", "shear", "shift", "scale", "limit")
"""Hyperparameters that say how far draws reach, for which other libraries take two ends."""


def settled(policy: Policy) -> tuple[Policy, list[str]]:
    """Return a policy whose ranges are values, their middles, and a sentence on each.

    >>> from thalweg import augment
    >>> from thalweg.technique import Uniform
    >>> settled(augment.blur(limit=Uniform(1.0, 3.0)))
    (blur(limit=2.0), ['limit of blur is searched from 1.0 to 3.0, and 2.0 here.'])
    """
    parts, said = [], []
    for part in policy.parts:
        values = dict(part.values)
        for name, searched in part.values:
            if isinstance(searched, Distribution):
                values[name] = searched.at(0.5)
                said.append(_said(part, name, searched, values[name]))
        parts.append(Ingredient(part.technique, values))
    return Policy(tuple(parts)), said


def _said(part: Ingredient, name: str, searched: Distribution, value: object) -> str:
    if not isinstance(searched, Choice):
        return f"{name} of {part.name} is searched from {searched.low!r} to {searched.high!r}, and {value!r} here."
    words = ", ".join(map(repr, searched.values))
    hint = ""
    if name in _REACHES and len(searched.values) == 2:
        most = max(searched.values)
        hint = (
            f" If a range to draw from was meant: {name} = {most!r} is drawn anew for each sample, up to {most!r}; a "
            f"list is searched."
        )
    return f"{name} of {part.name} is searched among {words}, and {value!r} here.{hint}"
