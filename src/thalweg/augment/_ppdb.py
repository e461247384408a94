from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick
from thalweg.augment.text.sources._ppdb import paraphrases
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="word",
    source="Pavlick et al. 2015, PPDB 2.0: Better paraphrase ranking, fine-grained entailment relations",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "score": "(-inf, inf)",
        "top": "whole [1, inf)",
    },
)  # fmt: skip
def ppdb(
    word, u1, *, path="", score=0.0, top=5, wordnet="", share=0.1, at_least=1, at_most=10, stop="english", tagger="",
    p=1.0,
):  # fmt: skip
    """A word becomes one of its ``top`` paraphrases of at least a ``score``: jumps, climbs.

    From the file ``path`` of the Paraphrase Database; scores are its ``PPDB2.0Score``, and for version 1.0 the mean
    logarithm of both probabilities. Pairs that exclude each other are left out, and antonyms, where ``wordnet`` names
    WordNet's folder. ``synonym`` needs no file of paraphrases.

    Use it where phrases rather than single words are to be exchanged.

    Source: Pavlick et al. 2015; nlpaug: ``SynonymAug(aug_src="ppdb")``, which knows no scores.
    """
    return pick(paraphrases(word, path, score, wordnet)[:top], u1)
