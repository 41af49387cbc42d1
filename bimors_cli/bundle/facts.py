"""What the catalog knows of a model: commercial use, training images, published accuracy; each with its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Answer = Literal["yes", "ask", "no"]
# From the most to the least free.
ANSWERS: Final[tuple[Answer, ...]] = ("yes", "ask", "no")
# What is shown where no public source has a fact.
NOT_KNOWN: Final = "not known"


@dataclass(frozen=True)
class Permission:
    """Whether a model may be used commercially.

    Attributes
    ----------
    answer : {"yes", "ask", "no"}
        ``ask`` where the owner must be asked: the licence is not stated, or public pages contradict each other.
    why : str
        The reason.
    source : str
        Address of the page that says so; empty if nobody has looked it up.
    """

    answer: Answer
    why: str
    source: str


# Of a source of the catalog that does not state it.
UNKNOWN_PERMISSION: Final = Permission("ask", "its licence was not looked up", "")


@dataclass(frozen=True)
class Training:
    """The images that a CLIP was trained on.

    Attributes
    ----------
    images : tuple of str
        Sensors and collections.
    pixel_size_m : (float, float) or None
        Smallest and largest ground sampling distance, in metres; None if it is not known.
    source : str
        Address of the page that says so.
    """

    images: tuple[str, ...]
    pixel_size_m: tuple[float, float] | None
    source: str


@dataclass(frozen=True)
class Protocol:
    """How accuracies were measured. Figures of different protocols cannot be compared.

    Attributes
    ----------
    name, title, source : str
        Name in the catalog; the prompts and images; address of the page with the figures.
    reference : mapping
        Data set to the accuracy of `REFERENCE` in this protocol, in percent; empty if it was not measured.
    """

    name: str
    title: str
    source: str
    reference: Mapping[str, float]


# The bundle whose figures most protocols have: entries of different protocols are ordered by the difference to it.
REFERENCE: Final = "georsclip-b32"


@dataclass(frozen=True)
class ZeroShot:
    """Published accuracy of a CLIP without any training, in percent, of one protocol.

    ``figures`` maps a data set to the accuracy. ``doubt`` is a reason to take them with care; may be empty.
    """

    protocol: Protocol
    figures: Mapping[str, float]
    doubt: str = ""

    def compared(self, data_set: str) -> float | None:
        """Return the difference to `REFERENCE` in percentage points; None if the protocol did not measure both."""
        own, other = self.figures.get(data_set), self.protocol.reference.get(data_set)
        return None if own is None or other is None else own - other


@dataclass(frozen=True)
class Facts:
    """The facts of the model of one source.

    Attributes
    ----------
    commercial : Permission
        Whether it may be used commercially.
    training : Training or None
        Its training images, for CLIP; None if they are not known.
    zero_shot : ZeroShot or None
        Its accuracy, for CLIP; None if it is not known.
    bytes_a_number : int
        Bytes that a parameter takes in the files: 4 for float32.
    """

    commercial: Permission = UNKNOWN_PERMISSION
    training: Training | None = None
    zero_shot: ZeroShot | None = None
    bytes_a_number: int = 4


# Of a source that the catalog knows nothing of.
NO_FACTS: Final = Facts()


def parse_facts(content: Mapping[str, Any], protocols: Mapping[str, Protocol]) -> Facts:
    """Read ``facts`` of a source of the catalog."""
    commercial, training, zero_shot = (content.get(name) for name in ("commercial", "training", "zero_shot"))
    return Facts(
        commercial=UNKNOWN_PERMISSION if commercial is None else Permission(**commercial),
        training=None if training is None else _training(training),
        zero_shot=None if zero_shot is None else _zero_shot(zero_shot, protocols),
        bytes_a_number=content.get("bytes_a_number", 4),
    )


def _training(content: Mapping[str, Any]) -> Training:
    size = content["pixel_size_m"]
    return Training(tuple(content["images"]), None if size is None else (size[0], size[1]), content["source"])


def _zero_shot(content: Mapping[str, Any], protocols: Mapping[str, Protocol]) -> ZeroShot:
    return ZeroShot(protocols[content["protocol"]], content["figures"], content.get("doubt", ""))


def parse_protocols(content: Mapping[str, Any]) -> dict[str, Protocol]:
    """Read ``protocols`` of the catalog."""
    return {name: Protocol(name, one["title"], one["source"], one["reference"] or {}) for name, one in content.items()}


def strictest(permissions: Iterable[Permission]) -> Answer:
    """Return the answer for several models that are used together."""
    return max((one.answer for one in permissions), key=ANSWERS.index, default="yes")


def pixel_sizes(metres: Sequence[float] | None) -> str:
    """Return the smallest and the largest pixel size for display, such as ``0.1 to 30 m``."""
    if metres is None:
        return NOT_KNOWN
    low, high = metres
    return f"{low:g} m" if low == high else f"{low:g} to {high:g} m"
