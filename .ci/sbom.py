"""The locked packages as CycloneDX 1.6: their names, versions, and the hashes of the files that `pip` takes. Of the lock and
pyproject.toml alone: nothing is installed, asked for, or told of this machine.

    python .ci/sbom.py > sbom.json
"""

import hashlib
import json
import re
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_ENTRY = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,]+\])?==(\S+)((?:.*\\\n)*.*)", re.MULTILINE)


def component(name: str, version: str, more: str) -> dict[str, object]:
    """One package of the lock."""
    hashes = [{"alg": "SHA-256", "content": one} for one in re.findall(r"--hash=sha256:([0-9a-f]{64})", more)]
    where = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    files = {"type": "distribution", "url": f"https://pypi.org/simple/{name.lower()}/", "hashes": hashes}
    made = {"type": "library", "bom-ref": where, "name": name, "version": version, "purl": where}
    return made | {"externalReferences": [files]}


def main() -> None:
    """Write it to stdout: the same lock makes the same bytes."""
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = {"type": "application", "bom-ref": "ours", "name": ours["name"], "version": ours["version"]}
    components = [component(*found) for found in _ENTRY.findall(lock)]
    number = uuid.UUID(bytes=hashlib.sha256(lock.encode()).digest()[:16], version=4)
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", "version": 1}
    licence = {"licenses": [{"license": {"id": ours["license"]}}]}
    print(json.dumps(head | {"metadata": {"component": about | licence}, "components": components}, indent=2))


if __name__ == "__main__":
    main()
