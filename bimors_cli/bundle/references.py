"""CLIPs by the names of open_clip and of the hub, which need no entry in the catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from bimors_cli.errors import InputError

_OPEN_CLIP: Final = re.compile(r"openclip:(?P<architecture>[\w.-]+)/(?P<tag>[\w.-]+)")
_HUB: Final = re.compile(r"hf:(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ClipReference:
    """A CLIP that is not in the catalog.

    Attributes
    ----------
    text : str
        As the user wrote it, ``openclip:ViT-B-32-256/datacomp_s34b_b86k`` or ``hf:OWNER/NAME@REVISION``.
    library : str
        ``openclip`` for a pretrained tag of open_clip, ``hf`` for a repository of the hub.
    first, second : str
        Architecture and tag, or owner and name.
    revision : str or None
        Branch, tag or commit of a repository; None for its default branch.
    """

    text: str
    library: Literal["openclip", "hf"]
    first: str
    second: str
    revision: str | None = None

    @property
    def bundle_name(self) -> str:
        """Name of the bundle that it is installed as: a valid folder name, with 12 digits of a commit."""
        revision = self.revision
        if revision is not None and COMMIT.fullmatch(revision):
            revision = revision[:12]
        last = () if revision is None else (revision.replace("/", "-"),)
        return "--".join((self.library, self.first, self.second, *last))


def parse_reference(text: str) -> ClipReference | None:
    """Read the name of a CLIP; None if it is not one of ``openclip:`` or ``hf:``.

    Raises
    ------
    InputError
        It begins like one, but is not.
    """
    if (found := _OPEN_CLIP.fullmatch(text)) is not None:
        return ClipReference(text, "openclip", found["architecture"], found["tag"])
    if (found := _HUB.fullmatch(text)) is not None:
        return ClipReference(text, "hf", found["owner"], found["name"], found["revision"])
    if text.startswith(("openclip:", "hf:")):
        raise InputError(
            f"--model {text}: not a name of a CLIP",
            "write openclip:ARCHITECTURE/TAG, such as openclip:ViT-B-32-256/datacomp_s34b_b86k, or "
            "hf:OWNER/NAME[@REVISION]",
        )
    return None
