from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import first_with, pick
from thalweg.augment.text.sources._wordnet import synonyms
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="gap",
    source="Wei & Zou 2019, EDA: Easy Data Augmentation Techniques (1901.11196)",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "senses": "whole [1, inf)",
    },
)  # fmt: skip
def random_insertion(words, u1, u2, *, path="", senses=1, share=0.1, at_least=1, at_most=10, stop="english", p=1.0):
    """A synonym of one of the text's words is put in somewhere.

    ``synonym`` puts it in the word's place, ``masked_insertion`` what a language model expects there.

    Use it with ``synonym``, ``random_swap`` and ``random_deletion``, for the four steps of EDA.

    Source: Wei & Zou 2019, section 2.
    """
    return pick(first_with(words, u1, lambda word: synonyms(word, path, senses)), u2)
