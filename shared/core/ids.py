"""Names that travel between processes, checked where they enter."""

import re
from collections.abc import Iterable
from typing import NewType

CompanyId = NewType("CompanyId", str)
"""The tenant, as the integrator names it: 1-64 of `A-Z a-z 0-9 _ . -`, beginning with a letter or digit."""

SessionId = NewType("SessionId", str)
"""`company_<id>`: the company's WhatsApp session."""

WorkerId = NewType("WorkerId", str)
"""One life of one worker process; never used twice."""

COMPANY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
_COMPANY = re.compile(COMPANY_PATTERN)
SESSION_PREFIX = "company_"


def company_id(text: str) -> CompanyId:
    """`text` as a company's id. Raises ValueError when it cannot be one (it becomes part of file and key names)."""
    if not _COMPANY.fullmatch(text):
        raise ValueError("a company id is 1-64 letters, digits, '_', '.' or '-', and begins with a letter or digit")
    return CompanyId(text)


def session_of(company: CompanyId) -> SessionId:
    return SessionId(SESSION_PREFIX + company)


def company_of(session: SessionId) -> CompanyId:
    """The company whose session it is. Raises ValueError for anything that is no session id."""
    if not session.startswith(SESSION_PREFIX):
        raise ValueError("a session id begins with 'company_'")
    return company_id(session.removeprefix(SESSION_PREFIX))


def sort_sessions(names: Iterable[bytes]) -> tuple[list[SessionId], list[bytes]]:
    """Names that Redis holds, sorted: those of sessions, and the strange ones that another program has put there."""
    ours: list[SessionId] = []
    strange: list[bytes] = []
    for name in names:
        try:
            session = SessionId(name.decode())
            company_of(session)
            ours.append(session)
        except ValueError:
            strange.append(name)
    return ours, strange
