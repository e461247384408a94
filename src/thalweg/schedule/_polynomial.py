from thalweg.schedule._technique import schedule
from thalweg.technique import Uniform


@schedule(
    source="Liu, Rabinovich & Berg 2016, ParseNet, section 3.3; Chen et al. 2018, DeepLab",
    space={"power": Uniform(0.5, 2.0)},
    generalises=("constant", "linear"),
)
def polynomial(step, *, steps=None, power=0.9, end=0.0):
    """The rate falls as a power of the steps that are left, to ``end``.

    Above 1 the power makes it fall early, below 1 late; at 1 it is ``linear``. torch: ``PolynomialLR(steps, power)``,
    without ``end`` and with 1 as the default power; 0.9 is that of the papers.

    Use it for segmentation, where power 0.9 is customary.
    """
    return end + (1 - end) * (1 - step / steps) ** power
