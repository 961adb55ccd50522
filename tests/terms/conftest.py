"""The fixtures of tests/models hold for the terms as well."""

from tests.models.conftest import one_thread, seeded_generator  # noqa: F401
