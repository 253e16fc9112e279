"""The operators' command, `onboarding`: every question about an onboarding, a session or a worker in one line.

It talks to Redis (REDIS_URL) and, to make links, signs with SECRET_KEY. Beside `make run` it finds both by itself.
What it shows and does, `redis-cli` can show and do as well: docs/operations.md.
"""
