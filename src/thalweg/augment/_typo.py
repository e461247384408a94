from thalweg.augment._technique import augmentation
from thalweg.augment.text._letters import misspelt
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="Belinkov & Bisk 2018, Synthetic and Natural Noise Both Break Neural Machine Translation (1711.02173)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def typo(word, u1, u2, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """Two neighbouring letters of a word change places, or one is left out, or doubled; never the first.

    ``keyboard`` puts in letters that were not there.

    Use it where people will type what the model reads, on whatever keyboard.

    Source: Belinkov & Bisk 2018, section 3.2; nlpaug: ``RandomCharAug``.
    """
    return misspelt(word.text, u1, u2)
