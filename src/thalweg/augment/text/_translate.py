"""Sentences go through another language and back; all that is chosen, of all texts, together."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from thalweg.augment._program import Step
from thalweg.augment.text._edits import Draft
from thalweg.augment.text._turns import turns
from thalweg.augment.text.sources import _translation

__all__ = ["translate_sentences"]


def translate_sentences(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    """Put what comes back in the place of sentences that nothing protects and no step has touched."""
    values = step.values
    models = [_translation.opened(values["path"]), _translation.opened(values["back"] or values["path"])]
    chosen = [
        (turn.draft, i, numbers[0])
        for turn in turns(step, drafts, keys, attempt, of=Draft.free_sentences)
        for i, numbers in sorted(islice(turn.choices(), turn.wanted))
    ]
    given = []
    for draft, i, _ in chosen:
        sentence = draft.sentences[i]
        given.append(" ".join(draft.original[sentence.start : sentence.end].split()))
    made = (_searched if values["beams"] > 1 else _sampled)(step, models, given, [u for *_, u in chosen])
    for (draft, i, _), old, new in zip(chosen, given, made, strict=True):
        if new is not None and new != old and _fixed(new) == _fixed(old):
            draft.rewrite(draft.sentences[i], new, step.place, step.technique.name)


Models = Sequence[_translation.Translator]


def _sampled(step: Step, models: Models, given: Sequence[str], numbers: Sequence[float]) -> list[str | None]:
    """Return what comes back where each token is chosen; the random numbers of a sentence follow from its own."""
    formula, top, languages = step.technique.formula, step.values["top"], _languages(step)
    streams = [int(u * 2**53) for u in numbers]
    found: list[str | None] = list(given)
    for way, model in enumerate(models):
        still = [i for i, text in enumerate(found) if text is not None]
        made = model.sampled(
            [found[i] or "" for i in still], languages[way], [streams[i] for i in still], way, top, formula
        )
        for i, text in zip(still, made, strict=True):
            found[i] = text
    return found


def _searched(step: Step, models: Models, given: Sequence[str], numbers: Sequence[float]) -> list[str | None]:
    """Return one of the likeliest that come back; they are the same whatever the key, and are remembered."""
    beams, languages = step.values["beams"], _languages(step)
    about = (models[0].path, models[1].path, *languages[0], beams)
    new = list(dict.fromkeys(text for text in given if (about, text) not in _KNOWN))
    there = models[0].searched(new, languages[0], beams, 1)
    gone = [(text, best[0][0]) for text, best in zip(new, there, strict=True) if best]
    back = models[1].searched([text for _, text in gone], languages[1], beams, beams)
    here = dict(zip((text for text, _ in gone), back, strict=True))
    if len(_KNOWN) + len(new) > _MOST:
        for known in list(_KNOWN):
            if known[0] != about or known[1] not in given:
                del _KNOWN[known]
    _KNOWN.update({(about, text): here.get(text, []) for text in new})
    return [
        step.technique.formula(_KNOWN[about, text][: step.values["top"]], u)
        for text, u in zip(given, numbers, strict=True)
    ]


_KNOWN: dict[tuple[Any, str], list[tuple[str, float]]] = {}
_MOST = 1 << 14
"""Sentences whose translations are remembered."""


def _languages(step: Step) -> list[tuple[str, str]]:
    here, there = step.values["language"], step.values["through"]
    return [(here, there), (there, here)]


_NO_WORD = re.compile(r"\S*(?:[\d@#$_]|://|www\.)\S*")


def _fixed(text: str) -> Counter[str]:
    """Return what is no word and stays in any language: numbers, addresses, mentions, tags, and pictures."""
    found = Counter(one.strip(".,;:!?…()[]{}\"'“”‘’«»") for one in _NO_WORD.findall(text))
    return found + Counter(letter for letter in text if unicodedata.category(letter) == "So")
