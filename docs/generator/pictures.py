"""What augmentations do to a real photograph, and to a sentence."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.datasets import load_sample_image

from thalweg.augment import AugmentTechnique

__all__ = ["edits", "picture"]

SIDE, GAP, SHOWN = 120, 8, 5
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody knows why."


@cache
def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Return two photographs that come with scikit-learn, square, uint8."""
    flower, china = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    pair = [
        cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for x in (flower[:, 120:547], china[:, 110:537])
    ]
    return pair[0], pair[1]


def picture(technique: AugmentTechnique, path: Path) -> str:
    """Write a photograph and what a step makes of it as PNG; return what it shows."""
    first, second = photographs()
    given = {
        "crop": {"size": (80, 80)}, "centre_crop": {"size": (80, 80)}, "random_resized_crop": {"size": (120, 120)},
        "resize": {"size": (60, 60)}, "pad": {"left": 8, "right": 8, "top": 8, "bottom": 8},
    }.get(technique.name, {})  # fmt: skip
    if "p" in technique.hyperparameters:
        given["p"] = 1.0
    policy = technique(**given)
    if technique.stage == "mix":
        both = torch.from_numpy(np.stack([first, second])).permute(0, 3, 1, 2) / 255
        seen = [second]
        for epoch in range(SHOWN):
            mixed, _ = policy.mixed(both, [0, 1], range(2), classes=2, epoch=epoch)
            seen.append((mixed[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        _tiled([first, *seen], path)
        return "Two photographs, and the first of them in five epochs."
    seen = [np.asarray(policy(first, sample=3, epoch=epoch)) for epoch in range(SHOWN)]
    if seen[0].dtype != np.uint8:
        low, high = seen[0].min(), seen[0].max()
        seen = [((seen[0] - low) / (high - low) * 255).round().astype(np.uint8)]
        _tiled([first, *seen], path)
        return f"The photograph, and its channels after it, {low:.1f} drawn as black and {high:.1f} as white."
    _tiled([first, *seen], path)
    return "The photograph, and what becomes of it in five epochs" + (
        ", each time with probability 1." if given.get("p") else "."
    )


def _tiled(images: list[np.ndarray], path: Path) -> None:
    """Write pictures beside each other, on a transparent ground."""
    height = max(x.shape[0] for x in images)
    width = sum(x.shape[1] for x in images) + GAP * len(images)
    sheet = np.zeros((height, width, 4), np.uint8)
    at = 0
    for i, image in enumerate(images):
        h, w = image.shape[:2]
        colours = image if image.ndim == 3 else image[..., None].repeat(3, 2)
        sheet[:h, at : at + w, :3], sheet[:h, at : at + w, 3] = colours[..., ::-1], 255
        at += w + GAP * (2 if i == 0 else 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet[:, : at - GAP])


def edits(technique: AugmentTechnique) -> str:
    """Return what a step makes of a sentence in three epochs, as an HTML list with the edits marked."""
    policy = technique(p=1.0) if "p" in technique.hyperparameters else technique()
    rows = [f"<li>{escape(SENTENCE)}</li>"]
    for epoch in range(3):
        done = policy.edited(SENTENCE, sample=2, epoch=epoch)
        out, at = [], 0
        for edit in sorted(done.log, key=lambda one: (one.start, one.end)):
            out += [escape(SENTENCE[at : edit.start]), f"<mark>{escape(edit.after) or '⌫'}</mark>"]
            at = edit.end
        out.append(escape(SENTENCE[at:]))
        rows.append(f"<li>{''.join(out)}</li>")
    return f'<ol class="edits">{"".join(rows)}</ol>'
