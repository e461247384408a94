"""Wordnets of many languages from the store of the package wn."""

from __future__ import annotations

from typing import Any

from thalweg.errors import InputError

__all__ = ["Store"]

_LETTERS = {"NOUN": ("n",), "VERB": ("v",), "ADJ": ("a", "s"), "ADV": ("r",)}


class Store:
    """A lexicon of wn's store.

    Args:
        name: as wn calls it, such as ``oewn:2024``.

    Raises:
        InputError: no wn, or no such lexicon in its store.
    """

    def __init__(self, name: str) -> None:
        try:
            import wn
        except ImportError:
            raise InputError(f"the lexicon {name} is in the store of the package wn: pip install wn") from None
        try:
            self._wordnet = wn.Wordnet(name, expand="")
        except wn.Error as error:
            raise InputError(
                f"wn's store has no lexicon {name} ({error}); python -m wn download {name} gets it"
            ) from None
        self.name = name

    def said(self) -> str:
        """Return which lexicon it is, where it lies, and its licence."""
        import wn

        (first, *_) = self._wordnet.lexicons()
        return f"{first.label} {first.version} in {wn.config.database_path}, licence {first.license}"

    def frequency(self, lemma: str, part: str) -> float:
        """Return how often a word was met as a part of speech; a little for each sense if that is not stored."""
        senses = self._senses(lemma, part)
        return sum(sum(map(int, sense.counts())) for sense in senses) + 0.01 * len(senses)

    def synonyms(self, lemma: str, part: str, senses: int) -> tuple[str, ...]:
        """Return single words of the word's first synsets; no names."""
        found = [word for sense in self._senses(lemma, part)[:senses] for word in sense.synset().lemmas()]
        single = [word for word in found if word != lemma and " " not in word and word.islower()]
        return tuple(dict.fromkeys(single))

    def antonyms(self, lemma: str, part: str) -> frozenset[str]:
        """Return words that stand against any of the word's senses, or against adjectives that it is similar to."""
        found: set[str] = set()
        for sense in self._senses(lemma, part):
            near = [other for synset in sense.synset().get_related("similar") for other in synset.senses()]
            for one in [sense, *near]:
                for other in one.get_related("antonym"):
                    found.update(word.lower() for word in other.synset().lemmas())
        return frozenset(found - {lemma})

    def _senses(self, lemma: str, part: str) -> list[Any]:
        return [sense for letter in _LETTERS[part] for sense in self._wordnet.senses(lemma, pos=letter)]
