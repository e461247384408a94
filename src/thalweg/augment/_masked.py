from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick_by_chance
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="mask",
    source="Kobayashi 2018, Contextual Augmentation (1805.06201); Devlin et al. 2019, BERT (1810.04805)",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "top": "whole [1, inf)",
    },
)  # fmt: skip
def masked(guesses, u1, *, path="", top=10, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """A word becomes what a masked language model expects in its place, as likely as it expects it.

    One of the ``top`` words that it expects, and another than was there. ``path`` is the folder of a model that
    transformers saved. It knows what the sentence needs, and not what the word meant: ``synonym`` does.

    Use it where replacements must fit the sentence and a language model is at hand.

    Source: Kobayashi 2018, section 2.1; nlpaug: ``ContextualWordEmbsAug(action="substitute")``.
    """
    return pick_by_chance(guesses, u1)
