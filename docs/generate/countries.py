"""How numbers are written in every country, for the page: from libphonenumber's tables, so that both read alike."""

import re

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

HEAD = """// Generated from libphonenumber's tables by `make docs`; do not edit.

/**
 * `REGION dial trunk groups lead`: the trunk is what stands before a number at home and is dropped abroad (`-`: nothing);
 * the groups are those of a mobile number; the lead tells countries apart that share a code.
 */
export const COUNTRY_ROWS =
"""
WIDTH = 112
GROUPS = {"MX": "244", "DE": "344", "KZ": "3322"}
"""Where the example is not how most people write: big cities and carriers have shorter prefixes, and who shares a code
writes as the neighbour does."""


def table() -> str:
    """`frontend/countries.generated.js`."""
    rows = []
    for dial, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        # The first region of a code is the one that most of its numbers are of.
        rows += [row for region in regions if region.isalpha() and (row := _row(region, dial))]
    lines, line = [], ""
    for row in rows:
        if len(line) + len(row) > WIDTH:
            lines.append(line)
            line = ""
        line += row + ";"
    lines.append(line.rstrip(";"))
    return HEAD + " +\n".join(f'  "{one}"' for one in lines) + ";\n"


def _row(region: str, dial: int) -> str:
    metadata = PhoneMetadata.metadata_for_region(region)
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    if metadata is None or example is None:
        return ""
    written = phonenumbers.format_number(example, PhoneNumberFormat.INTERNATIONAL)
    groups = GROUPS.get(region) or "".join(str(len(group)) for group in re.findall(r"\d+", written)[1:])
    lead = re.sub(r"\(\?:", "(", metadata.leading_digits or "")
    return f"{region} {dial} {metadata.national_prefix or '-'} {groups} {lead}".rstrip()
