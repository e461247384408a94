"""What an optimizer remembers costs memory: bytes of state per parameter, as declared and as measured.

A formula's declaration names what it keeps for every element (``state=("m", "v")``), so its price is known before
anything is allocated: 4 bytes a name in float32. AMSGrad remembers three numbers a weight, Adam two, momentum one,
SGD none. Where a name has a shape of its own the price depends on the weight's: Adafactor's row and column of a
matrix cost next to nothing, SOAP's two bases more than Adam. Scalars are kept once a group, and cost nothing a
parameter.

Source: the declarations in ``thalweg.optim``.

What to see: for every optimizer of the catalogue, the measured size of the state after a step is the declared one,
and torch's own optimizer of that name keeps as much.
"""

import argparse
from math import prod

import torch
from torch import nn

from thalweg import optim

SHAPE = (64, 32)


def declared(technique):
    """Return bytes of state per parameter, for a float32 weight of `SHAPE`."""
    shapes = [technique.shapes[name](SHAPE) if name in technique.shapes else SHAPE for name in technique.state]
    return sum(4 * prod(shape) for shape in shapes) / prod(SHAPE)


def measured(kind, arguments):
    """Return bytes of state per parameter that an optimizer holds after one step."""
    p = nn.Parameter(torch.randn(SHAPE))
    p.grad = torch.randn(SHAPE)
    optimizer = kind([p], **arguments)
    optimizer.step()
    kept = [x for x in optimizer.state[p].values() if isinstance(x, torch.Tensor) and x.dim() > 0]
    return sum(x.numel() * x.element_size() for x in kept) / p.numel()


def selections():
    """Yield for every formula of every class its technique, the class, and the arguments that select it."""
    for name in optim.__all__:
        face = getattr(getattr(optim, name), "face", None)
        for options, technique in face.formulas.items() if face is not None else ():
            yield technique, name, turned_on(options, face.arguments())


def turned_on(options, defaults):
    """Return arguments with options on: ``"momentum"`` a number, ``"nesterov"`` True, ``"name=word"`` the word."""
    found = {}
    for option in options:
        name, _, word = option.partition("=")
        found[name] = word or defaults[name] or (True if isinstance(defaults[name], bool) else 0.5)
    return found


def main():
    table = {}
    for technique, name, arguments in selections():
        if technique.name not in table:
            theirs = measured(getattr(torch.optim, name), arguments) if hasattr(torch.optim, name) else None
            table[technique.name] = (declared(technique), measured(getattr(optim, name), arguments), theirs)

    print("bytes of state per float32 parameter: declared, measured, in torch")
    for name, (said, ours, theirs) in sorted(table.items(), key=lambda row: row[1][0]):
        print(f"  {name:26}{said:6.1f}{ours:6.1f}" + ("     –" if theirs is None else f"{theirs:6.1f}"))
    return table


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
