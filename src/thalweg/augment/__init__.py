"""Augmentation: pictures and texts that could as well have been in the data.

``augment.flip() >> augment.ssr()`` is a policy. What it does to a sample follows from the run's seed, the epoch and
the sample's number, and from nothing else: not from the batch, the number of workers, or where a run was resumed.
"""

from thalweg.augment._adapted import adapted
from thalweg.augment._affine import affine
from thalweg.augment._augmix import augmix
from thalweg.augment._auto import auto
from thalweg.augment._auto_cifar10 import auto_cifar10
from thalweg.augment._auto_contrast import auto_contrast
from thalweg.augment._auto_svhn import auto_svhn
from thalweg.augment._back_translation import back_translation
from thalweg.augment._blur import blur
from thalweg.augment._brightness import brightness
from thalweg.augment._case import case
from thalweg.augment._centre_crop import centre_crop
from thalweg.augment._contrast import contrast
from thalweg.augment._crop import crop
from thalweg.augment._cutmix import cutmix
from thalweg.augment._cutout import cutout
from thalweg.augment._elastic import elastic
from thalweg.augment._equalise import equalise
from thalweg.augment._flip import flip
from thalweg.augment._flip_vertical import flip_vertical
from thalweg.augment._fog import fog
from thalweg.augment._gamma import gamma
from thalweg.augment._grey import grey
from thalweg.augment._grid_distortion import grid_distortion
from thalweg.augment._grid_mask import grid_mask
from thalweg.augment._hue import hue
from thalweg.augment._invert import invert
from thalweg.augment._jpeg import jpeg
from thalweg.augment._keyboard import keyboard
from thalweg.augment._masked import masked
from thalweg.augment._masked_insertion import masked_insertion
from thalweg.augment._mixup import mixup
from thalweg.augment._motion_blur import motion_blur
from thalweg.augment._noise import noise
from thalweg.augment._normalise import normalise
from thalweg.augment._ocr import ocr
from thalweg.augment._pad import pad
from thalweg.augment._perspective import perspective
from thalweg.augment._policy import Policy
from thalweg.augment._posterise import posterise
from thalweg.augment._ppdb import ppdb
from thalweg.augment._quarter_turns import quarter_turns
from thalweg.augment._rain import rain
from thalweg.augment._rand import rand
from thalweg.augment._random_deletion import random_deletion
from thalweg.augment._random_erasing import random_erasing
from thalweg.augment._random_insertion import random_insertion
from thalweg.augment._random_letter import random_letter
from thalweg.augment._random_resized_crop import random_resized_crop
from thalweg.augment._random_swap import random_swap
from thalweg.augment._resize import resize
from thalweg.augment._salt_and_pepper import salt_and_pepper
from thalweg.augment._saturation import saturation
from thalweg.augment._shadow import shadow
from thalweg.augment._sharpen import sharpen
from thalweg.augment._shot_noise import shot_noise
from thalweg.augment._snow import snow
from thalweg.augment._solarise import solarise
from thalweg.augment._ssr import ssr
from thalweg.augment._sun_flare import sun_flare
from thalweg.augment._synonym import synonym
from thalweg.augment._technique import AugmentTechnique
from thalweg.augment._trivial import trivial
from thalweg.augment._typo import typo
from thalweg.augment._vectors import vectors

TEXT = (
    synonym, ppdb, vectors, masked, masked_insertion, random_insertion, random_swap, random_deletion, keyboard, typo,
    case, ocr, random_letter, back_translation,
)  # fmt: skip
"""Those of texts."""

IMAGE = (
    flip, flip_vertical, quarter_turns, ssr, affine, perspective, crop, centre_crop, random_resized_crop, resize, pad,
    elastic, grid_distortion, brightness, contrast, gamma, posterise, solarise, invert, equalise, auto_contrast,
    saturation, hue, grey, sharpen, blur, motion_blur, noise, shot_noise, salt_and_pepper, jpeg, fog, rain, snow,
    shadow, sun_flare, cutout, random_erasing, grid_mask, rand, trivial, augmix, auto, auto_cifar10, auto_svhn, mixup,
    cutmix, normalise,
)  # fmt: skip
"""Those of pictures."""

CATALOGUE: dict[str, AugmentTechnique] = {technique.name: technique for technique in (*IMAGE, *TEXT)}
"""Every augmentation by name."""

__all__ = [
    "CATALOGUE", "AugmentTechnique", "Policy", "adapted", "affine", "augmix", "auto", "auto_cifar10",
    "auto_contrast", "auto_svhn", "back_translation", "blur", "brightness", "case", "centre_crop", "contrast",
    "crop", "cutmix", "cutout", "elastic", "equalise", "flip", "flip_vertical", "fog", "gamma", "grey",
    "grid_distortion", "grid_mask", "hue", "invert", "jpeg", "keyboard", "masked", "masked_insertion", "mixup",
    "motion_blur", "noise", "normalise", "ocr", "pad", "perspective", "posterise", "ppdb", "quarter_turns", "rain",
    "rand", "random_deletion", "random_erasing", "random_insertion", "random_letter", "random_resized_crop",
    "random_swap", "resize", "salt_and_pepper", "saturation", "shadow", "sharpen", "shot_noise", "snow", "solarise",
    "ssr", "sun_flare", "synonym", "trivial", "typo", "vectors",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
