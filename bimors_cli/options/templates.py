"""Prompt templates of the zero-shot head: sentences with a class name in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bimors_cli.errors import InputError

# Placeholder of the class name.
GAP: Final = "{}"
MAX_TEMPLATES, MAX_CHARACTERS = 100, 1000

# For bundles without templates of their own. Chosen on real CLIPs: "Zero-shot defaults" in tests/benchmarks/README.md.
REMOTE_SENSING: Final = (
    "an aerial image of a {}.",
    "a satellite image of a {}.",
    "a remote sensing image of a {}.",
    "an aerial image of the {}.",
    "a satellite image of the {}.",
    "a remote sensing image of the {}.",
    "an aerial image of many {}.",
    "a satellite image of many {}.",
    "a remote sensing image of many {}.",
)
# Those before, for adapters that were learned with them and do not say so.
FORMER_REMOTE_SENSING: Final = (
    "a photo of a {}.",
    "a satellite photo of a {}.",
    "a satellite image of a {}.",
    "a satellite image showing a {}.",
    "an aerial photo of a {}.",
    "an aerial image of a {}.",
    "an aerial view of a {}.",
    "an overhead view of a {}.",
    "a bird's-eye view of a {}.",
    "a remote sensing image of a {}.",
    "a {} seen from above.",
    "a {} seen from space.",
)


def check_templates(templates: Sequence[str], where: str) -> None:
    """Check the templates of a user or a manifest; ``where`` starts the messages.

    Raises
    ------
    InputError
        A template has no placeholder or several, is a duplicate, too long, or has a control character; or there are
        too many templates.
    """
    if len(templates) > MAX_TEMPLATES:
        raise InputError(f"{where}: {len(templates)} templates; at most {MAX_TEMPLATES} are supported")
    for index, template in enumerate(templates):
        shown = repr(template if len(template) <= 60 else template[:57] + "...")
        if template.count(GAP) != 1:
            how = "has no {}" if GAP not in template else "has more than one {}"
            raise InputError(f"{where} {shown}: {how}", 'write {} once, for the label: "a satellite photo of a {}."')
        if len(template) > MAX_CHARACTERS:
            raise InputError(f"{where} {shown}: {len(template):,} characters; at most {MAX_CHARACTERS:,}", "shorten it")
        if not template.isprintable():
            raise InputError(f"{where} {shown}: contains a control character", "remove it")
        if template in templates[:index]:
            raise InputError(f"{where} {shown}: duplicate template", "give each template once")
