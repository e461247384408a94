from thalweg.augment._technique import augmentation
from thalweg.augment.text._letters import strayed
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="Karpukhin et al. 2019, Training on Synthetic Noise Improves Robustness to Natural Noise in Machine "
    "Translation (1902.01509)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def random_letter(word, u1, u2, u3, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """One letter of a word becomes any other from a to z, or any is put in before it.

    ``keyboard`` puts in letters that are near, ``typo`` those of the word, and ``ocr`` what looks alike.

    Use it where noise is to have no reason at all, with ``typo`` for letters that are left out or change places.

    Source: Karpukhin et al. 2019, insertion and substitution; nlpaug: ``RandomCharAug``; TextAttack:
    ``CharSwapAugmenter``.
    """
    return strayed(word.text, u1, u2, u3)
