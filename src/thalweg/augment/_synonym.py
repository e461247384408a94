from thalweg.augment._technique import augmentation
from thalweg.augment.text._picks import pick
from thalweg.augment.text.sources._wordnet import synonyms
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="word",
    source="Wei & Zou 2019, EDA: Easy Data Augmentation Techniques (1901.11196)",
    space={"share": Uniform(0.02, 0.3)},
    limits={
        "share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)", "senses": "whole [1, inf)",
    },
)  # fmt: skip
def synonym(word, u1, *, path="", senses=1, share=0.1, at_least=1, at_most=10, stop="english", tagger="", p=1.0):
    """A word becomes a synonym from WordNet, inflected as the word was: jumps, leaps.

    Of its most frequent ``senses``, as the part of speech that ``tagger``, a spaCy pipeline, finds, or else the
    likeliest one; never an antonym, and never for names. ``path`` is WordNet's folder; where none is given, Debian's,
    else NLTK's; ``wn:`` and a name is a lexicon of the package wn.
    ``ppdb`` knows paraphrases, ``vectors`` neighbours in meaning.

    Use it for short texts whose labels depend on the topic, when data are few.

    Source: Wei & Zou 2019, section 2; Miller 1995, WordNet.
    """
    return pick(synonyms(word, path, senses), u1)
