"""The page that a preview is: one file, light and dark, which asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from thalweg.augment import Policy
from thalweg.inspect._preview.samples import Sample

__all__ = ["cost", "escaped", "sample", "whole"]

_STYLE = """
:root { --paper: #fff; --ink: #1c1f23; --soft: #5b636d; --rule: #dfe3e8; --shade: #f5f6f8;
  --out: #8f2f00; --out-fill: #fbe6db; --in: #00543f; --in-fill: #d9f0e6; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e4e7ea; --soft: #9ea7b1; --rule: #30363c;
  --shade: #1d2125; --out: #ffb08a; --out-fill: #4a2a18; --in: #7fe0bd; --in-fill: #123c30; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 Inter, "Helvetica Neue", Helvetica,
  Arial, "Liberation Sans", sans-serif; }
.page { max-width: 76rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 4vw, 3rem); }
h1 { font-size: clamp(1.2rem, 1rem + 1vw, 1.6rem); line-height: 1.3; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 small { font-weight: 400; color: var(--soft); font-size: .85rem; }
p { max-width: 46rem; margin: .2rem 0; color: var(--soft); overflow-wrap: anywhere; }
section { margin-top: 1.6rem; padding-top: 1.2rem; border-top: 1px solid var(--rule); }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; width: 160px; }
img { display: block; margin: 0 auto; background: var(--shade); }
img.fine { image-rendering: pixelated; }
figcaption { font-size: .8rem; line-height: 1.35; margin-top: .35rem; min-height: 3.4em; }
figcaption span { display: block; color: var(--soft); overflow-wrap: anywhere; }
dl.texts { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem; margin: 0; }
dl.texts dt { color: var(--soft); font-size: .85rem; line-height: 1.75; }
dl.texts dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 58rem; }
del, ins { padding: .05em .15em; border-radius: 3px; }
del { color: var(--out); background: var(--out-fill); }
ins { color: var(--in); background: var(--in-fill); text-underline-offset: .15em; }
details { margin-top: .7rem; font-size: .85rem; }
summary { cursor: pointer; color: var(--soft); width: max-content; }
pre { margin: .2rem 0 .8rem; padding: .6rem .8rem; background: var(--shade); white-space: pre-wrap;
  overflow-wrap: anywhere; font: .8rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
details h3 { font-size: .8rem; margin: .6rem 0 0; }
@media (max-width: 30rem) { figure { width: calc(50% - .5rem); } img { max-width: 100%; height: auto; }
  dl.texts { grid-template-columns: 1fr; gap: .1rem; } dl.texts dd { margin-bottom: .6rem; } }
@media print { section { break-inside: avoid; } }
"""

_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def escaped(text: str) -> str:
    """Return a text for HTML, inside quotation marks too."""
    return escape(text, quote=True)


def cost(seconds: float) -> str:
    """Return seconds with a fitting unit.

    >>> cost(0.00042), cost(0.042)
    ('420 µs', '42 ms')
    """
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def sample(sample: Sample, shown: str, told: Sequence[tuple[str, str]]) -> str:
    """Return a section on a sample: what is shown, and what was drawn, by epoch, behind a line to click on."""
    drawn = "".join(f"<h3>{escaped(title)}</h3><pre>{escaped(words)}</pre>" for title, words in told)
    return (
        f"<section><h2>sample {sample.number} <small>{escaped(sample.name)}</small></h2>{shown}"
        f"<details><summary>what was drawn</summary>{drawn}</details></section>"
    )


def whole(
    policy: Policy, seed: int, source: str, seconds: float, medium: str, said: Sequence[str], sections: Sequence[str]
) -> bytes:
    """Return the page.

    Args:
        policy: whose samples these are.
        seed: of the run.
        source: where the samples are from.
        seconds: for one of them.
        medium: ``image`` or ``text``.
        said: sentences that stand above them, as HTML.
        sections: of the samples.
    """
    what = {"image": "picture", "text": "text"}[medium]
    lead = f"{escaped(source)}, seed {seed}. A {what} took {cost(seconds)} here, the median of those shown."
    paragraphs = "".join(f"<p>{sentence}</p>" for sentence in (lead, *said))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_SECURITY}">\n'
        f'<title>{escaped(policy.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<div class="page">\n'
        f"<header><h1>{escaped(repr(policy))}</h1>{paragraphs}</header>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n"
        "</div>\n</body>\n</html>\n"
    ).encode("utf-8", "replace")
