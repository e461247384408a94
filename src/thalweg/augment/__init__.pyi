# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.augment`."""

from collections.abc import Sequence

from thalweg.augment._adapted import adapted as adapted
from thalweg.augment._policy import Policy as Policy
from thalweg.augment._technique import AugmentTechnique as AugmentTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, AugmentTechnique]
IMAGE: tuple[AugmentTechnique, ...]
TEXT: tuple[AugmentTechnique, ...]

class _flip(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

flip: _flip

class _flip_vertical(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

flip_vertical: _flip_vertical

class _quarter_turns(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

quarter_turns: _quarter_turns

class _ssr(AugmentTechnique):
    def __call__(
        self,
        shift: float | Uniform | LogUniform | Choice = 0.0625,
        scale: float | Uniform | LogUniform | Choice = 0.1,
        rotate: float | Uniform | LogUniform | Choice = 45.0,
        border: str | Choice = "constant",
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

ssr: _ssr

class _affine(AugmentTechnique):
    def __call__(
        self,
        shift: float | Uniform | LogUniform | Choice = 0.0625,
        scale: float | Uniform | LogUniform | Choice = 0.1,
        rotate: float | Uniform | LogUniform | Choice = 15.0,
        shear: float | Uniform | LogUniform | Choice = 10.0,
        border: str | Choice = "constant",
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

affine: _affine

class _perspective(AugmentTechnique):
    def __call__(
        self,
        distortion: float | Uniform | LogUniform | Choice = 0.3,
        border: str | Choice = "constant",
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

perspective: _perspective

class _crop(AugmentTechnique):
    def __call__(
        self,
        size: Sequence[float] | Choice = (224, 224),
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

crop: _crop

class _centre_crop(AugmentTechnique):
    def __call__(
        self,
        size: Sequence[float] | Choice = (224, 224),
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

centre_crop: _centre_crop

class _random_resized_crop(AugmentTechnique):
    def __call__(
        self,
        size: Sequence[float] | Choice = (224, 224),
        area: float | Uniform | LogUniform | Choice = 0.08,
        ratio: float | Uniform | LogUniform | Choice = 1.3333333333333333,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

random_resized_crop: _random_resized_crop

class _resize(AugmentTechnique):
    def __call__(
        self,
        size: Sequence[float] | Choice = (224, 224),
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

resize: _resize

class _pad(AugmentTechnique):
    def __call__(
        self,
        left: int | Uniform | LogUniform | Choice = 4,
        top: int | Uniform | LogUniform | Choice = 4,
        right: int | Uniform | LogUniform | Choice = 4,
        bottom: int | Uniform | LogUniform | Choice = 4,
        border: str | Choice = "constant",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

pad: _pad

class _elastic(AugmentTechnique):
    def __call__(
        self,
        strength: float | Uniform | LogUniform | Choice = 0.02,
        sigma: float | Uniform | LogUniform | Choice = 0.1,
        border: str | Choice = "constant",
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

elastic: _elastic

class _grid_distortion(AugmentTechnique):
    def __call__(
        self,
        cells: int | Uniform | LogUniform | Choice = 5,
        limit: float | Uniform | LogUniform | Choice = 0.2,
        border: str | Choice = "edge",
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

grid_distortion: _grid_distortion

class _brightness(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.2,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

brightness: _brightness

class _contrast(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.2,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

contrast: _contrast

class _gamma(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 1.25,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

gamma: _gamma

class _posterise(AugmentTechnique):
    def __call__(
        self,
        bits: int | Uniform | LogUniform | Choice = 4,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

posterise: _posterise

class _solarise(AugmentTechnique):
    def __call__(
        self,
        threshold: float | Uniform | LogUniform | Choice = 0.5,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

solarise: _solarise

class _invert(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

invert: _invert

class _equalise(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

equalise: _equalise

class _auto_contrast(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

auto_contrast: _auto_contrast

class _saturation(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.4,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

saturation: _saturation

class _hue(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 18.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

hue: _hue

class _grey(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Policy: ...

grey: _grey

class _sharpen(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.9,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

sharpen: _sharpen

class _blur(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 2.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

blur: _blur

class _motion_blur(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 7.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

motion_blur: _motion_blur

class _noise(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.1,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

noise: _noise

class _shot_noise(AugmentTechnique):
    def __call__(
        self,
        photons: float | Uniform | LogUniform | Choice = 50.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

shot_noise: _shot_noise

class _salt_and_pepper(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.05,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

salt_and_pepper: _salt_and_pepper

class _jpeg(AugmentTechnique):
    def __call__(
        self,
        least: float | Uniform | LogUniform | Choice = 30.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

jpeg: _jpeg

class _fog(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.7,
        light: float | Uniform | LogUniform | Choice = 0.9,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

fog: _fog

class _rain(AugmentTechnique):
    def __call__(
        self,
        count: int | Uniform | LogUniform | Choice = 800,
        slant: float | Uniform | LogUniform | Choice = 20.0,
        length: float | Uniform | LogUniform | Choice = 0.15,
        light: float | Uniform | LogUniform | Choice = 0.85,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

rain: _rain

class _snow(AugmentTechnique):
    def __call__(
        self,
        count: int | Uniform | LogUniform | Choice = 1000,
        slant: float | Uniform | LogUniform | Choice = 45.0,
        diameter: float | Uniform | LogUniform | Choice = 0.03,
        light: float | Uniform | LogUniform | Choice = 1.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

snow: _snow

class _shadow(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 0.6,
        least: float | Uniform | LogUniform | Choice = 0.3,
        most: float | Uniform | LogUniform | Choice = 0.8,
        soft: float | Uniform | LogUniform | Choice = 0.03,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

shadow: _shadow

class _sun_flare(AugmentTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 1.0,
        diameter: float | Uniform | LogUniform | Choice = 0.2,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

sun_flare: _sun_flare

class _cutout(AugmentTechnique):
    def __call__(
        self,
        side: float | Uniform | LogUniform | Choice = 0.5,
        fill: float | Uniform | LogUniform | Choice = 0.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

cutout: _cutout

class _random_erasing(AugmentTechnique):
    def __call__(
        self,
        area: float | Uniform | LogUniform | Choice = 0.4,
        ratio: float | Uniform | LogUniform | Choice = 3.3333333333333335,
        fill: float | Uniform | LogUniform | Choice = 0.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

random_erasing: _random_erasing

class _grid_mask(AugmentTechnique):
    def __call__(
        self,
        least: float | Uniform | LogUniform | Choice = 0.15,
        most: float | Uniform | LogUniform | Choice = 0.5,
        share: float | Uniform | LogUniform | Choice = 0.4,
        fill: float | Uniform | LogUniform | Choice = 0.0,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Policy: ...

grid_mask: _grid_mask

class _rand(AugmentTechnique):
    def __call__(
        self,
        count: int | Uniform | LogUniform | Choice = 2,
        strength: float | Uniform | LogUniform | Choice = 0.3,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

rand: _rand

class _trivial(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

trivial: _trivial

class _augmix(AugmentTechnique):
    def __call__(
        self,
        strength: float | Uniform | LogUniform | Choice = 0.3,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

augmix: _augmix

class _auto(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

auto: _auto

class _auto_cifar10(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

auto_cifar10: _auto_cifar10

class _auto_svhn(AugmentTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

auto_svhn: _auto_svhn

class _mixup(AugmentTechnique):
    def __call__(
        self,
        alpha: float | Uniform | LogUniform | Choice = 0.2,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

mixup: _mixup

class _cutmix(AugmentTechnique):
    def __call__(
        self,
        alpha: float | Uniform | LogUniform | Choice = 1.0,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

cutmix: _cutmix

class _normalise(AugmentTechnique):
    def __call__(
        self,
        mean: Sequence[float] | Choice = (0.485, 0.456, 0.406),
        std: Sequence[float] | Choice = (0.229, 0.224, 0.225),
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

normalise: _normalise

class _synonym(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        senses: int | Uniform | LogUniform | Choice = 1,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "english",
        tagger: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

synonym: _synonym

class _ppdb(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        score: float | Uniform | LogUniform | Choice = 0.0,
        top: int | Uniform | LogUniform | Choice = 5,
        wordnet: str | Choice = "",
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "english",
        tagger: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

ppdb: _ppdb

class _vectors(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        words: int | Uniform | LogUniform | Choice = 20000,
        top: int | Uniform | LogUniform | Choice = 5,
        least: float | Uniform | LogUniform | Choice = 0.0,
        wordnet: str | Choice = "",
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "english",
        tagger: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

vectors: _vectors

class _masked(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        top: int | Uniform | LogUniform | Choice = 10,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

masked: _masked

class _masked_insertion(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        top: int | Uniform | LogUniform | Choice = 10,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

masked_insertion: _masked_insertion

class _random_insertion(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        senses: int | Uniform | LogUniform | Choice = 1,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "english",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

random_insertion: _random_insertion

class _random_swap(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

random_swap: _random_swap

class _random_deletion(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 0,
        at_most: int | Uniform | LogUniform | Choice = 1000,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

random_deletion: _random_deletion

class _keyboard(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

keyboard: _keyboard

class _typo(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

typo: _typo

class _case(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

case: _case

class _ocr(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

ocr: _ocr

class _random_letter(AugmentTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        stop: str | Choice = "",
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

random_letter: _random_letter

class _back_translation(AugmentTechnique):
    def __call__(
        self,
        path: str | Choice = "",
        back: str | Choice = "",
        language: str | Choice = "",
        through: str | Choice = "",
        beams: int | Uniform | LogUniform | Choice = 1,
        top: int | Uniform | LogUniform | Choice = 10,
        share: float | Uniform | LogUniform | Choice = 0.5,
        at_least: int | Uniform | LogUniform | Choice = 1,
        at_most: int | Uniform | LogUniform | Choice = 10,
        p: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Policy: ...

back_translation: _back_translation
