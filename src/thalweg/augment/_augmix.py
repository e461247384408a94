from thalweg.augment._technique import augmentation
from thalweg.augment.image._choices import mixture
from thalweg.technique import Uniform


@augmentation(
    stage="mixture",
    source="Hendrycks, Mu, Cubuk, Zoph, Gilmer & Lakshminarayanan 2020, AugMix (1912.02781)",
    space={"strength": Uniform(0.1, 1.0)},
    limits={"strength": "[0, 1]"},
)
def augmix(
    u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15, u16, *, strength=0.3, p=1.0,
):  # fmt: skip
    """The picture mixed with three others, each of it after one to three steps, with weights drawn evenly.

    The steps are those that ``trivial`` lists, up to ``strength``. The paper's loss of consistency is another matter.

    Use it where the model must stand noise and weather that it has not seen.

    Source: Hendrycks et al. 2020, algorithm 1, with alpha 1; torchvision: ``AugMix``.
    """
    return mixture(u1, (u2, u3, u4), (u5, u6, u7), (u8, u9, u10, u11, u12, u13, u14, u15, u16), strength)
