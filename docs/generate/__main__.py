"""The command: see the package."""

import argparse
import sys

import docs.generate


def main() -> int:
    """Exit code 1 when `--check` finds a stale file."""
    parser = argparse.ArgumentParser(description=docs.generate.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only say what is stale")
    if parser.parse_args().check:
        outgrown = docs.generate.stale()
        for name in outgrown:
            print(f"{name} is stale: run `make docs` and commit it")
        return 1 if outgrown else 0
    for name in docs.generate.write():
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
