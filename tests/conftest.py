"""What all tests share."""

import shutil

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


@pytest.fixture(scope="session")
def browser():
    """Start Chromium, once for all tests; without one they are skipped."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        started = player.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()
