from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="order",
    source="Wei & Zou 2019, EDA: Easy Data Augmentation Techniques (1901.11196)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def random_swap(others, u1, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """A word changes places with another; each takes over the casing of its new place.

    ``random_deletion`` takes words out.

    Use it where the order of words matters little to the label.

    Source: Wei & Zou 2019, section 2.
    """
    return pick(others, u1)
