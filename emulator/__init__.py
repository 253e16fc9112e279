"""A WhatsApp server and a phone on loopback, both of which we can steer. For tests, the demo and the benchmark only.

Start with README.md. `emulator.client` steers a running emulator, `client_env` points a process at it.
"""

from emulator.environment import client_env

__all__ = ["client_env"]
