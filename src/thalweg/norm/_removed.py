from thalweg.norm._technique import norm


@norm(
    source="the identity; in recipes, the norms that the model has are taken out",
    modules=("Identity",) * 4,
    over="nothing",
)
def removed(x):
    """What comes in, as it is: in a recipe, the model without its norms.

    What is learnt without any norm is what ``batch`` and its siblings are to be compared with.

    Use it to see what the norms of a model are worth.

    Source: none is needed; torch: ``Identity``.
    """
    return x
