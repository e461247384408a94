from thalweg.optim._vocabulary import norm
from thalweg.technique import LogUniform
from thalweg.wrapper._technique import wrapper


@wrapper(
    torchs="SAM",
    place="before",
    scope="model",
    source="Foret, Kleiner, Mobahi & Neyshabur 2021, Sharpness-Aware Minimization for Efficiently Improving "
    "Generalization, Algorithm 1",
    space={"rho": LogUniform(1e-2, 5e-1)},
    limits={"rho": "[0, inf)"},
)
def sam(p, g, *, rho=0.05, eps=1e-12):
    """The gradient is taken where the loss is about worst within the distance ρ, so that flat minima win.

    A step costs two gradients, both on the same batch with the same dropout masks. Batch norm's running statistics
    see the first alone.

    Use it where generalisation matters more than time: small data, vision transformers; it doubles the cost.

    Source: Foret et al. 2021, with ε as in their code.
    """
    return p + rho * g / (norm(g) + eps)
