from thalweg.augment._technique import augmentation
from thalweg.augment.image._choices import picked
from thalweg.technique import Choice, Uniform


@augmentation(
    stage="chosen",
    source="Cubuk, Zoph, Shlens & Le 2020, RandAugment (1909.13719)",
    space={"count": Choice((1, 2, 3)), "strength": Uniform(0.1, 1.0)},
    limits={"count": "whole [0, 4]", "strength": "[0, 1]"},
)
def rand(u1, u2, u3, u4, *, count=2, strength=0.3, p=1.0):
    """So many steps of one strength, each any of those that ``trivial`` lists, which draws the strength too.

    A strength of 1 is the paper's 30; directions are drawn.

    Use it for photographs, when two numbers can be tuned.

    Source: Cubuk et al. 2020, section 3; torchvision: ``RandAugment(num_ops, magnitude)``.
    """
    return picked([u1, u2, u3, u4][:count], strength)
