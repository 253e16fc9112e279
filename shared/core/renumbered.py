"""Countries that have changed how mobiles are numbered: the old way of writing each and today's, as data.

WhatsApp goes on to name an account as it was made. So both ways may be one account, and nobody can tell which it is.

A way is the number's digits with its country code. A digit stands for itself. A letter stands for one digit of its class,
in the same order on both sides.
"""

import re

CLASSES = {
    "#": "[0-9]",
    "d": "[1-9]",  # Brazil's area codes
    "m": "[6-9]",  # Brazil's mobiles, before they got a 9
    "f": "[04-9]",  # Ivory Coast's mobiles; the digit behind says the operator:
    "o": "[0-3]",  # Moov
    "t": "[4-6]",  # MTN
    "s": "[7-9]",  # Orange
    "g": "[23]",  # Ivory Coast's fixed lines; the third digit says the operator
    "r": "[1-79]",
}

#: Old way, today's way.
_TABLE = """
    52  521##########   52##########      Mexico gave up the 1 (2019)
    54  54##########    549##########     Argentina's mobiles have a 9 from abroad
    55  55ddm#######    55dd9m#######     Brazil put a 9 before mobiles (2012-2016)
    225 225fo######     22501fo######     Ivory Coast put the operator before eight digits (2021)
    225 225ft######     22505ft######
    225 225fs######     22507fs######
    225 225g#8#####     22521g#8#####
    225 225g#0#####     22525g#0#####
    225 225g#r#####     22527g#r#####
    229 229########     22901########     Benin put 01 before eight digits (2024)
    230 2307######      23057######       Mauritius put a 5 before mobiles (2013)
    230 2309######      23059######
    237 2377#######     23767#######      Cameroon put a 6 before mobiles (2014)
    237 2379#######     23769#######
    241 24101######     24111######       Gabon made two digits of the operator's one (2019)
    241 24102######     24162######
    241 24104######     24174######
    241 24105######     24165######
    241 24106######     24166######
    241 24107######     24177######
    593 5938#######     59398#######      Ecuador put a 9 before mobiles (2012)
    593 5939#######     59399#######
    84  84120#######    8470#######       Viet Nam made ten digits of eleven (2018)
    84  84121#######    8479#######
    84  84122#######    8477#######
    84  84126#######    8476#######
    84  84128#######    8478#######
    84  84123#######    8483#######
    84  84124#######    8484#######
    84  84125#######    8485#######
    84  84127#######    8481#######
    84  84129#######    8482#######
    84  84162#######    8432#######
    84  84163#######    8433#######
    84  84164#######    8434#######
    84  84165#######    8435#######
    84  84166#######    8436#######
    84  84167#######    8437#######
    84  84168#######    8438#######
    84  84169#######    8439#######
    84  84186#######    8456#######
    84  84188#######    8458#######
    84  84199#######    8459#######
"""


class _Way:
    def __init__(self, text: str) -> None:
        self.text = text
        self._pattern = re.compile("".join(one if one.isdigit() else f"({CLASSES[one]})" for one in text))

    def carry(self, digits: str, to: "_Way") -> str | None:
        """Write a number of this way in the way `to`. Return None for a number that is not of this way."""
        found = self._pattern.fullmatch(digits)
        if found is None:
            return None
        free = iter(found.groups())
        return "".join(one if one.isdigit() else next(free) for one in to.text)


_PAIRS = tuple((_Way(old), _Way(new)) for _, old, new, *_ in map(str.split, _TABLE.strip().splitlines()))


def today(digits: str) -> str | None:
    """Today's way of writing an old number (digits with the country code); None for a number that is not old."""
    return next((found for old, new in _PAIRS if (found := old.carry(digits, new))), None)


def formerly(digits: str) -> str | None:
    """The old way of writing today's number; None for a number that was never written otherwise."""
    return next((found for old, new in _PAIRS if (found := new.carry(digits, old))), None)
