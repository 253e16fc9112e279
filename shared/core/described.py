"""Words that stand in programs, each with a sentence for people."""

from enum import StrEnum
from typing import Self


class Described(StrEnum):
    """Base of an enumeration whose members are written `MEMBER = "word", "Sentence."`."""

    says: str

    def __new__(cls, word: str, says: str = "") -> Self:
        made = str.__new__(cls, word)
        made._value_ = word
        made.says = says
        return made
