"""Written forms of numbers in every country, for the page: from libphonenumber's tables, so that both read alike."""

import re

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

HEAD = """// Generated from libphonenumber's tables by `make docs`; do not edit.

/**
 * `trunk groups REGIONdial/lead ...`: the trunk is what stands before a number at home and is dropped abroad (`-`:
 * nothing); the groups are those of a mobile number; the lead tells countries apart that share a code. The countries
 * that share a trunk and groups stand together, which packs best, one row
 * each.
 */
export const COUNTRY_ROWS =
"""
GROUPS = {"MX": "244", "DE": "344", "KZ": "3322"}
"""Countries whose example is not what most people write: big cities and carriers have shorter prefixes, and who shares a code
writes as the neighbour does."""


def table() -> str:
    """`frontend/countries.generated.js`."""
    rows: list[list[str]] = []
    for dial, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        # The first region of a code is the one that most of its numbers are of.
        last = 0
        for written, country in filter(None, (_row(region, dial) for region in regions if region.isalpha())):
            last = next((place for place in range(last, len(rows)) if rows[place][0] == written), len(rows))
            if last == len(rows):
                rows.append([written])
            rows[last].append(country)
    return HEAD + "`" + "\n".join(map(" ".join, rows)) + "`;\n"


def _row(region: str, dial: int) -> tuple[str, str] | None:
    """The written form of numbers there, and the country with its code."""
    metadata = PhoneMetadata.metadata_for_region(region)
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if metadata is None or example is None:
        return None
    written = phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL)
    groups = GROUPS.get(region) or "".join(str(len(group)) for group in re.findall(r"\d+", written)[1:])
    lead = re.sub(r"\(\?:", "(", metadata.leading_digits or "")
    return f"{metadata.national_prefix or '-'} {groups}", f"{region}{dial}" + (f"/{lead}" if lead else "")
