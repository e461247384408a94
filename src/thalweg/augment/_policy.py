"""A policy: augmentations one after the other, and what can be done with them: pictures, batches, texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.augment._checks import check_media, check_values, of_a_sample
from thalweg.errors import InputError
from thalweg.technique import Chain

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from thalweg.augment.image._targets import Together
    from thalweg.augment.text import Edited, Safety
    from thalweg.augment.text._edits import Protection

__all__ = ["Policy"]


@dataclass(frozen=True, repr=False)
class Policy(Chain):
    """Augmentations one after the other; ``>>`` appends. What happens to a sample follows from its key alone.

    >>> from thalweg import augment
    >>> policy = augment.flip() >> augment.ssr(rotate=15.0)
    >>> policy
    flip >> ssr(rotate=15.0)
    >>> print(policy.explain(3, epoch=1, seed=0, height=32, width=32))  # doctest: +ELLIPSIS
    flip: ...
    """

    kind: ClassVar[str] = "augment"
    what: ClassVar[str] = "an augmentation"
    example: ClassVar[str] = "augment.flip()"

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in self.parts:
            check_values(part)
        check_media(self.parts)

    @property
    def mixes(self) -> int:
        """How many of its steps mix a picture with another of its batch."""
        return sum(getattr(part.technique, "stage", "") == "mix" for part in self.parts)

    def __getstate__(self) -> dict[str, Any]:
        return {"parts": self.parts}

    @of_a_sample
    def __call__(self, image: np.ndarray, *, sample: int, epoch: int = 0, seed: int = 0) -> np.ndarray:
        """Return a picture after augmentation.

        Args:
            image: uint8, ``(height, width)`` or ``(height, width, channels)``.
            sample: its number in the data, such as ``i`` in a dataset's ``__getitem__(self, i)``.
            epoch: the pass over the data.
            seed: the run's.

        Raises:
            InputError: an array of another type or shape, such as one with its channels first, an empty one, no
                ``sample``, or a hyperparameter that is still a range.

        >>> import numpy as np
        >>> from thalweg import augment
        >>> picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
        >>> augment.flip(p=1.0)(picture, sample=0)[0]
        array([3, 2, 1, 0], dtype=uint8)
        """
        return _pixels().augmented(self, image, sample, epoch, seed)  # type: ignore[no-any-return]

    @of_a_sample
    def together(
        self,
        image: np.ndarray,
        *,
        masks: Sequence[np.ndarray] = (),
        boxes: Any = None,
        points: Any = None,
        form: str = "pascal",
        visible: float = 0.0,
        sample: int,
        epoch: int = 0,
        seed: int = 0,
    ) -> Together:
        """Return a picture after augmentation with its masks, boxes and key points, which move with it.

        Args:
            image, sample, epoch, seed: as for a call.
            masks: arrays ``(height, width, …)`` of any type; none of their values are mixed.
            boxes: ``(N, 4)``; where a box is turned, the box about its corners takes its place.
            points: ``(N, 2)``, x and y; the middle of the first pixel is at (0, 0). Left eyes stay left eyes where a
                picture is turned round.
            form: of the boxes: ``pascal``, left, top, right and bottom; ``coco``, left, top, width and height;
                ``yolo``, middle, width and height, in shares of the picture. They count from the picture's corner,
                half a pixel from the first pixel's middle.
            visible: boxes of which a smaller share of the area is left are dropped, and those of which none is.

        Raises:
            InputError: as for a call; a mask of another size, a box without area or, of shares, beyond 1, a point
                that is no number, a ``visible`` that is no share, or an unknown form.

        >>> import numpy as np
        >>> from thalweg import augment
        >>> picture = np.zeros((20, 30, 3), np.uint8)
        >>> done = augment.flip(p=1.0).together(picture, boxes=[[0, 5, 10, 15]], points=[[0, 5]], sample=0)
        >>> done.boxes.tolist(), done.points.tolist()
        ([[20.0, 5.0, 30.0, 15.0]], [[29.0, 5.0]])
        """
        from thalweg.augment.image._targets import augmented

        return augmented(self, image, masks, boxes, points, form, visible, sample, epoch, seed)

    def batch(self, images: Tensor, samples: Any, *, epoch: Any = 0, seed: Any = 0) -> Tensor:
        """Return a batch of pictures after augmentation, each with draws of its own.

        Args:
            images: floats from 0 to 1, ``(N, channels, height, width)``, on any device.
            samples: N whole numbers: theirs in the data.
            epoch, seed: one for all, or N of them.

        Raises:
            InputError: as for a call; and, on the CPU, numbers far from 0 to 1, for which every fourth row is
                looked at, unless all steps move pixels and put no black beside them.
        """
        from thalweg.augment.image._tensors import augmented

        return augmented(self, images, samples, epoch, seed)

    def mixed(
        self,
        images: Tensor,
        labels: Any,
        samples: Any,
        *,
        classes: int | None = None,
        epoch: Any = 0,
        seed: Any = 0,
    ) -> tuple[Tensor, Tensor]:
        """Return a batch after augmentation, where ``mixup`` and ``cutmix`` can be among the steps, with its labels.

        Each picture is mixed with another of the same batch: what comes out depends on which those are, though not
        on their order.

        Args:
            images, samples, epoch, seed: as for `batch`.
            labels: N numbers of classes, or ``(N, classes)``, which add up to 1.
            classes: how many there are, where labels are numbers.

        Returns:
            Pictures, and labels ``(N, classes)``, which cross-entropy takes.

        Raises:
            InputError: as for `batch`, and labels that are none.

        >>> import torch
        >>> from thalweg import augment
        >>> _, labels = augment.mixup().mixed(torch.rand(4, 3, 8, 8), [0, 1, 2, 0], range(4), classes=3)
        >>> labels.shape, bool(torch.allclose(labels.sum(1), torch.ones(4)))
        (torch.Size([4, 3]), True)
        """
        from thalweg.augment.image._tensors import mixed

        return mixed(self, images, labels, samples, epoch, seed, classes)

    @of_a_sample
    def text(
        self, text: str, *, sample: int, epoch: int = 0, seed: int = 0, protect: Protection | None = None
    ) -> str:
        """Return a text after augmentation; all that is not edited stays as it was, byte for byte.

        Args:
            text: any string; an empty one, and one without words, stay as they are.
            sample, epoch, seed: as for a call.
            protect: what no step may touch: words or phrases, expressions, spans (start, end).

        Raises:
            InputError: what is no string, a span outside it, or a source of words that is not on this machine.

        >>> from thalweg import augment
        >>> augment.random_swap().text("Don't  panic: v1.2.3", sample=0)
        "Panic  don't: v1.2.3"
        """
        return self.edited(text, sample=sample, epoch=epoch, seed=seed, protect=protect).text

    @of_a_sample
    def edited(
        self,
        text: str,
        *,
        sample: int,
        epoch: int = 0,
        seed: int = 0,
        protect: Protection | None = None,
        entities: Sequence[Sequence[Any]] = (),
        safety: Safety | None = None,
    ) -> Edited:
        """Return a text after augmentation with the log of its edits.

        Args:
            text, sample, epoch, seed, protect: as for `text`.
            entities: spans (start, end, …) that no step may touch either; the result says where they are now.
            safety: how like the original the text has to stay.

        Raises:
            InputError: as for `text`.

        >>> from thalweg import augment
        >>> policy = augment.random_deletion(at_least=1)
        >>> done = policy.edited("Call the office of Ada", sample=0, entities=[(19, 22, "PERSON")])
        >>> done.text[slice(*done.entities[0][:2])]
        'Ada'
        """
        from thalweg.augment.text._run import augmented

        return augmented(self, [text], [sample], epoch, seed, [protect or ()], [entities], safety)[0]

    def texts(
        self,
        texts: Sequence[str],
        samples: Any = None,
        *,
        epoch: Any = 0,
        seed: Any = 0,
        protect: Any = None,
        entities: Sequence[Sequence[Sequence[Any]]] | None = None,
        safety: Safety | None = None,
    ) -> list[Edited]:
        """Return many texts after augmentation: each as `edited` gives it, but language models see them together.

        Args:
            texts: strings.
            samples: their numbers in the data; from 0 where none are given.
            epoch, seed: one for all, or one for each.
            protect: words or expressions for all, or a list for each text.
            entities: a list for each text.
            safety: as for `edited`.

        Raises:
            InputError: as for `text`; it names the text.
        """
        from thalweg.augment.text._run import augmented

        return augmented(self, texts, samples, epoch, seed, protect, entities, safety)

    def sources(self) -> list[str]:
        """Return which files the steps take words from, with their licences, a line each."""
        from thalweg.augment.text._run import sources

        return sources(self)

    def explain(
        self,
        sample: int,
        epoch: int = 0,
        *,
        seed: int = 0,
        height: int | None = None,
        width: int | None = None,
        text: str | None = None,
    ) -> str:
        """Return what happens to a sample, a line for each step.

        Args:
            sample, epoch, seed: as for a call.
            height, width: of the picture.
            text: the text, where it is one.
        """
        if text is not None:
            from thalweg.augment.text._run import explained as explained_text

            return explained_text(self, text, sample, epoch, seed)
        if self.parts and self.parts[0].technique.medium == "text":  # type: ignore[attr-defined]
            raise InputError(f"{self.parts[0].name} is for texts: say which with text=")
        from thalweg.augment._explain import explained

        return explained(self, sample, epoch, seed, height, width)


@cache
def _pixels() -> Any:
    """Return the module, which is imported once: asking for it takes as long as a twentieth of a flip."""
    from thalweg.augment.image import _pixels as module

    return module
