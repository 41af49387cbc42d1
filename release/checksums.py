"""Write weights/SHA256SUMS: the SHA-256 of every file of the embedded bundle that the program reads.

`sha256sum --check SHA256SUMS` in that folder verifies them without bimors. `make sign` signs them with a key of
the maintainers.
"""

from __future__ import annotations

import hashlib

from bimors_cli.bundle.manifest import ADAPTER, MANIFEST, PARTS
from release.dependencies import ROOT

SUMS = ROOT / "weights/SHA256SUMS"
BUNDLE = SUMS.parent / "mini"


def sums() -> str:
    """Return the content of the file, one line per file, sorted by path."""
    paths = [BUNDLE / MANIFEST]
    paths += [path for part in (*PARTS, ADAPTER) for path in (BUNDLE / part).rglob("*") if path.is_file()]
    digests = {
        path.relative_to(SUMS.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


if __name__ == "__main__":
    SUMS.write_text(sums(), encoding="utf-8", newline="\n")
    print(SUMS.relative_to(ROOT))
