"""Parts of speech from a spaCy pipeline, where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment.text._edits import Draft

__all__ = ["tags"]


def tags(pipeline: str, drafts: Sequence[Draft]) -> list[list[str]]:
    """Return the part of speech of each word of each text, as spaCy calls it: ``NOUN``.

    Args:
        pipeline: the folder of a spaCy pipeline, or the name of an installed one.
        drafts: texts.

    Raises:
        InputError: spaCy or the pipeline is not there, or it does not tag.
    """
    found = []
    for draft, doc in zip(drafts, _opened(pipeline).pipe([draft.original for draft in drafts]), strict=True):
        places = {token.idx: token.pos_ for token in doc}
        found.append([places.get(start, "") for start in draft.bounds[::2]])
        if len(doc) and not any(places.values()):
            raise InputError(f"the spaCy pipeline {pipeline} gives no parts of speech; take one with a tagger")
    return found


@lru_cache(4)
def _opened(pipeline: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise InputError(
            "parts of speech need spaCy: pip install spacy, and a pipeline such as en_core_web_sm"
        ) from None
    try:
        return spacy.load(pipeline, exclude=["parser", "ner", "lemmatizer"])
    except (OSError, ValueError) as error:
        raise InputError(f"spaCy cannot open the pipeline {pipeline}: {str(error).splitlines()[0]}") from None
