"""DATABASE_URL as the workers read it, at the place where programs beside them have always found it."""

from workers.store.postgres.dsn import server_of

__all__ = ["server_of"]
