from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import beta
from thalweg.technique import Uniform


@augmentation(
    stage="mix",
    source="Zhang, Cisse, Dauphin & Lopez-Paz 2018, mixup: Beyond Empirical Risk Minimization (1710.09412)",
    space={"alpha": Uniform(0.1, 1.0)},
    limits={"alpha": "(0, inf)"},
)
def mixup(row, column, u1, height, width, *, alpha=0.2, p=1.0):
    """Two pictures of a batch and their labels mixed, with one weight of Beta(``alpha``, ``alpha``) everywhere.

    ``cutmix`` takes a part of one and the rest of the other.

    Use it for long training of classifiers on noisy labels; probabilities become less sure.

    Source: Zhang et al. 2018, section 2, where one weight serves the whole batch.
    """
    return beta(u1, alpha)
