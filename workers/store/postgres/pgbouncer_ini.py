"""The configuration of the worker's PgBouncer. Every setting was tried with the library (docs/device-store.md)."""

from pathlib import Path

from workers.store.postgres.dsn import Server

PORT = 6432
"""Part of the socket's name; nothing listens on TCP."""
IDLE_SECONDS = 600
"""So long a stopped session's connections stay behind; the library opens a connection anew when it needs one."""
MOST_CLIENTS = 4000
"""Two for each session that a worker may hold, as many again for what stopped ones have left, and the worker's own."""


def configuration(server: Server, folder: Path, connections: int) -> str:
    """The file's text: a socket in `folder`, and at most `connections` to `server`. It holds the password."""
    real = {
        "host": server.host,
        "port": str(server.port),
        "dbname": server.database,
        "user": server.user,
        "password": server.password,
    }
    settings: dict[str, object] = {
        "listen_addr": "",
        "listen_port": PORT,
        "unix_socket_dir": folder,
        "unix_socket_mode": "0700",
        "auth_type": "any",  # whoever may enter the folder
        "pool_mode": "transaction",
        "default_pool_size": connections,
        "server_idle_timeout": 5,
        "max_client_conn": MOST_CLIENTS,
        "server_login_retry": 1,
        "query_wait_timeout": 30,
        "client_idle_timeout": IDLE_SECONDS,
        "server_tls_sslmode": server.sslmode,
        "log_connections": 0,
        "log_disconnections": 0,
        "log_stats": 0,
    }
    if server.sslrootcert is not None:
        settings["server_tls_ca_file"] = server.sslrootcert
    database = " ".join(f"{name}={_quoted(value)}" for name, value in real.items() if value)
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["[databases]", f"wa = {database}", "[pgbouncer]", *lines, ""])


def _quoted(value: str) -> str:
    """As PgBouncer's connection strings have it: a quote is doubled, a backslash is plain."""
    return "'" + value.replace("'", "''") + "'"
