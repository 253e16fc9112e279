"""The contract between processes: what web, workers and tests agree on. Depends on nothing else here."""

VERSION = "0.2.0"
