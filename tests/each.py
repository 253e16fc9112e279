"""Many rows in one test: for tables that are pure, and looked at in a moment."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(names: str | Iterable[str], rows: Iterable[Any], ids: object = None) -> Callable[[Callable], Callable]:
    """As `pytest.mark.parametrize`, but one test: it runs every row, and fails with all that failed."""
    named = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
    values = [row if len(named) > 1 else (row,) for row in rows]

    def decorated(test: Callable) -> Callable:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def every(**fixtures: Any) -> None:
            failed: list[Exception] = []
            for row in values:
                try:
                    test(**fixtures, **dict(zip(named, row, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    failed.append(AssertionError(f"{row!r:.300}: {error}").with_traceback(error.__traceback__))
            if failed:
                raise ExceptionGroup(f"{len(failed)} of {len(values)} rows", failed)

        rest = [one for one in signature.parameters.values() if one.name not in named]
        every.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return every

    return decorated
