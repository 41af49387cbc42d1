"""The heads, one row each: everything that lists, parses, trains or loads heads reads this table.

To add a head, write its module (see `HeadEntry.module`) and add a row to `HEADS`; this also works at run time:

    HEADS["mine"] = HeadEntry("mine", "my_package.my_head", learning_rate=0.01, help="What it learns.")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Final

# Plain CLIP with text templates: it has nothing to train, so it has no row.
ZERO_SHOT: Final = "zero-shot"
# Closed-form classifiers of the views of a tile (`bimors_cli.fewshot`): no module to train, so no row. `AUTO` of
# finetune chooses between these and the heads below.
VIEWS_HEAD: Final = "views"
AUTO: Final = "auto"


@dataclass(frozen=True)
class HeadEntry:
    """A head that can be trained.

    Attributes
    ----------
    name : str
        Value of `finetune --head` and `evaluate --heads`.
    module : str
        Imported when the head is first used. It defines ``make_learner(HeadInit)``, which returns an untrained
        ``torch.nn.Module``, and ``make_head(HeadSetup)``, which returns a `Head` for the user's labels; see
        `bimors_cli.model.heads.base`.
    learning_rate : float
        Default peak learning rate.
    help : str
        One line for the shell completion.
    context_tokens : bool
        Its prompts have learned context tokens; their number can be set (``tokens=M``).
    captions : bool
        It uses the captions of the tiles.
    closed_set : bool
        It classifies only into labels that it was trained on.
    needs_tip_adapter : bool
        Its learner always has a Tip-Adapter cache; for other heads the cache is optional.
    changes : tuple of str
        Further changes that `evaluate --heads NAME:CHANGE` accepts: ``no-patch-tokens``, ``frozen-projection``,
        ``random-start``.
    aliases : tuple of str
        Other names that are accepted.
    stored_name : str
        Name in adapter manifests, trial logs and metrics, by default ``name``.
    """

    name: str
    module: str
    learning_rate: float
    help: str
    context_tokens: bool = False
    captions: bool = False
    closed_set: bool = False
    needs_tip_adapter: bool = False
    changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    stored_name: str = ""

    def __post_init__(self) -> None:
        if not self.stored_name:
            object.__setattr__(self, "stored_name", self.name)

    def load(self, attribute: str) -> Callable[..., Any]:
        """Import the head's module and return one of its functions."""
        function: Callable[..., Any] = resolve_name(f"{self.module}:{attribute}")
        return function


# Learning rates: bimors from its published implementation, coop and cocoop from theirs (Zhou et al. 2022).
HEADS: Final[dict[str, HeadEntry]] = {
    entry.name: entry
    for entry in (
        HeadEntry(
            "coop",
            "bimors_cli.model.heads.coop",
            learning_rate=0.002,
            help="context tokens shared by all tiles",
            context_tokens=True,
        ),
        HeadEntry(
            "cocoop",
            "bimors_cli.model.heads.cocoop",
            learning_rate=0.002,
            help="context tokens shifted by the tile's image feature",
            context_tokens=True,
        ),
        HeadEntry(
            "bimors",
            "bimors_cli.model.heads.bimors",
            learning_rate=0.009,
            help="context tokens conditioned on the tile's patch tokens and caption",
            context_tokens=True,
            captions=True,
            changes=("no-patch-tokens", "frozen-projection", "random-start"),
        ),
        HeadEntry(
            "tip-adapter",
            "bimors_cli.model.heads.tip_adapter",
            learning_rate=0.009,
            help="a cache of the training examples on top of zero-shot",
            needs_tip_adapter=True,
            aliases=("cache",),
            stored_name="cache",
        ),
        HeadEntry(
            "linear",
            "bimors_cli.model.heads.linear_probe",
            learning_rate=0.009,
            help="a linear classifier of image features",
            closed_set=True,
        ),
    )
}


def is_head(name: str) -> bool:
    """Whether a head that can be trained has this name, alias or stored name."""
    return any(name in (entry.name, entry.stored_name, *entry.aliases) for entry in HEADS.values())


def find_head(name: str) -> HeadEntry:
    """Return the head with this name, alias or stored name.

    Raises
    ------
    KeyError
        No head has that name.
    """
    for entry in HEADS.values():
        if name in (entry.name, entry.stored_name, *entry.aliases):
            return entry
    raise KeyError(name)


def head_names(last: str = "or") -> str:
    """List the heads that can be trained in a sentence: ``coop, bimors or linear``."""
    *first, final = HEADS
    return f"{', '.join(first)} {last} {final}" if first else final
