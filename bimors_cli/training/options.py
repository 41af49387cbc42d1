"""The options of `bimors finetune`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.class_names import ClassNames, parse_class_names
from bimors_cli.options.common import (
    CAPTION_CACHE,
    CAPTIONER,
    CAPTIONS,
    DEVICE,
    MIN_OVERLAP,
    MODEL_NAME,
    OVERWRITE,
    POINTS_CRS,
    RESUME,
    VERIFY,
)
from bimors_cli.options.heads import AUTO, find_head, head_names, is_head
from bimors_cli.options.option import EXAMPLES, MODEL, OUTPUT, TRAINING, Option
from bimors_cli.options.parse import expand_globs, parse_labels_file
from bimors_cli.options.scene import SceneOptions
from bimors_cli.options.views import PROMPTS, VIEWS
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig

EPOCHS = Option("--epochs", "Number of training epochs.", metavar="N", panel=TRAINING, minimum=1)
TRAINING_BATCH = Option("--batch-size", "Examples per training batch.", metavar="N", panel=TRAINING, minimum=1)


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(SceneOptions):
    """The options of `bimors finetune`.

    ``sources`` are one folder, one split file or one layer that `bimors classify` or `bimors search` wrote; with
    ``polygons`` or ``examples``, or with exported copies as ``corrected``, scenes.
    ``output`` None is ``adapters/<name of the source>`` in the current folder.
    """

    sources: Annotated[
        tuple[str, ...],
        Option(
            "",
            "A folder with one subfolder of images per class, a split file (.json), a layer that classify wrote and "
            "that you corrected, one that search wrote and in which you accepted and rejected tiles, or scenes with "
            "--polygons or --examples.",
            metavar="SOURCE",
            required=True,
            reads_scenes=True,
            parse=expand_globs,
        ),
    ] = ()
    output: Annotated[
        str | None,
        Option(
            "-o --output",
            "Folder of the adapter. Default: adapters/NAME OF THE SOURCE, in the current folder.",
            metavar="DIR",
            panel=OUTPUT,
        ),
    ] = None
    shots: Annotated[
        int, Option("--shots", "Training examples per class; 0 uses all.", metavar="K", panel=EXAMPLES, minimum=0)
    ] = 16
    labels: Annotated[
        Labels | None,
        Option(
            "-l --labels",
            "Text file with the classes of the source to learn, one per line, or the name of a wordlist. Default: all "
            "of them.",
            metavar="FILE|NAME",
            panel=EXAMPLES,
            parse=parse_labels_file,
            complete="label_lists",
        ),
    ] = None
    polygons: Annotated[
        str | None,
        Option(
            "--polygons",
            "Vector file of polygons, lines or points that label the scenes, or a CSV table of points.",
            metavar="FILE[:LAYER]",
            panel=EXAMPLES,
        ),
    ] = None
    points_crs: Annotated[str | None, replace(POINTS_CRS, panel=EXAMPLES)] = None
    examples: Annotated[
        str | None,
        Option(
            "--examples",
            "Raster of class codes that labels the scenes, such as a land cover map, in any CRS and resolution: a tile "
            "gets the class of most of its pixels, if that class covers --min-overlap of the tile. A vector file is "
            "used as with --polygons.",
            metavar="FILE",
            panel=EXAMPLES,
            reads_scenes=True,
        ),
    ] = None
    field: Annotated[
        str | None,
        Option("--field", "Vector field that holds the class name or code.", metavar="NAME", panel=EXAMPLES),
    ] = None
    class_names: Annotated[
        ClassNames | None,
        Option(
            "--class-names",
            "CSV with the names of the class codes of --examples or --field (code,name), or the name of a wordlist, "
            "such as nlcd; other codes are skipped. Default: the names in the label raster.",
            metavar="FILE|NAME",
            panel=EXAMPLES,
            parse=parse_class_names,
            complete="label_lists",
        ),
    ] = None
    min_overlap: Annotated[float, replace(MIN_OVERLAP, panel=EXAMPLES)] = 0.5
    background: Annotated[
        str | None,
        Option("--background", "Class of the tiles that no feature touches.", metavar="NAME", panel=EXAMPLES),
    ] = None
    layer: Annotated[
        str | None,
        Option("--layer", "Layer to learn from, if a corrected file has several.", metavar="NAME", panel=EXAMPLES),
    ] = None
    corrected: Annotated[
        tuple[str, ...],
        Option(
            "--corrected",
            "Learn from the corrected and checked tiles of this layer too, such as one that bimors suggest wrote. With "
            "scenes as SOURCE it may be a copy that QGIS exported, of which the checked tiles are learned. Repeat the "
            "option for several.",
            metavar="FILE",
            panel=EXAMPLES,
        ),
    ] = ()
    accepted_as: Annotated[
        str | None,
        Option(
            "--as",
            "For a layer of bimors search: the class of its accepted tiles. Default: the class or text of the search.",
            metavar="NAME",
            panel=EXAMPLES,
        ),
    ] = None
    rejected_as: Annotated[
        str | None,
        Option(
            "--others",
            "For a layer of bimors search: the class of its rejected tiles whose label you did not change. "
            "Default: other.",
            metavar="NAME",
            panel=EXAMPLES,
        ),
    ] = None
    images: Annotated[
        str | None,
        Option(
            "--images",
            "Folder of the images of a split file. Default: images/ next to it.",
            metavar="DIR",
            panel=EXAMPLES,
        ),
    ] = None
    model: Annotated[str, MODEL_NAME] = "mini"
    captioner: Annotated[str | None, CAPTIONER] = None
    verify: Annotated[bool, VERIFY] = False
    head: Annotated[
        str,
        Option(
            "--head",
            "auto classifies by the views of a tile that suit the examples best, in seconds. Or the head to train: "
            f"{head_names()}.",
            metavar="NAME",
            panel=MODEL,
            complete="trained_heads",
        ),
    ] = AUTO
    views: Annotated[
        tuple[str, ...],
        Option(
            "--views",
            f"For --head auto: views to choose from, of {', '.join(VIEWS)}. Default: all but captions; prompts only "
            "where the class names alone tell something.",
            metavar="NAME,...",
            panel=MODEL,
            commas=True,
        ),
    ] = ()
    cache: Annotated[
        bool,
        Option(
            "--tip-adapter/--no-tip-adapter",
            "Add the logits of a Tip-Adapter cache of the training examples to those of the head.",
            panel=MODEL,
            former="--cache/--no-cache",
        ),
    ] = False
    captions: Annotated[bool, CAPTIONS] = True
    caption_cache: Annotated[bool, CAPTION_CACHE] = True
    freeze_caption_projection: Annotated[
        bool,
        Option(
            "--freeze-caption-projection",
            "Leave the caption projection at its random initial values, as the published code does.",
            panel=TRAINING,
        ),
    ] = False
    epochs: Annotated[int, EPOCHS] = 10
    rate: Annotated[
        float | None,
        Option("--lr", "Highest learning rate. Default: that of the head.", metavar="RATE", panel=TRAINING),
    ] = None
    batch_size: Annotated[int, TRAINING_BATCH] = 4
    seed: Annotated[
        int,
        Option(
            "--seed",
            "Random seed of the choice of examples, the crops and the training.",
            metavar="N",
            panel=TRAINING,
            minimum=0,
        ),
    ] = 1
    device: Annotated[str, DEVICE] = "auto"
    overwrite: Annotated[bool, OVERWRITE] = False
    resume: Annotated[bool, RESUME] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.head == AUTO:
            self._check_auto()
        elif not is_head(self.head):
            raise InputError(f"--head {self.head}: unknown head", f"use auto, {head_names()}")
        elif self.views:
            raise InputError(f"--views has no effect with --head {self.head}", "leave it out, or use --head auto")
        self._check_scene_labels()
        if self.head != AUTO and self.rate is not None and not 0 < self.rate < 1000:
            raise InputError(
                f"--lr {self.rate}: not a learning rate",
                f"the default of {self.head} is {find_head(self.head).learning_rate}",
            )
        trained = None if self.head == AUTO else find_head(self.head)
        if self.freeze_caption_projection and trained and "frozen-projection" not in trained.changes:
            raise InputError(f"--freeze-caption-projection has no effect with --head {self.head}", "leave it out")
        if self.overwrite and self.resume:
            raise InputError("--overwrite starts from scratch and --resume continues", "use one of them")

    def _check_auto(self) -> None:
        for given, name in (
            (self.cache, "--tip-adapter"),
            (self.rate is not None, "--lr"),
            (self.freeze_caption_projection, "--freeze-caption-projection"),
        ):
            if given:
                raise InputError(f"{name} has no effect with --head auto", "leave it out, or add --head bimors")
        unknown = [name for name in self.views if name not in VIEWS]
        if unknown:
            raise InputError(f"--views {unknown[0]}: unknown view", f"use one of {', '.join(VIEWS)}")
        if self.views == (PROMPTS,):
            raise InputError("--views prompts: there is nothing to compare them with", "use --head bimors")
        if PROMPTS in self.views and not self.captions:
            raise InputError("--views prompts needs captions", "leave out --no-captions")

    def _check_scene_labels(self) -> None:
        labels = self.polygons or self.examples
        if self.polygons is not None and self.examples is not None:
            raise InputError("--polygons and --examples both label the scenes", "use one of them")
        if len(self.sources) > 1 and labels is None and not self.corrected:
            raise InputError("several sources need --polygons or --examples", "give one folder, split file or layer")
        # Whether --examples needs a field is known when the file is opened.
        if (self.field is not None and labels is None) or (self.polygons is not None and self.field is None):
            given, missing = ("--polygons", "--field") if self.field is None else ("--field", "--polygons")
            raise InputError(
                f"{given} needs {missing}", "bimors finetune scene.tif --polygons train.gpkg --field class"
            )
        for name, flag in ((self.accepted_as, "--as"), (self.rejected_as, "--others")):
            if name is not None and not name.strip():
                raise InputError(f"{flag}: the name of the class is empty", f'name it: {flag} "solar farm"')
            if name is not None and labels is not None:
                raise InputError(f"{flag} has no effect with examples on scenes", "leave it out")
        if self.points_crs is not None and labels is None:
            raise InputError(
                "--points-crs needs --polygons", "bimors finetune scene.tif --polygons points.csv --field class"
            )
        if self.class_names is not None and labels is None:
            raise InputError(
                "--class-names needs --examples or --polygons",
                "bimors finetune scene.tif --examples landcover.tif --class-names classes.csv",
            )

    @property
    def head_config(self) -> HeadConfig:
        """The head that is trained."""
        return HeadConfig(
            find_head(self.head).stored_name, self.cache, freeze_caption_projection=self.freeze_caption_projection
        )

    @property
    def train_config(self) -> TrainConfig:
        """The training run that these options ask for."""
        rate = find_head(self.head).learning_rate if self.rate is None else self.rate
        return TrainConfig(epochs=self.epochs, rate=rate, batch_size=self.batch_size, seed=self.seed)
