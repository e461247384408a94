from thalweg.augment._technique import augmentation
from thalweg.augment.image._areas import box
from thalweg.augment.image._levels import beta
from thalweg.augment.image._plane import between, root
from thalweg.technique import Uniform


@augmentation(
    stage="mix",
    source="Yun, Han, Oh, Chun, Choe & Yoo 2019, CutMix (1905.04899)",
    space={"alpha": Uniform(0.1, 1.0)},
    limits={"alpha": "(0, inf)"},
)
def cutmix(row, column, u1, u2, u3, height, width, *, alpha=1.0, p=1.0):
    """A box of another picture of the batch put in, and labels mixed by the areas that are seen.

    The box has the picture's shape, an area of Beta(``alpha``, ``alpha``), and its middle anywhere, so that a part
    may lie outside. ``mixup`` mixes every pixel.

    Use it for long training of classifiers of photographs.

    Source: Yun et al. 2019, section 3.1, where one box serves the whole batch.
    """
    side = root(1 - beta(u1, alpha))
    middle = between(u2, 0.0, height), between(u3, 0.0, width)
    return 1.0 - box(row, column, *middle, side * height, side * width)
