"""The program of an engine process, and of their parent."""

import sys

sys.modules.setdefault("typing_extensions", None)  # type: ignore[arg-type]  # msgspec takes what typing has then: 0.4 MB
