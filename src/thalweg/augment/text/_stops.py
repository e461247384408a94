"""Words that carry grammar more than meaning, and are left alone where meaning is what changes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from thalweg.errors import InputError

__all__ = ["ENGLISH", "stop_words"]

_WORDS = """
a about above after again against ain't all am an and any are aren't as at be because been before being below
between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each either
else ever every few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's
hers herself him himself his how how's however i i'd i'll i'm i've if in into is isn't it it'd it'll it's its itself
just let's may me might mine more most mustn't must my myself neither never no none nor not nothing now of off on
once only or other ought our ours ourselves out over own per perhaps quite rather same shall shan't she she'd she'll
she's should shouldn't since so some such than that that's the their theirs them themselves then there there's
therefore these they they'd they'll they're they've this those though through thus to too under until unless up upon
us very was wasn't we we'd we'll we're we've were weren't what what's when where whether which while who who's whom
whose why will with within without won't would wouldn't yet you you'd you'll you're you've your yours yourself
yourselves
"""
ENGLISH = frozenset(_WORDS.split())
"""English articles, pronouns, prepositions, conjunctions, auxiliaries, and what negates."""


def stop_words(given: str) -> frozenset[str]:
    """Return the words that a step leaves alone, in lower case.

    Args:
        given: ``english``, the path of a file with a word a line, or an empty string for none.

    Raises:
        InputError: a file that cannot be read.

    >>> "the" in stop_words("english"), stop_words("")
    (True, frozenset())
    """
    if given == "english":
        return ENGLISH
    return _read(given) if given else frozenset()


@lru_cache(64)
def _read(path: str) -> frozenset[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"stop words cannot be read from {path} ({_why(error)}); give \"english\", \"\" or a file "
                         "with a word a line") from None  # fmt: skip
    return frozenset(line.strip().lower().replace("’", "'") for line in text.splitlines() if line.strip())


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no UTF-8"
