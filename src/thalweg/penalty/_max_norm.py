from thalweg.optim._vocabulary import maximum
from thalweg.optim._vocabulary_units import unit_norm
from thalweg.penalty._technique import penalty
from thalweg.technique import Uniform


@penalty(
    place="after",
    source="Srebro & Shraibman 2005, Rank, Trace-Norm and Max-Norm; Srivastava et al. 2014, Dropout, section 5.1",
    space={"limit": Uniform(1.0, 5.0)},
    limits={"limit": "(0, inf)"},
)
def max_norm(w, *, limit=3.0):
    """Each output unit's weights shortened to ``limit`` where they are longer, after every step.

    A unit is a row of a linear layer's weights, or one filter of a convolution; a vector counts as one. Weights that
    are short enough feel nothing of it, where ``l2`` pulls them all.

    Use it together with ``dropout`` and a high rate, as its source does.

    Source: Srivastava et al. 2014, section 5.1, where 3 to 4 were found good; torch: ``renorm(2, 0, limit)``.
    """
    return w * (limit / maximum(unit_norm(w), limit))
