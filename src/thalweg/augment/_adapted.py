"""Transforms of other libraries as steps of a policy, keyed as ours are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from thalweg.augment._policy import Policy
from thalweg.augment._technique import AugmentTechnique
from thalweg.errors import InputError

__all__ = ["adapted"]


class _Adapted(AugmentTechnique):
    @property
    def name(self) -> str:
        return type(self.formula.args[0]).__name__  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        return _technique, self.formula.args  # type: ignore[attr-defined]


def adapted(transform: Callable[..., Any], p: float = 1.0) -> Policy:
    """Return a policy of one step, another library's transform; what it draws follows from the sample's key.

    Args:
        transform: one of albumentations, of torchvision, a module that takes a uint8 tensor ``(channels, height,
            width)``, or a function of a uint8 array ``(height, width, channels)``. Its generators are seeded for
            each sample; where those are the process's own, they are put back afterwards.
        p: how likely it is that anything happens; the transform's own chance comes on top.

    Raises:
        InputError: what cannot be called; and, when it is used, a result that is no uint8 picture.

    >>> import numpy as np
    >>> from thalweg import augment
    >>> def grain(image):
    ...     return image + np.random.randint(0, 9, image.shape, dtype=np.uint8)
    >>> policy = augment.flip() >> augment.adapted(grain)
    >>> picture = np.zeros((4, 4, 3), np.uint8)
    >>> bool((policy(picture, sample=3) == policy(picture, sample=3)).all())
    True
    """
    if not callable(transform):
        raise InputError(f"adapted takes a transform, not {transform!r}")
    return _technique(transform)(p=p)


def _technique(transform: Any) -> _Adapted:
    library = type(transform).__module__.partition(".")[0]
    return _Adapted(
        kind="augment", formula=partial(_changed, transform), source=f"the library {library}", stage="foreign",
        limits={"p": "[0, 1]"},
    )  # fmt: skip


def _changed(transform: Any, image: np.ndarray, u1: float, *, p: float = 1.0) -> np.ndarray:
    """A transform of another library."""
    seed = int(u1 * 2**32)
    if hasattr(transform, "set_random_seed"):  # albumentations, from version 2
        transform.set_random_seed(seed)
        found = transform(image=image)["image"]
    else:
        with _seeded(seed):
            found = _of_tensors(transform, image) if _takes_tensors(transform) else transform(image)
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != image.ndim:
        what = getattr(found, "dtype", type(found).__name__)
        raise InputError(
            f"{type(transform).__name__} made {what} of a uint8 picture, which the next step cannot take"
        )
    return np.ascontiguousarray(found)


def _takes_tensors(transform: Any) -> bool:
    import torch

    return isinstance(transform, torch.nn.Module) or type(transform).__module__.startswith("torchvision")


def _of_tensors(transform: Any, image: np.ndarray) -> Any:
    import torch

    layered = image[..., None] if image.ndim == 2 else image
    found = transform(torch.from_numpy(layered.copy()).permute(2, 0, 1).contiguous())
    if not isinstance(found, torch.Tensor) or found.dim() != 3:
        return found
    array = found.permute(1, 2, 0).numpy()
    return array[..., 0] if image.ndim == 2 else array


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the process's generators, and put them back."""
    import torch

    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002
