"""Executes policies on texts: which words a step touches, and what it puts in their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.augment._checks import shown
from thalweg.augment._draws import uniforms
from thalweg.augment._program import Step, steps
from thalweg.augment.text._edits import Draft, Edited, Protection, protected
from thalweg.augment.text._others import Others
from thalweg.augment.text._picks import Ring
from thalweg.augment.text._safety import Safety
from thalweg.augment.text._stops import stop_words
from thalweg.augment.text._translate import translate_sentences
from thalweg.augment.text._turns import Turn, plainly, step_key, turns
from thalweg.augment.text._words import Word, bounds_of_each, carried, starts_sentence
from thalweg.augment.text.sources import _masked
from thalweg.augment.text.sources._reads import READS
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment._policy import Policy

__all__ = ["augmented", "explained", "sources"]

_COMMON = ("share", "at_least", "at_most", "stop", "tagger")
"""Hyperparameters that say which words are edited; all others are the formula's."""


def augmented(
    policy: Policy,
    texts: Sequence[str],
    samples: Any = None,
    epoch: Any = 0,
    seed: Any = 0,
    protect: Any = None,
    entities: Sequence[Sequence[Sequence[Any]]] | None = None,
    safety: Safety | None = None,
) -> list[Edited]:
    """See `Policy.edited`, for many texts; each has a sample, and an epoch, a seed, spans and entities of its own.

    Raises:
        InputError: as there; it names the text.
    """
    if isinstance(texts, str):
        raise InputError("texts takes a list of strings, and this is one: call text, or give [text]")
    if not hasattr(texts, "__len__") or not hasattr(texts, "__getitem__"):
        raise InputError(f"texts takes a list of strings, not {shown(texts)}")
    count = len(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {i} is {text!r:.40}, of type {type(text).__name__}; texts are strings")
    numbers = [_each(*pair, count) for pair in (("samples", samples), ("epoch", epoch), ("seed", seed))]
    closed, places = _closed(texts, protect, entities), bounds_of_each(texts)
    known = entities or [()] * count
    found: list[Edited | None] = [None] * count
    rejected = [0] * count
    pending = list(range(count))
    for attempt in range(safety.tries if safety else 1):
        drafts = [Draft(texts[i], closed[i], places[i]) for i in pending]
        keys = [(numbers[2][i], numbers[1][i], numbers[0][i]) for i in pending]
        for step in steps(policy, "text"):
            _STAGES[step.technique.stage](step, drafts, keys, attempt)
        results = [draft.done() for draft in drafts]
        kept = [True] * len(pending)
        if safety:
            changed = [j for j, (_, log) in enumerate(results) if log]
            held = safety.holds([texts[pending[j]] for j in changed], [results[j][0] for j in changed])
            for j, holds in zip(changed, held, strict=True):
                kept[j] = holds
                rejected[pending[j]] += not holds
        for i, keep, (text, log) in zip(pending, kept, results, strict=True):
            if keep:
                found[i] = _with_entities(Edited(texts[i], text, log, (), rejected[i]), known[i])
        pending = [i for i, keep in zip(pending, kept, strict=True) if not keep]
        if not pending:
            break
    return [done or Edited(texts[i], texts[i], (), _plain(known[i]), rejected[i]) for i, done in enumerate(found)]


def _with_entities(done: Edited, entities: Sequence[Sequence[Any]]) -> Edited:
    return replace(done, entities=tuple(done.moved(entities))) if entities else done


def explained(policy: Policy, text: str, sample: int, epoch: int, seed: int) -> str:
    """Return what happens to a text, a line for each step."""
    done = augmented(policy, [text], [sample], epoch, seed)[0]
    lines = []
    for step in steps(policy, "text"):
        edits = [edit for edit in done.log if edit.step == step.place]
        said = "; ".join(_said(edit.before, edit.after, edit.start, edit.end) for edit in edits)
        if not said:
            happens = uniforms(step_key(seed, step.place), epoch, sample, 1)[0] < step.p
            what = "sentence" if step.technique.stage == "sentence" else "word"
            said = f"no {what} that it could edit" if happens else "left out"
        lines.append(f"{step.technique.name}: {said}")
    return "\n".join(lines)


def sources(policy: Policy) -> list[str]:
    """Return what files a policy's steps take their words from, with their licences, a line each."""
    return [
        f"{step.technique.name}: {READS[step.technique.name](step.values)}"
        for step in steps(policy, "text")
        if step.technique.name in READS
    ]


def _said(before: str, after: str, start: int, end: int) -> str:
    if not before:
        return f"{after.strip()!r} put in at {start}"
    if not after:
        return f"{before.strip()!r} at {start} to {end} taken out"
    return f"{before!r} at {start} to {end} became {after!r}"


def _plain(entities: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(entity) for entity in entities)


def _each(name: str, given: Any, count: int) -> list[int]:
    """Return a whole number for each text: one for all, or theirs; the first is 0 where nothing is given."""
    if given is None:
        return list(range(count))
    values = np.asarray(given)
    if values.dtype.kind not in "iu" and values.size:
        raise InputError(f"{name} takes whole numbers, not {shown(given)}")
    if values.ndim == 0:
        return [int(values)] * count
    if values.shape != (count,):
        raise InputError(f"{name} has {values.size} numbers for {count} texts")
    return [int(value) for value in values]


def _closed(
    texts: Sequence[str], protect: Any, entities: Sequence[Sequence[Sequence[Any]]] | None
) -> list[list[tuple[int, int]]]:
    """Return the spans of each text that no step touches: what is protected, and entities."""
    count = len(texts)
    if protect is None and not entities:
        return [[]] * count
    if entities is not None and len(entities) != count:
        raise InputError(f"entities has {len(entities)} lists for {count} texts")
    each: Sequence[Protection | None] = [protect] * count
    if protect is not None and not isinstance(protect, str | re.Pattern):
        protect = list(protect)
        if all(isinstance(item, str | re.Pattern) for item in protect):
            each = [protect] * count
        elif len(protect) == count:
            each = protect
        else:
            raise InputError(f"protect has {len(protect)} lists for {count} texts")
    return [
        protected(text, each[i], f"text {i}") + (protected(text, entities[i], f"text {i}") if entities else [])
        for i, text in enumerate(texts)
    ]


Stage = Callable[[Step, list[Draft], list[tuple[int, int, int]], int], None]


def _word(turn: Turn, i: int) -> Word:
    draft = turn.draft
    word = draft.words[i]
    if word.islower() and not turn.tags:
        return Word(word, draft.words[i - 1] if i else "")
    named = word[0].isupper() and not word.isupper() and not starts_sentence(draft.original, draft.bounds[2 * i])
    if named:  # where most words have capitals, they say nothing
        named = not draft.in_capitals
    return Word(word, draft.words[i - 1] if i else "", turn.tags[i] if turn.tags else "", named)


def _own(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.values.items() if name not in _COMMON}


def _replace_words(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    """Words become others, which take over their casing; a formula gives None for a word it has nothing for."""
    name, formula, own = step.technique.name, step.technique.formula, _own(step)
    for turn in turns(step, drafts, keys, attempt):
        left, draft = turn.wanted, turn.draft
        for i, numbers in turn.choices():
            new = formula(_word(turn, i), *numbers, **own)
            if new is None:
                continue
            new = carried(new, draft.words[i])
            if new != draft.words[i]:
                draft.replace(i, new, step.place, name)
                left -= 1
                if not left:
                    break


def _rewrite_words(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    """Words are written otherwise, casing and all; one that becomes empty is taken out, but never the last."""
    name, formula, own = step.technique.name, step.technique.formula, _own(step)
    for turn in turns(step, drafts, keys, attempt):
        left, draft, standing = turn.wanted, turn.draft, turn.draft.count - _taken_out(turn.draft)
        for i, numbers in turn.choices():
            word = draft.word(i)
            new = formula(Word(word), *numbers, **own)
            if new is None or new == word or (not new and standing <= 1):
                continue
            if new:
                draft.replace(i, new, step.place, name)
            else:
                draft.delete(i, step.place, name)
                standing -= 1
            left -= 1
            if not left:
                break


def _taken_out(draft: Draft) -> int:
    return sum(not edit.after for edit in draft.edits)


def _exchange_words(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    """Two words change places; each takes over the casing of its new place."""
    name, formula, own = step.technique.name, step.technique.formula, _own(step)
    for turn in turns(step, drafts, keys, attempt):
        left, draft, words = turn.wanted, turn.draft, turn.draft.words
        standing = Others(turn.eligible, [words[j].lower() for j in turn.eligible])
        for i, numbers in turn.choices():
            others = standing.but(words[i].lower())
            if i in draft.touched or not others:
                continue
            j = formula(others, *numbers, **own)
            standing.take(i)
            standing.take(j)
            texts = [_without_capital(draft, k) for k in (i, j)]
            draft.replace(i, carried(texts[1], words[i]), step.place, name)
            draft.replace(j, carried(texts[0], words[j]), step.place, name)
            left -= 1
            if not left:
                break


def _without_capital(draft: Draft, i: int) -> str:
    """Return a word without the capital that it has only because a sentence begins with it."""
    word = draft.words[i]
    if word.isupper() or not starts_sentence(draft.original, draft.bounds[2 * i]):
        return word
    return word[:1].lower() + word[1:]


def _insert_words(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    """Words are put in between others."""
    name, formula, own = step.technique.name, step.technique.formula, _own(step)
    stop = stop_words(step.values.get("stop", ""))
    for turn in turns(step, drafts, keys, attempt, of=Draft.gaps):
        left, draft = turn.wanted, turn.draft
        among = Ring(Word(word) for word in draft.words if plainly(word) not in stop)
        for i, numbers in turn.choices():
            new = formula(among, *numbers, **own)
            if new is not None:
                draft.insert(i, new, step.place, name)
                left -= 1
                if not left:
                    break


def _mask_words(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    _ask_model(step, list(turns(step, drafts, keys, attempt)), gaps=False)


def _mask_gaps(step: Step, drafts: list[Draft], keys: list[tuple[int, int, int]], attempt: int) -> None:
    _ask_model(step, list(turns(step, drafts, keys, attempt, of=Draft.gaps)), gaps=True)


def _ask_model(step: Step, turns: list[Turn], gaps: bool) -> None:
    """Words that a masked language model guesses from all others; all texts are asked about together."""
    name, formula, own = step.technique.name, step.technique.formula, _own(step)
    model = _masked.opened(own.pop("path"))
    chosen = [dict(sorted(islice(turn.choices(), turn.wanted))) for turn in turns]
    asked = [(turn.draft, list(numbers)) for turn, numbers in zip(turns, chosen, strict=True)]
    guessed = model.guesses(asked, top=own["top"], gaps=gaps)
    for (draft, places), numbers, guesses in zip(asked, chosen, guessed, strict=True):
        for i, known in zip(places, guesses, strict=True):
            new = formula(known, *numbers[i], **own)
            if new is not None and gaps:
                draft.insert(i, new, step.place, name)
            elif new is not None:
                draft.replace(i, carried(new, draft.words[i]), step.place, name)


_STAGES: dict[str, Stage] = {
    "word": _replace_words, "letters": _rewrite_words, "order": _exchange_words, "gap": _insert_words,
    "mask": _mask_words, "mask_gap": _mask_gaps, "sentence": translate_sentences,
}  # fmt: skip
