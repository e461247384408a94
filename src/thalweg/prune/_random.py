from thalweg.prune._technique import prune


@prune(source="Frankle & Carbin 2019, The Lottery Ticket Hypothesis, where it is the control")
def random(w, u):
    """Weights stay by lot: what any other way to prune must beat.

    Within a layer all masks of so many weights are as likely. Of masks that are there, `thalweg.prune.shuffled` makes
    random ones that keep as much of each layer.

    Use it as the control that every way to prune has to beat.

    Source: Frankle & Carbin 2019; torch: ``random_unstructured``.
    """
    return u
