"""When training ends before its last epoch: ``stop.patience(5)``; pure, so that there is nothing to restore.

In a loop of one's own, ``start()`` and ``observe(seen, metric)`` say when to stop and which epoch was best; in a
recipe it is the role ``stop``, which gives the run its best weights back.
"""

from thalweg.stop._never import never
from thalweg.stop._patience import patience
from thalweg.stop._technique import Seen, Stop, StopTechnique

CATALOGUE: dict[str, StopTechnique] = {technique.name: technique for technique in (never, patience)}
"""Every way to stop by name."""

__all__ = ["CATALOGUE", "Seen", "Stop", "StopTechnique", "never", "patience"]


def __dir__() -> list[str]:
    return __all__
