"""What a policy does to a few samples, as a page or a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thalweg.augment import Policy
from thalweg.errors import InputError
from thalweg.files import write_whole
from thalweg.inspect._preview import page, pictures, texts
from thalweg.inspect._preview.samples import chosen, samples_of
from thalweg.inspect._preview.settled import settled

__all__ = ["Preview", "preview"]


@dataclass(frozen=True)
class Preview:
    """What `preview` wrote.

    Attributes:
        out: the file.
        samples: how many samples it shows.
        there: how many there are; the others were not looked at.
        seconds: what one augmentation of a sample takes, the median over those shown.
        medium: ``image`` or ``text``.
        notes: sentences on what is not as in a study: a value that is shown for one to search, or a size.
    """

    out: Path
    samples: int
    seconds: float
    medium: str
    there: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = {"image": "picture", "text": "text"}[self.medium]
        count = f"{self.samples} {what}{'s' * (self.samples != 1)}"
        whole = f" of {self.there}" if self.there > self.samples else ""
        return "\n".join([f"{self.out}: {count}{whole}, {page.cost(self.seconds)} each", *self.notes])


def preview(
    policy: Policy,
    path: Path | str,
    out: Path | str,
    *,
    text: str | None = None,
    samples: int = 6,
    epochs: int = 4,
    seed: int = 0,
) -> Preview:
    r"""Write what a policy does to some samples, each in several epochs, beside how it was.

    Args:
        policy: augmentations of pictures or of texts; of a range to search, its middle is shown.
        path: a picture; a folder of pictures; a text file with a text on each line; or a CSV file with a column of
            texts or of paths to pictures. A sample's number is its place there, counted from 0, without empty lines.
        out: ``.html``, one page that asks the network for nothing, or for pictures also ``.png``.
        text: the column of a CSV file with the texts, where there are several.
        samples: how many to show at most, from all over what is there.
        epochs: how many augmentations of each, those of the first epochs.
        seed: of the run whose augmentations these are.

    Raises:
        InputError: what cannot be read, a policy for something else or without steps, or a file that cannot be
            written.

    >>> from tempfile import mkdtemp
    >>> from thalweg import augment
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "texts.txt").write_text("The quick brown fox\njumps over the lazy dog\n")
    >>> done = preview(augment.random_swap(), folder / "texts.txt", folder / "texts.html")
    >>> done.samples, done.medium, done.out.stat().st_size > 2000
    (2, 'text', True)
    """
    out = Path(out)
    if not policy.parts:
        raise InputError('the policy has no augmentation; add one, such as name = "flip" under [[augment]]')
    for name, value, least in (("samples", samples, 1), ("epochs", epochs, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
    if out.suffix not in (".html", ".png"):
        raise InputError(f'a preview is written as .html or .png, not "{out.name}"')
    medium, there = samples_of(Path(path), text)
    if medium == "text" and out.suffix == ".png":
        raise InputError(f"a preview of texts is a page: write it as {out.with_suffix('.html')}")
    some = chosen(there, samples)
    policy, notes = settled(policy)
    if medium == "image":
        content, seconds = pictures.drawn(policy, some, epochs, seed, str(path), out.suffix, notes)
    else:
        content, seconds = texts.drawn(policy, some, epochs, seed, str(path), notes)
    try:
        write_whole(out, content)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    return Preview(out, len(some), seconds, medium, len(there), tuple(notes))
