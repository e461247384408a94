from thalweg.augment._technique import augmentation


@augmentation(
    stage="last",
    source="Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification, section 2",
    limits={"mean": "(-inf, inf)", "std": "(0, inf)"},
)
def normalise(x, *, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), p=1.0):
    """Every channel less its ``mean``, by its ``std``, in levels from 0 to 1: floats, so the last step of a policy.

    The defaults are ImageNet's.

    Use it as the last step, with the statistics that the model was trained with.

    Source: Krizhevsky et al. 2012; torchvision and albumentations: ``Normalize``.
    """
    return (x - mean) / std
