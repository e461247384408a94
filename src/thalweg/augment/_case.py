from thalweg.augment._technique import augmentation
from thalweg.augment.text._letters import cased
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="common practice",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def case(word, u1, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """A word in capitals, in small letters, or with a capital first: whichever it is not.

    ``typo`` keeps the casing.

    Use it where casing will be careless.

    Source: common practice; AugLy: ``ChangeCase``.
    """
    return cased(word.text, u1)
