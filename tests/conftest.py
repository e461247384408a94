"""What all tests share."""

import pytest
import torch
from torch import nn

from small import small_digits


@pytest.fixture(autouse=True)
def one_thread():
    """One thread, as in a study's workers: the same bits, and no waiting on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def linear_task():
    """Small digits with a linear classifier."""
    return small_digits(lambda: nn.Linear(64, 10))
