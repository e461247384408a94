from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick
from thalweg.augment.text.sources._vectors import neighbours
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="word",
    source="Wang & Yang 2015, That's So Annoying!!!: A Lexical and Frame-Semantic Embedding Based Data Augmentation",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "words": "whole [2, inf)",
        "top": "whole [1, inf)", "least": "[-1, 1]",
    },
)  # fmt: skip
def vectors(
    word, u1, *, path="", words=20000, top=5, least=0.0, wordnet="", share=0.1, at_least=1, at_most=10,
    stop="english", tagger="", p=1.0,
):  # fmt: skip
    """A word becomes one of the ``top`` words whose vectors are nearest, at least at a cosine of ``least``.

    Among the first ``words`` of the file ``path``: of word2vec, text or binary, GloVe, or fastText's ``.vec``; in the
    word's form, and of its part of speech. Antonyms are neighbours too: they are left out where ``wordnet`` names
    WordNet's folder. ``masked`` sees the sentence.

    Use it where there is no WordNet for the language but there are word vectors.

    Source: Wang & Yang 2015, section 3; nlpaug: ``WordEmbsAug``.
    """
    return pick(neighbours(word, path, words, least, wordnet)[:top], u1)
