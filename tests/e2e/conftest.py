"""The fixtures of the end-to-end tests, which live in a module so that the chaos suite can use them too."""

from tests.e2e.fixtures import browser, database, emulator, folder, own, own_redis, page, phone_page, stack

__all__ = ["browser", "database", "emulator", "folder", "own", "own_redis", "page", "phone_page", "stack"]
