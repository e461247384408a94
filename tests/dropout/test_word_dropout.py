"""Embeddings that lose whole words of a sequence."""

import pytest
import torch
from torch import nn

from thalweg import dropout
from thalweg.train.dropout import KeyedDropout

TOKENS = torch.randint(12, (300, 20), generator=torch.Generator().manual_seed(0))


def gone(layer, tokens):
    """Return which places lost their vector."""
    y = layer(tokens)
    assert ((y == 0).all(-1) == (y == 0).any(-1)).all(), "a word leaves with its whole vector"
    return (y == 0).all(-1)


@pytest.mark.parametrize("keyed", [False, True])
def test_all_places_of_a_word_in_a_sequence_go_together_and_sequences_are_independent(keyed):
    layer = dropout.EmbeddingDropout(nn.Embedding.from_pretrained(torch.ones(12, 3)), p=0.3)
    torch.manual_seed(0)
    with KeyedDropout(torch.tensor(4)) if keyed else torch.enable_grad():
        left = gone(layer, TOKENS)
    types = torch.zeros(300, 12)
    for sequence, (tokens, missing) in enumerate(zip(TOKENS, left, strict=True)):
        for word in range(12):
            here = missing[tokens == word]
            assert len(here.unique()) <= 1
            types[sequence, word] = here[0] if len(here) else float("nan")
    seen = types[~types.isnan()]
    assert seen.mean().item() == pytest.approx(0.3, abs=4 * (0.21 / len(seen)) ** 0.5)
    for word in range(12):  # what one sequence loses, others keep
        column = types[:, word]
        assert 0.15 < column[~column.isnan()].mean() < 0.45
    y = layer(TOKENS)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])


def test_one_sequence_alone_and_many_axes_of_them():
    layer = dropout.EmbeddingDropout(nn.Embedding.from_pretrained(torch.ones(12, 3)), p=0.5)
    assert layer(TOKENS[0]).shape == (20, 3)
    assert layer(TOKENS.view(3, 100, 20)).shape == (3, 100, 20, 3)
    with KeyedDropout(torch.tensor(4)):
        many = gone(layer, TOKENS.view(3, 100, 20))
    with KeyedDropout(torch.tensor(4)):
        assert torch.equal(many.view(300, 20), gone(layer, TOKENS))


def test_weights_that_are_tied_stay_tied_and_evaluation_is_the_embedding():
    embedding, head = nn.Embedding(12, 3), nn.Linear(3, 12, bias=False)
    head.weight = embedding.weight
    model = nn.Sequential(dropout.embedding(0.5).module(embedding), head)
    assert len(list(model.parameters())) == 1
    assert torch.equal(model.eval()(TOKENS), head(embedding(TOKENS)))
