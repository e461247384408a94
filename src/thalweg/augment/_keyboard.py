from thalweg.augment._technique import augmentation
from thalweg.augment.text._letters import mistyped
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="Belinkov & Bisk 2018, Synthetic and Natural Noise Both Break Neural Machine Translation (1711.02173)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def keyboard(word, u1, u2, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """One letter of a word becomes a neighbour on an English keyboard.

    ``typo`` makes slips that no keyboard explains.

    Use it where people will type what the model reads.

    Source: Belinkov & Bisk 2018, section 3.2; nlpaug: ``KeyboardAug``.
    """
    return mistyped(word.text, u1, u2)
