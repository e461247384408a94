from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between, floor
from thalweg.augment.image._whole import compressed
from thalweg.technique import Uniform


@augmentation(
    stage="whole",
    source="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions (1903.12261)",
    space={"least": Uniform(5.0, 90.0)},
    limits={"least": "[1, 100]"},
)
def jpeg(image, u1, *, least=30.0, p=0.5):
    """Written as JPEG and read again, of a quality of ``least`` to 100.

    On batches, levels are rounded to 256 first.

    Use it where pictures will arrive compressed.

    Source: Hendrycks & Dietterich 2019, section 3; torchvision: ``JPEG``, albumentations: ``ImageCompression``.
    """
    return compressed(image, floor(between(u1, least, 101.0)))
