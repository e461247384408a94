from thalweg.augment._technique import augmentation
from thalweg.augment.image._choices import picked


@augmentation(stage="chosen", source="Müller & Hutter 2021, TrivialAugment (2103.10158)")
def trivial(u1, *, p=1.0):
    """One step, any of thirteen, of any strength: there is nothing to tune.

    None, equalise, solarise, posterise, saturation, contrast, brightness, sharpen, and shear, rotation and shift;
    on levels of 256, on batches too. ``rand`` takes several of one strength.

    Use it for photographs, when nothing is to be tuned: a strong first choice.

    Source: Müller & Hutter 2021, section 3, with PIL's enhancers and autocontrast beside these.
    """
    return picked([u1])
