"""What a user may choose for a run of finetune."""

from __future__ import annotations

from dataclasses import dataclass

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.classify import SceneOptions
from bimors_cli.options.heads import find_head, head_names, is_head
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(SceneOptions):
    """The options of `bimors finetune`.

    ``sources`` are one folder, one split file or one layer that `bimors classify` wrote; with ``polygons``, scenes.
    ``labels`` are the classes to learn, by default all of the source. ``output`` None is ``adapters/<name of the
    source>`` in the current folder. ``shots`` examples a class, 0 for all. ``rate`` None is the head's own. ``cache``
    adds a cache's logits to those of the head.
    """

    sources: tuple[str, ...]
    labels: Labels | None = None
    polygons: str | None = None
    field: str | None = None
    layer: str | None = None
    images: str | None = None
    min_overlap: float = 0.5
    background: str | None = None
    output: str | None = None
    shots: int = 16
    model: str = "mini"
    head: str = "bimors"
    cache: bool = False
    captions: bool = True
    caption_cache: bool = True
    freeze_caption_projection: bool = False
    epochs: int = 10
    rate: float | None = None
    batch_size: int = 4
    seed: int = 1
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise InputError("nothing to learn from", "bimors finetune --shots 16 data/")
        if len(self.sources) > 1 and self.polygons is None:
            raise InputError("several sources are for scenes with --polygons", "give one folder, split file or layer")
        if (self.polygons is None) != (self.field is None):
            given, missing = ("--polygons", "--field") if self.field is None else ("--field", "--polygons")
            raise InputError(
                f"{given} needs {missing}", "bimors finetune scene.tif --polygons train.gpkg --field class"
            )
        if not is_head(self.head):
            raise InputError(f"--head {self.head}: unknown head", f"use {head_names()}")
        for name, value, least in (
            ("--shots", self.shots, 0),
            ("--epochs", self.epochs, 1),
            ("--batch-size", self.batch_size, 1),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise InputError(f"{name} {value}: at least {least}")
        if self.rate is not None and not 0 < self.rate < 1000:
            raise InputError(
                f"--lr {self.rate}: not a learning rate", f"the default of {self.head} is {self.recipe.rate}"
            )
        if self.freeze_caption_projection and "frozen-projection" not in find_head(self.head).changes:
            raise InputError(f"--freeze-caption-projection has no part in --head {self.head}", "leave it out")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts anew and --resume goes on", "give one of them")

    @property
    def choice(self) -> HeadConfig:
        """The head that learns."""
        return HeadConfig(
            find_head(self.head).stored_name, self.cache, freeze_caption_projection=self.freeze_caption_projection
        )

    @property
    def recipe(self) -> TrainConfig:
        """The training run that these options ask for."""
        rate = find_head(self.head).learning_rate if self.rate is None else self.rate
        return TrainConfig(epochs=self.epochs, rate=rate, batch_size=self.batch_size, seed=self.seed)
