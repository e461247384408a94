"""A contact sheet: pictures beside what a policy makes of them, as a page or as one picture."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
import torch

from thalweg.augment import AugmentTechnique, Policy
from thalweg.augment._program import steps
from thalweg.augment.image._files import resized_to
from thalweg.augment.image._opencv import opencv
from thalweg.errors import InputError
from thalweg.inspect._preview import page
from thalweg.inspect._preview.samples import Sample

__all__ = ["drawn"]

_SHOWN = 320
"""Pixels of the longer side that a page shows at most."""

_TILE, _GAP, _LINE = 160, 12, 18
"""Pixels of a tile of the sheet, between tiles, and of a line of words."""


@dataclass
class _Row:
    """A sample, and what became of it in each epoch: pictures, and what was drawn in words."""

    sample: Sample
    original: np.ndarray
    pictures: list[np.ndarray] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def drawn(
    policy: Policy, samples: list[Sample], epochs: int, seed: int, source: str, suffix: str, notes: list[str]
) -> tuple[bytes, float]:
    """Return a page (``.html``) or a picture (``.png``) of a policy's pictures, and the seconds that one takes.

    Args:
        policy, samples, epochs, seed, source: as for `preview`.
        suffix: which of both.
        notes: sentences for the page, to which one is appended where pictures are resized.
    """
    images = _alike([sample.image() for sample in samples])
    visible = policy
    stages = [part.technique.stage for part in policy.parts if isinstance(part.technique, AugmentTechnique)]
    numbers = stages[-1] == "last"
    if numbers:  # changes numbers, not what one sees, and moves no other step's draws
        visible = Policy(policy.parts[:-1])
    if "mix" in stages:
        images = _of_one_size(images, notes)
    rows = [_Row(sample, image) for sample, image in zip(samples, images, strict=True)]
    seconds = (_mixed if "mix" in stages else _augmented)(rows, visible, epochs, seed)
    for row in rows:
        height, width = row.original.shape[:2]
        row.words = [
            visible.explain(row.sample.number, epoch, seed=seed, height=height, width=width) + extra
            for epoch, extra in zip(range(epochs), row.words or [""] * epochs, strict=True)
        ]
    if suffix == ".png":
        return _sheet(rows, f"{policy!r}: {page.cost(seconds)} a picture"), seconds
    said = [page.escaped(note) for note in notes]
    said += [f"{policy.parts[-1].name} is not shown: it changes numbers, not what one sees."] if numbers else []
    return _page(rows, policy, seed, source, seconds, said), seconds


def _alike(images: list[np.ndarray]) -> list[np.ndarray]:
    """Return pictures with three channels where any has colours, as a task of them has."""
    if all(image.ndim == 2 for image in images):
        return images
    return [np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image for image in images]


def _of_one_size(images: list[np.ndarray], notes: list[str]) -> list[np.ndarray]:
    """Return pictures of one size, as a task of several sizes has them."""
    if len({image.shape[:2] for image in images}) == 1:
        return images
    largest: int = import_module("thalweg.task.images").LARGEST
    notes.append(f"Pictures are {largest} × {largest} here, as a study makes those of several sizes.")
    return [resized_to(image, (largest, largest)) for image in images]


def _augmented(rows: list[_Row], policy: Policy, epochs: int, seed: int) -> float:
    """Put augmented pictures into rows; return the median of seconds a picture."""
    steps(policy, "image")  # what is wrong with the policy is no picture's fault
    took: list[float] = []
    for row in rows:
        try:
            if row is rows[0]:
                policy(row.original, sample=row.sample.number, seed=seed)  # which makes tables and code
            for epoch in range(epochs):
                start = time.perf_counter()
                row.pictures.append(policy(row.original, sample=row.sample.number, epoch=epoch, seed=seed))
                took.append(time.perf_counter() - start)
        except InputError as error:
            raise InputError(f"{row.sample.file}: {error}") from error
    return median(took)


def _mixed(rows: list[_Row], policy: Policy, epochs: int, seed: int) -> float:
    """Do the same with a policy that mixes pictures: those shown are its batch."""
    colours = rows[0].original.ndim == 3
    arrays = np.stack([np.atleast_3d(row.original) for row in rows])
    batch = torch.from_numpy(arrays.transpose(0, 3, 1, 2).copy()).float() / 255
    numbers, took = [row.sample.number for row in rows], []
    for epoch in range(epochs):
        start = time.perf_counter()
        made, shares = policy.mixed(batch, list(range(len(rows))), numbers, classes=len(rows), epoch=epoch, seed=seed)
        took.append((time.perf_counter() - start) / len(rows))
        levels = (made.clamp(0, 1) * 255).round().to(torch.uint8).numpy().transpose(0, 2, 3, 1)
        for row, picture, share in zip(rows, levels, shares, strict=True):
            row.pictures.append(picture if colours else picture[..., 0])
            parts = [f"{s:.0%} of sample {n}" for s, n in zip(share.tolist(), numbers, strict=True) if s > 0]
            row.words.append("\nlabel: " + ", ".join(parts))
    return median(took)


def happened(words: str) -> str:
    r"""Return the names of the steps that were not left out.

    >>> happened("flip: left out\nssr: u1 = 0.1")
    'ssr'
    """
    names = [line.partition(":")[0] for line in words.splitlines() if not line.endswith(": left out")]
    return ", ".join(name for name in names if name != "label") or "as it was"


def amounts(words: str) -> str:
    r"""Return the same with what is said of each step in words, for a page, which has room for it.

    >>> amounts("flip: done\nblur: left out\nbrightness: +12 % (u1 = 0.8000)")
    'flip; brightness +12 %'
    """
    told = [line.partition(": ") for line in words.splitlines() if not line.endswith(": left out")]
    steps = [(name, said.partition(" (u1 = ")) for name, _, said in told if name != "label"]
    return "; ".join(f"{name} {said}" if behind else name for name, (said, behind, _) in steps) or "as it was"


def _page(rows: list[_Row], policy: Policy, seed: int, source: str, seconds: float, said: list[str]) -> bytes:
    sections = []
    for row in rows:
        tiles = [_figure(row.original, "original", "", f"sample {row.sample.number}")]
        for epoch, (picture, words) in enumerate(zip(row.pictures, row.words, strict=True)):
            tiles.append(_figure(picture, f"epoch {epoch}", amounts(words), words))
        told = [(f"epoch {epoch}", words) for epoch, words in enumerate(row.words)]
        sections.append(page.sample(row.sample, f'<div class="row">{"".join(tiles)}</div>', told))
    return page.whole(policy, seed, source, seconds, "image", said, sections)


def _figure(image: np.ndarray, title: str, happens: str, words: str) -> str:
    """Return a picture with its caption; what was drawn shows where one points at it."""
    height, width = image.shape[:2]
    longer = max(height, width)
    shown = image
    if longer > _SHOWN:
        shown = resized_to(image, (max(1, height * _SHOWN // longer), max(1, width * _SHOWN // longer)))
    kind = "png" if longer <= 128 else "jpeg"
    data = base64.b64encode(_encoded(shown, kind)).decode()
    fine = ' class="fine"' if longer < _TILE else ""
    scale = _TILE / longer
    alt = page.escaped(f"{title}: {happens}" if happens else title)
    note = f"<span>{page.escaped(happens)}</span>" if happens else ""
    return (
        f'<figure title="{page.escaped(words)}"><img{fine} src="data:image/{kind};base64,{data}" alt="{alt}" '
        f'width="{max(1, round(width * scale))}" height="{max(1, round(height * scale))}">'
        f"<figcaption>{page.escaped(title)}{note}</figcaption></figure>"
    )


def _encoded(image: np.ndarray, kind: str) -> bytes:
    cv2 = opencv()
    bgr = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1] if image.shape[2] == 3 else image)
    how = [cv2.IMWRITE_JPEG_QUALITY, 92] if kind == "jpeg" else []
    done, content = cv2.imencode(f".{kind}", bgr, how)
    assert done, "uint8 pictures can be encoded"
    return bytes(content)


def _sheet(rows: list[_Row], headline: str) -> bytes:
    """Return the sheet as one picture: a row for each sample, the original first."""
    columns = 1 + len(rows[0].pictures)
    across = _TILE + _GAP
    tiles = [[_fitted(image) for image in (row.original, *row.pictures)] for row in rows]
    heights = [max(tile.shape[0] for tile in row) for row in tiles]
    down = sum(heights) + len(rows) * (2 * _LINE + _GAP)
    whole = np.full((down + _LINE + 2 * _GAP, columns * across + _GAP, 3), 255, np.uint8)
    _write(whole, headline, _GAP, _GAP + _LINE - 3, (40, 40, 40), columns * across - _GAP)
    top = _LINE + 2 * _GAP
    for row, small, most in zip(rows, tiles, heights, strict=True):
        titles = [f"sample {row.sample.number}", *(f"epoch {epoch}" for epoch in range(columns - 1))]
        notes = [row.sample.name, *map(happened, row.words)]
        for j, (tile, title, note) in enumerate(zip(small, titles, notes, strict=True)):
            left = _GAP + j * across
            height, width = tile.shape[:2]
            whole[top : top + height, left + (_TILE - width) // 2 :][:, :width] = tile
            _write(whole, title, left, top + most + _LINE - 3, (40, 40, 40), _TILE)
            _write(whole, note, left, top + most + 2 * _LINE - 3, (110, 110, 110), _TILE)
        top += most + 2 * _LINE + _GAP
    return _encoded(whole, "png")


def _fitted(image: np.ndarray) -> np.ndarray:
    """Return a picture in colours whose longer side is that of a tile; small ones keep their pixels' edges."""
    height, width = image.shape[:2]
    scale = _TILE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    cv2 = opencv()
    found = cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST) if scale > 1 else resized_to(image, size)
    return np.repeat(found[..., None], 3, 2) if found.ndim == 2 else found[..., :3]


def _write(whole: np.ndarray, text: str, left: int, base: int, colour: tuple[int, int, int], most: int) -> None:
    """Write a line of words, as much of it as there are pixels."""
    cv2: Any = opencv()
    font = cv2.FontFace("sans")

    def width(text: str) -> int:
        return int(cv2.getTextSize((0, 0), text, (0, 0), font, 13)[2])

    if width(text) > most:
        while text and width(text + "…") > most:
            text = text[:-1]
        text += "…"
    cv2.putText(whole, text, (left, base), colour, font, 13)
