from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick_by_chance
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="sentence",
    source="Sennrich, Haddow & Birch 2016, Improving Neural Machine Translation Models with Monolingual Data "
    "(1511.06709); Edunov et al. 2018, Understanding Back-Translation at Scale (1808.09381)",
    space={"share": Uniform(0.1, 1.0)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "top": "whole [1, inf)",
        "beams": "whole [1, inf)",
    },
)  # fmt: skip
def back_translation(
    offered, u1, *, path="", back="", language="", through="", beams=1, top=10, share=0.5, at_least=1, at_most=10,
    p=1.0,
):  # fmt: skip
    """A sentence is translated into another language, and back again.

    By the models in the folders ``path`` and ``back``, or both ways by the one in ``path`` if it knows many
    languages: ``language`` is that of the texts then, ``through`` the other. Each word is one of the ``top`` that a
    model offers, as likely as it expects it. With several ``beams``, the likeliest translation goes there, and one of
    as many that are the likeliest comes back. ``synonym`` and ``masked`` keep the sentence's form.

    Use it where sentences are to be said in other words, and translation both ways is at hand.

    Source: Sennrich et al. 2016, section 3.2; Edunov et al. 2018, section 3; nlpaug: ``BackTranslationAug``.
    """
    return pick_by_chance(offered, u1)
