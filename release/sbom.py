"""Write the software bill of materials: the installed runtime dependencies as CycloneDX 1.6 JSON."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from bimors_cli.version import __version__
from release.dependencies import ROOT, Dependency, direct_names, installed_dependencies, project


def bill_of_materials() -> dict[str, Any]:
    """Return the document. Equal inputs give equal files: it has no time, and a serial number made of its content."""
    found = installed_dependencies()
    reference = {one.name: f"pkg:pypi/{one.name}@{one.version}" for one in found}
    own = f"pkg:pypi/{project()['name']}@{__version__}"
    licence = project()["license"]
    content = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project()["name"],
                "version": __version__,
                "description": project()["description"],
                "licenses": [{"expression": licence}],
                "purl": own,
            }
        },
        "components": [_component(one, reference[one.name]) for one in found],
        "dependencies": [
            {"ref": own, "dependsOn": [reference[name] for name in direct_names()]},
            *({"ref": reference[one.name], "dependsOn": [reference[name] for name in one.requires]} for one in found),
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def _component(one: Dependency, reference: str) -> dict[str, Any]:
    licence = {"expression": one.expression} if one.expression else {"license": {"name": one.licence}}
    return {
        "type": "library",
        "bom-ref": reference,
        "name": one.name,
        "version": one.version,
        "licenses": [licence],
        "purl": reference,
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist/bimors-cli.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill_of_materials(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(target)
