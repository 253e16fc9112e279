"""Phone numbers as the service reads them, at the place where programs beside it have always found them."""

from shared.core.phone import parse, same_account

__all__ = ["parse", "same_account"]
