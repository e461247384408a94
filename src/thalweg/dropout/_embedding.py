from thalweg.dropout._technique import dropout
from thalweg.technique import Uniform


@dropout(
    source="Gal & Ghahramani 2016, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks, "
    "section 4.2",
    space={"p": Uniform(0.0, 0.5)},
    shares="words",
    layer="an nn.Embedding",
    made_of="_words:EmbeddingDropout",
)
def embedding(x, keep, *, p=0.1):
    """Each word of a sequence leaves with probability p, with its whole vector and wherever it stands in it.

    It drops rows of the embedding matrix: word types, where ``dropout`` of the vectors drops numbers of single words.

    Use it on word embeddings where texts are few.

    Source: Gal & Ghahramani 2016.
    """
    return x * keep * (1 / (1 - p))
