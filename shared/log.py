"""The log of this process: events named `noun.verb`, with fields (shared/telemetry/logs.py says where they go)."""

import structlog

log = structlog.get_logger()
