"""The server of tests/api, for real clients of others."""

from tests.api.conftest import serve, served

__all__ = ["serve", "served"]
