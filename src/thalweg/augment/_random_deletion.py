from thalweg.augment._technique import augmentation
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="Wei & Zou 2019, EDA: Easy Data Augmentation Techniques (1901.11196)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def random_deletion(word, *, share=0.1, at_least=0, at_most=1000, stop="", p=1.0):
    """Words are taken out with the spaces behind them; never the last one.

    ``random_swap`` keeps them all.

    Use it where no single word decides the label.

    Source: Wei & Zou 2019, section 2, which takes out each word with a probability, and not a share of them.
    """
    return word.text[:0]
