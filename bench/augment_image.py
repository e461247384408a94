"""What augmenting a picture costs, beside albumentations and kornia on the same pictures; one thread.

The figures are measured by this file in the environment of the peers: `make .venv-peers/installed`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from clock import met, table

PEERS = Path(__file__).parent.parent / ".venv-peers/bin/python"
SIZE, PICTURES, ROUNDS, BATCH = 224, 16, 30, 16
TARGETS = {
    "flip": 3.0, "shift-scale-rotate": 1.2, "two flips, shift-scale-rotate, perspective": 2.0,
    "the same, brightness, contrast and gamma": 2.0, "random resized crop, flip, normalise": 1.5,
    "affine of a batch": 3.0,
}  # fmt: skip
"""How many times as quick each is to be; the others are measured beside these."""

NAMES = (*list(TARGETS)[:5], "elastic", "grid distortion")
"""What is measured on one picture at a time."""

REMARKS = """\
Every step happens to every picture, on both sides, with the same limits. albumentations draws brightness and contrast
in one step. `ElasticTransform` has the `sigma` of ours, and `GridDistortion` its own defaults. kornia's affine is
`RandomAffine`, bilinear, on float tensors, each sample with draws of its own. torchvision's transforms are not
measured, since its import fails beside the CPU build of torch, and no CUDA device was at hand for kornia's compiled
affine.
"""


def pictures() -> np.ndarray:
    """Return parts of scikit-learn's photographs."""
    import cv2
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    photos = [cv2.imread(str(folder / name))[..., ::-1] for name in ("china.jpg", "flower.jpg")]
    places = [(13 * i, 25 * i) for i in range(PICTURES // 2)]
    return np.stack([photo[y : y + SIZE, x : x + SIZE] for photo in photos for y, x in places]).copy()


def ours() -> dict[str, Callable[[np.ndarray, int], Any]]:
    from thalweg import augment as a

    ssr, flip = a.ssr(p=1.0), a.flip(p=1.0)
    geometry = flip >> a.flip_vertical(p=1.0) >> ssr >> a.perspective(p=1.0)
    policies = [
        flip,
        ssr,
        geometry,
        geometry >> a.brightness(p=1.0) >> a.contrast(p=1.0) >> a.gamma(p=1.0),
        a.random_resized_crop(size=(SIZE, SIZE)) >> flip >> a.normalise(),
        a.elastic(p=1.0),
        a.grid_distortion(p=1.0),
    ]
    return {name: _ours(policy) for name, policy in zip(NAMES, policies, strict=True)}


def _ours(policy: Any) -> Callable[[np.ndarray, int], Any]:
    return lambda picture, i: policy(picture, sample=i)


def theirs() -> dict[str, Callable[[np.ndarray, int], Any]]:
    import albumentations as A

    ssr = A.Affine(translate_percent=(-0.0625, 0.0625), scale=(0.9, 1.1), rotate=(-45, 45), p=1.0)
    flip = A.HorizontalFlip(p=1.0)
    geometry = [flip, A.VerticalFlip(p=1.0), ssr, A.Perspective(scale=(0.05, 0.15), p=1.0)]
    tones = [A.RandomBrightnessContrast(0.2, 0.2, p=1.0), A.RandomGamma((80, 125), p=1.0)]
    crop = A.RandomResizedCrop((SIZE, SIZE), p=1.0)
    made = [A.Compose([flip]), A.Compose([ssr]), A.Compose(geometry), A.Compose([*geometry, *tones]),
            A.Compose([crop, flip, A.Normalize(p=1.0)]),
            A.Compose([A.ElasticTransform(alpha=356, sigma=22.4, p=1.0)]),
            A.Compose([A.GridDistortion(p=1.0)])]  # fmt: skip
    return {name: _theirs(policy) for name, policy in zip(NAMES, made, strict=True)}


def _theirs(policy: Any) -> Callable[[np.ndarray, int], Any]:
    return lambda picture, _: policy(image=picture)["image"]


def measure(ways: dict[str, Callable[[], Any]], rounds: int, each: int) -> dict[str, float]:
    """Return the median microseconds of CPU time of each, which take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            taken[name].append((time.process_time() - started) / each * 1e6)
    return {name: median(values) for name, values in taken.items()}


def main() -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    given = pictures()
    mine, others = ours(), theirs()
    for name in mine:
        ways = {"ours": _over(mine[name], given), "albumentations": _over(others[name], given)}
        found = measure(ways, ROUNDS, len(given))
        print(json.dumps({"row": name, "ours": found["ours"], "peer": found["albumentations"]}), flush=True)
    print(json.dumps(affine_of_a_batch(given)), flush=True)
    bare = {"flip": _over(lambda picture, _: cv2.flip(picture, 1), given), "copy": _over(_copied, given)}
    print(json.dumps({"bare": measure(bare, ROUNDS, len(given))}), flush=True)


def _copied(picture: np.ndarray, _: int) -> np.ndarray:
    return picture.copy()


def _over(way: Callable[[np.ndarray, int], Any], given: np.ndarray) -> Callable[[], None]:
    def all_of_them() -> None:
        for i, picture in enumerate(given):
            way(picture, i)

    return all_of_them


def affine_of_a_batch(given: np.ndarray) -> dict[str, Any]:
    import kornia.augmentation as K
    import torch

    from thalweg import augment

    images = torch.from_numpy(given[:BATCH]).permute(0, 3, 1, 2).contiguous().float() / 255
    policy = augment.affine(p=1.0)
    other = K.RandomAffine(15.0, (0.0625, 0.0625), (0.9, 1.1, 0.9, 1.1), (-10.0, 10.0, -10.0, 10.0), p=1.0)
    ways = {"ours": lambda: policy.batch(images, range(len(images))), "kornia": lambda: other(images)}
    with torch.inference_mode():
        found = measure(ways, ROUNDS, len(images))
    return {"row": "affine of a batch", "ours": found["ours"], "peer": found["kornia"]}


def section() -> str:
    if not PEERS.exists():
        raise RuntimeError("the peers are not installed; run make .venv-peers/installed")
    done = subprocess.run(
        [PEERS, __file__], capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    bare = rows.pop()["bare"]
    cells = []
    for row in rows:
        ratio, target = row["peer"] / row["ours"], TARGETS.get(row["row"])
        judged = ["–", ""] if target is None else [f"≥ {target}", met(ratio >= target)]
        numbers = [f"{row['ours']:.0f}", f"{row['peer']:.0f}", f"{ratio:.2f}", *judged]
        cells.append([row["row"], *numbers])
    return "\n".join(
        [
            "## Augmentation of pictures",
            "",
            f"Microseconds of CPU time a picture of {SIZE} × {SIZE} × 3, medians of {ROUNDS} rounds in turn, on one",
            "thread; uint8 beside albumentations 2.0.8, and float tensors beside kornia.",
            "",
            table(["policy", "ours", "theirs", "times as quick", "target", ""], cells),
            "",
            f"OpenCV's flip alone takes {bare['flip']:.1f} microseconds, copying a picture {bare['copy']:.1f}: the",
            "target for flips is out of reach where the other side adds little to that.",
            "",
            REMARKS.rstrip(),
        ]
    )


if __name__ == "__main__":
    main()
