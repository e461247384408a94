from thalweg.init._technique import init


@init(source="none: it shows the pitfall; Goodfellow, Bengio & Courville 2016, Deep Learning, section 8.4", noise=())
def zeros(z):
    """Every weight 0: the pitfall, kept to be shown.

    All units of a layer compute the same and get the same gradient, so that they stay the same for ever; behind a
    layer of zeros there is no gradient at all. ``small_random`` is the least that breaks the symmetry.

    Use it to show that it fails; and, by hand, for biases and for the last layer of a residual branch.

    Source: Goodfellow et al. 2016, section 8.4; torch: ``zeros_``.
    """
    return 0 * z
