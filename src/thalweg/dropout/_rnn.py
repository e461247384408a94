from thalweg.dropout._technique import dropout
from thalweg.technique import Uniform


@dropout(
    source="Gal & Ghahramani 2016, A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
    space={"p": Uniform(0.0, 0.5)},
    shares="steps",
    made_of="_recurrent:RecurrentDropout",
)
def rnn(x, keep, *, p=0.25):
    """Each feature of a sequence leaves with probability p, at every time step; the rest is ``dropout``.

    One mask a sequence: ``dropout`` draws anew at each step, and noise in the hidden state, drawn anew, would drown
    what a recurrent layer has to remember. ``dropout.rnn(0.25).module(nn.LSTM(…))`` thins inputs and hidden state so.

    Use it in recurrent networks, around and inside the layer.

    Source: Gal & Ghahramani 2016, equations 6 and 7, with one mask for all gates.
    """
    return x * keep * (1 / (1 - p))
