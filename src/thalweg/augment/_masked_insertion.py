from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick_by_chance
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="mask_gap",
    source="Li et al. 2021, Contextualized Perturbation for Textual Adversarial Attack (2009.07502)",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "top": "whole [1, inf)",
    },
)  # fmt: skip
def masked_insertion(guesses, u1, *, path="", top=10, share=0.1, at_least=1, at_most=10, p=1.0):
    """A word is put in where a masked language model expects it, between two others.

    ``masked`` puts it in the place of one; ``random_insertion`` does not look at the sentence.

    Use it where texts are to become longer and still read well.

    Source: Li et al. 2021, section 2.2, "Insert"; nlpaug: ``ContextualWordEmbsAug(action="insert")``.
    """
    return pick_by_chance(guesses, u1)
