from thalweg.augment._technique import augmentation
from thalweg.augment.image._colours import towards_grey


@augmentation(
    stage="colour",
    source="Chen, Kornblith, Norouzi & Hinton 2020, A Simple Framework for Contrastive Learning (2002.05709)",
)
def grey(*, p=0.1):
    """All colours become their grey, in as many channels as before.

    ``saturation`` goes a part of the way.

    Use it where shape is to be learnt rather than colour.

    Source: Chen et al. 2020, appendix A; torchvision: ``RandomGrayscale``.
    """
    return towards_grey(0.0)
