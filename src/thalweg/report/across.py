"""What may be said of several studies at once: who is claimed to be ahead, where, and where nothing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.report.reading import Study

__all__ = ["Claims", "claimed", "ordered", "sentences"]

FEW = 3
"""Up to so many are told one by one; more are counted."""


@dataclass(frozen=True)
class Claims:
    """What one study claims of its recipes.

    ``pairs`` holds every (better, worse) that is claimed; ``first`` the recipe that is claimed ahead of every
    other of the study, if one is.
    """

    label: str
    names: list[str]
    judged: list[str]
    pairs: set[tuple[str, str]]

    @property
    def first(self) -> str | None:
        """The one recipe that is ahead of all others, of whom each must have been judged."""
        others = len(self.names) - 1
        ahead = {name: sum(better == name for better, _ in self.pairs) for name in self.names}
        return next((name for name in self.names if others and ahead[name] == others), None)

    def ahead(self, name: str) -> bool:
        """Return whether a recipe is ahead of another here."""
        return any(better == name for better, _ in self.pairs)

    def behind(self, name: str) -> bool:
        """Return whether another recipe is ahead of this one here."""
        return any(worse == name for _, worse in self.pairs)


def claimed(studies: Sequence[Study], labels: Sequence[str]) -> list[Claims | None]:
    """Return what each study claims; None of one without a verdict on who is ahead."""
    return [_of(study, label) for study, label in zip(studies, labels, strict=True)]


def _of(study: Study, label: str) -> Claims | None:
    judged = [name for name, group in study.group.items() if group]
    if not (study.verdict or {}).get("best"):
        return None
    found = set()
    for pair in (study.verdict or {}).get("pairs") or []:
        if pair.get("claimed") and pair.get("difference"):
            better = (pair["difference"] > 0) == study.higher_is_better
            found.add((pair["a"], pair["b"]) if better else (pair["b"], pair["a"]))
    return Claims(label, study.names, judged, found) if judged else None


def ordered(studies: Sequence[Study], claims: Sequence[Claims | None]) -> list[str]:
    """Return all recipes' names: first what is ahead in more studies than it is behind, then by the mean place."""
    names = list(dict.fromkeys(name for study in studies for name in study.names))
    known = [one for one in claims if one]
    balance = {name: sum(one.ahead(name) - one.behind(name) for one in known) for name in names}
    places: dict[str, list[float]] = {name: [] for name in names}
    for study in studies:
        judged = [name for name in study.order if study.mean(name) is not None]
        for place, name in enumerate(judged):
            places[name].append(place / max(1, len(judged) - 1))

    def key(name: str) -> tuple[int, float]:
        found = places[name]
        return -balance[name], sum(found) / len(found) if found else 2.0

    return sorted(names, key=key)


def sentences(claims: Sequence[Claims | None], names: Sequence[str]) -> list[str]:
    """Return what the studies claim together, the headline first.

    Args:
        claims: of each study.
        names: of all recipes, in their order.
    """
    known = [one for one in claims if one]
    if not known:
        return ["None of these studies has a verdict yet.", "What follows shows the runs that are there."]
    missing = len(claims) - len(known)
    return [
        *(_won(known, names) or []),
        *_partly(known),
        *_open(known),
        "Each verdict holds for its own task; nothing is claimed across tasks.",
        *([f"{missing} {'has' if missing == 1 else 'have'} no verdict on who is best."] if missing else []),
    ]


def _won(known: Sequence[Claims], names: Sequence[str]) -> list[str]:
    """Say which recipes are ahead of all others, and in how many of the studies that have them."""
    won = {name: [one for one in known if one.first == name] for name in names}
    leaders = sorted((name for name in names if won[name]), key=lambda name: -len(won[name]))
    parts = []
    for name in leaders[:FEW]:
        others = [[other for other in one.names if other != name] for one in won[name]]
        same = all(set(some) == set(others[0]) for some in others)
        whom = _listed(others[0], "all others") if same else "all others"
        having = sum(name in one.judged for one in known)
        parts.append(f"{name} is ahead of {whom} {_where([one.label for one in won[name]], having)}")
    if len(leaders) > FEW:
        parts.append(f"{len(leaders) - FEW} more lead elsewhere")
    return [f"{'; '.join(parts)}."] if parts else []


def _where(labels: Sequence[str], having: int) -> str:
    """Say where something holds, of so many studies that could show it."""
    count = len(labels)
    if having == 1:
        return f"on {labels[0]}"
    of = f"all {having}" if count == having > 2 else "both" if count == having else f"{count} of the {having}"
    named = f" ({', '.join(labels)})" if count <= FEW else ""
    return f"in {of} studies that have it{named}"


def _partly(known: Sequence[Claims]) -> list[str]:
    """Say of each study in which some are ahead of some, and none of all, who is."""
    found = [one for one in known if one.pairs and not one.first]
    if len(found) > FEW:
        return [f"In {len(found)} studies some recipes are ahead of others, and none is ahead of all."]
    return [f"On {one.label}, {_some(one)}." for one in found]


def _some(one: Claims) -> str:
    """Tell who is ahead of most, and of whom it cannot be told apart."""
    ahead = {
        name: [worse for better, worse in one.pairs if better == name] for name in one.judged if not one.behind(name)
    }
    most = max(len(worse) for worse in ahead.values())
    leaders = [name for name in ahead if len(ahead[name]) == most]
    name, rest = leaders[0], len(one.judged) - 1
    whom = _listed([other for other in one.names if other in ahead[name]], f"{most} of {rest} others")
    if len(leaders) == 1:
        apart = [other for other in one.judged if other not in {name, *ahead[name]}]
        but = f", and cannot be told apart from {_listed(apart, f'{len(apart)} others')}" if apart else ""
        return f"{name} is ahead of {whom}{but}"
    same = all(set(ahead[other]) == set(ahead[name]) for other in leaders)
    who = _listed(leaders, f"{len(leaders)} recipes")
    return f"{who} are ahead of {whom if same else f'{most} others each'}, and not of each other"


def _listed(names: Sequence[str], many: str) -> str:
    if len(names) > FEW:
        return many
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _open(known: Sequence[Claims]) -> list[str]:
    """Say where no recipe can be told apart from another, or has none beside it."""
    alone = [one.label for one in known if len(one.judged) == 1 and not one.pairs]
    shut = [one.label for one in known if len(one.judged) > 1 and not one.pairs]
    found = []
    if shut and len(shut) == len(known):
        which = (
            f"any of these {len(shut)} studies" if len(shut) > 2 else "either study" if len(shut) == 2 else shut[0]
        )
        found.append(f"No two recipes can be told apart {'on' if len(shut) == 1 else 'in'} {which}.")
    elif shut:
        found.append(f"No two recipes can be told apart {_counted(shut)}.")
    if alone:
        found.append(f"One recipe alone was judged {_counted(alone)}.")
    return found


def _counted(labels: Sequence[str]) -> str:
    return f"in {len(labels)} studies" if len(labels) > FEW else f"on {_listed(labels, '')}"
