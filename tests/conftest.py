"""What holds for all tests."""

import gc

import etc  # noqa: F401  # sets what NumPy and torch read while they are loaded


def pytest_collection_finish():
    """Leave what is loaded out of the search for garbage: it is much, and none of it ever becomes garbage."""
    gc.collect()
    gc.freeze()
