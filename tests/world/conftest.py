"""What the real WhatsApp does to a fleet of linked companies, played against the emulator."""

from tests.e2e.fixtures import emulator, folder, own_redis

__all__ = ["emulator", "folder", "own_redis"]
