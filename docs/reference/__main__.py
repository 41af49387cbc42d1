"""Write the sources of the site to a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.reference.site import assemble


def main() -> None:
    """Write the site to the folder that the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m docs.reference FOLDER")
    site = assemble()
    site.write(Path(sys.argv[1]))
    print(f"{len(site.pages)} pages and {len(site.files)} files in {sys.argv[1]}")


if __name__ == "__main__":
    main()
