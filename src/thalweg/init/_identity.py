from thalweg.init._technique import init
from thalweg.init._words import diagonal


@init(
    source="Le, Jaitly & Hinton 2015, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    noise=(),
    fills=("linear", "hidden"),
)
def identity(z):
    """Linear layers that hand on what they get, each input to the output of its number.

    Inputs or outputs beyond the fewer are 0. Of a recurrent layer it fills what leads from state to state, of a
    gate each. ``dirac`` does so for convolutions.

    Use it for recurrent networks with ``relu`` that are to remember, and for linear layers put in later.

    Source: Le et al. 2015; torch: ``eye_``.
    """
    return diagonal(z)
