"""Losses as landscapes: test surfaces with optimizers' paths over them, and cuts through the loss of a model."""
