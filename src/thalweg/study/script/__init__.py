"""A recipe of a study as one plain PyTorch script."""

from thalweg.study.script.export import export

__all__ = ["export"]
