"""One thread a test: the tensors are small, and threads that wait for each other cost more than they compute."""

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seeded_generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
