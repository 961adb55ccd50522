import pytest
import torch
from accelerate.state import AcceleratorState

from tests.training import toy


@pytest.fixture(autouse=True)
def restore_torch():
    """Trainings switch deterministic mode on and fix the threads; other tests must not notice."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # Accelerate keeps the number format of a process's first training.
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A toy project with an untrained teacher, as the current folder."""
    toy.make(tmp_path)
    toy.make_teacher(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
