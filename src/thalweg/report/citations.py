"""Sources and where they are cited: numbered on the page and in plain text, by key in LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Bibliography", "Reference", "tex"]


@dataclass(frozen=True)
class Reference:
    """One published work.

    >>> one = Reference("Kingma & Ba", "2015", "Adam: A Method for Stochastic Optimization")
    >>> str(one)
    'Kingma & Ba (2015). Adam: A Method for Stochastic Optimization.'
    """

    authors: str
    year: str
    title: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}). {self.title + '.' if self.title else ''}".strip()


class Bibliography:
    r"""The works that a text cites, in the order in which it does.

    `cite` returns a mark to put into the text; `html`, `plain` and `latex` turn a text with marks into one to print.

    >>> works = Bibliography()
    >>> text = f"We used Adam{works.cite('Kingma & Ba 2015, Adam: A Method, Algorithm 1; torch’s own')}."
    >>> works.plain(text), works.latex(text)
    ('We used Adam [1].', 'We used Adam~\\cite{kingma2015}.')
    >>> print(works.bibtex())
    @misc{kingma2015,
      author = {Kingma and Ba},
      title = {{Adam: A Method}},
      year = {2015},
    }
    """

    def __init__(self) -> None:
        self.references: list[Reference] = []

    def cite(self, *sources: str) -> str:
        """Return the mark of some sources, each ``authors year, title``; parts without a year are not cited."""
        found = [self._place(work) for source in sources for work in _works(source)]
        return f"\ue000{','.join(map(str, dict.fromkeys(found)))}\ue001" if found else ""

    def html(self, text: str) -> Markup:
        """Return a text whose marks are links to the list of works."""
        return Markup(_MARK.sub(self._linked, str(escape(text))))

    def plain(self, text: str) -> str:
        """Return a text whose marks are numbers in brackets."""
        return _MARK.sub(lambda mark: f" [{', '.join(str(place + 1) for place in _places(mark))}]", text)

    def latex(self, text: str) -> str:
        """Return a text as LaTeX, whose marks are citations by key."""
        keys = self._keys()
        return _MARK.sub(lambda mark: rf"~\cite{{{','.join(keys[place] for place in _places(mark))}}}", tex(text))

    def bibtex(self) -> str:
        """Return the works as BibTeX."""
        return "\n\n".join(
            _entry(key, work) for key, work in zip(self._keys(), self.references, strict=True)
        )  # fmt: skip

    def _place(self, work: Reference) -> int:
        """Return a work's place; one that is there under a part of its title is the same."""
        for place, other in enumerate(self.references):
            same = (work.authors, work.year) == (other.authors, other.year)
            if same and (other.title.startswith(work.title) or work.title.startswith(other.title)):
                self.references[place] = max(work, other, key=lambda one: len(one.title))
                return place
        self.references.append(work)
        return len(self.references) - 1

    def _keys(self) -> list[str]:
        keys: list[str] = []
        for work in self.references:
            first = re.split(r",| & | et al", work.authors)[0].split()[-1]
            key = re.sub(r"[^a-z]", "", first.lower()) + work.year
            keys.append(next(k for k in (key, *(f"{key}{letter}" for letter in _LETTERS)) if k not in keys))
        return keys

    @staticmethod
    def _linked(mark: re.Match[str]) -> str:
        links = (f'<a class="cite" href="#reference-{place + 1}">{place + 1}</a>' for place in _places(mark))
        return f"\u00a0[{', '.join(links)}]"


_MARK = re.compile("\ue000([0-9,]+)\ue001")
_LETTERS = "bcdefghijklmnopqrstuvwxyz"
_WORK = re.compile(r"(?P<authors>.+?) (?P<year>1[5-9]\d\d|20\d\d)(?:, (?P<title>.+))?")
_LOCATOR = re.compile(r"(?:,? ?\b(?:Algorithms?|sections?|equations?|where|whose)\b .*)$")


def _places(mark: re.Match[str]) -> Iterable[int]:
    return [int(place) for place in mark[1].split(",")]


def _works(source: str) -> list[Reference]:
    found = (_WORK.fullmatch(part.strip()) for part in source.split(";"))
    return [
        Reference(one["authors"], one["year"], _LOCATOR.sub("", one["title"] or "").strip(" ,"))
        for one in found
        if one
    ]


def _entry(key: str, work: Reference) -> str:
    authors = re.sub(r"\s*(?:,|&)\s*", " and ", work.authors).replace(" et al.", " and others")
    title = [f"  title = {{{{{tex(work.title)}}}}},"] if work.title else []
    return "\n".join([f"@misc{{{key},", f"  author = {{{tex(authors)}}},", *title, f"  year = {{{work.year}}},", "}"])


def tex(text: str) -> str:
    r"""Return plain text as LaTeX.

    >>> tex("50 % of f_1: −3")
    '50 \\% of f\\_1: $-$3'
    """
    return "".join(_TEX.get(character, character) for character in text)


_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "×": r"$\times$", "→": r"$\to$", "≤": r"$\le$",
    "\u00a0": "~", "\u202f": r"\,", "–": "--", "’": "'", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
