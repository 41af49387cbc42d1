"""How fast a bundle is on a device: the stages of classify on made-up pictures, beside what the device could do."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.model.batching import CAPTION_ENCODER, CAPTIONER, HEAD, IMAGE_TOWER, STAGES
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.device import choose_dtype, wait_for
from bimors_cli.pipeline.inference.caption_cache import BYTES_IN_MEMORY, CachedCaptioner, CaptionCacheFile
from bimors_cli.pipeline.inference.load import Classifier, captioner_id, load_models, make_classifier
from bimors_cli.pipeline.inference.predict import group_size
from bimors_cli.scene.grid import Grid

# Names of one to three words, as people give them.
NAMES = (
    "airport", "bare land", "beach", "bridge", "church", "dense residential", "desert", "farmland", "forest",
    "golf course", "harbour", "industrial area", "island", "lake", "meadow", "mountain", "parking lot",
    "railway station", "river", "school", "sea ice", "sports field", "square", "storage tanks", "wetland",
)  # fmt: skip
# Without --tiles, as many as take about so long, captions included.
SECONDS = 5.0
LEAST_TILES, MOST_TILES = 8, 4096


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """The options of `bimors bench`. ``tiles`` None is as many as take some seconds; ``scene_size`` is in pixels."""

    model: str = "mini"
    device: str = "auto"
    labels: int = 45
    tiles: int | None = None
    batch_size: int | None = None
    scene_size: str = "40000x40000"
    tile_size: int = 224

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--labels", self.labels, 2),
            ("--tiles", self.tiles, 1),
            ("--batch-size", self.batch_size, 1),
            ("--tile-size", self.tile_size, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} {value}: at least {least}")
        self.grid()

    def grid(self) -> Grid:
        """Cut a scene of that size into tiles."""
        match = re.fullmatch(r"(\d+)x(\d+)", self.scene_size.strip(), flags=re.ASCII)
        if match is None:
            raise InputError(f"--scene-size {self.scene_size}: not a size", "write it in pixels as 40000x40000")
        side = self.tile_size
        return Grid(int(match[1]), int(match[2]), side, side, side, side)


@dataclass(frozen=True)
class StageFigures:
    """One stage: milliseconds and operations a tile, the share of the device's best rate, and its batch size."""

    name: str
    ms_per_tile: float
    gflop_per_tile: float
    share_of_ceiling: float
    batch_size: int


@dataclass(frozen=True)
class Figures:
    """What was measured.

    ``seconds`` and ``seconds_cached`` are for all ``tiles``, with captions and with captions that are known already;
    ``stages`` are those of the former. ``ceiling`` is operations a second of a large matrix product. Memory is in
    bytes: the process's peak, and that of the GPU; None where there is none, or the system does not tell.
    """

    bundle: str
    device: str
    precision: str
    threads: int
    labels: int
    tiles: int
    picture: int
    loading: float
    seconds: float
    seconds_cached: float
    ceiling: float
    stages: tuple[StageFigures, ...]
    memory: int | None
    device_memory: int | None
    grid: Grid

    @property
    def share_of_ceiling(self) -> float:
        """All operations over the time that they took, as a share of the ceiling."""
        return sum(stage.gflop_per_tile for stage in self.stages) * 1e9 * self.tiles / self.seconds / self.ceiling

    @property
    def slowest(self) -> StageFigures:
        return max(self.stages, key=lambda stage: stage.ms_per_tile)

    def to_json(self) -> dict[str, Any]:
        """Make the document of ``--json``; the keys say their units."""
        rate, rate_cached = self.tiles / self.seconds, self.tiles / self.seconds_cached
        return {
            "model": self.bundle,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "torch": torch.__version__,
            "labels": self.labels,
            "tiles": self.tiles,
            "picture_size_px": self.picture,
            "loading_s": round(self.loading, 3),
            "tiles_per_second": round(rate, 3),
            "tiles_per_second_captions_cached": round(rate_cached, 3),
            "ceiling_gflop_per_s": round(self.ceiling / 1e9, 1),
            "share_of_ceiling": round(self.share_of_ceiling, 4),
            "stages": [
                {
                    "name": stage.name,
                    "ms_per_tile": round(stage.ms_per_tile, 4),
                    "gflop_per_tile": round(stage.gflop_per_tile, 4),
                    "share_of_ceiling": round(stage.share_of_ceiling, 4),
                    "batch_size": stage.batch_size,
                }
                for stage in self.stages
            ],
            "memory_peak_bytes": self.memory,
            "device_memory_peak_bytes": self.device_memory,
            "scene": {
                "width_px": self.grid.scene_width,
                "height_px": self.grid.scene_height,
                "tile_size_px": self.grid.tile_width,
                "tiles": len(self.grid),
                "seconds": round(len(self.grid) / rate, 1),
                "seconds_captions_cached": round(len(self.grid) / rate_cached, 1),
            },
            "slowest_stage": self.slowest.name,
        }


def bench(options: BenchOptions) -> Figures:
    """Measure a bundle on a device.

    Parameters
    ----------
    options : BenchOptions
        What the user chose.

    Raises
    ------
    InputError
        There is no such bundle.
    BundleError
        It cannot be loaded.
    DeviceError
        There is no such device, or its memory does not do.
    """
    clock = time.perf_counter()
    bundle = open_bundle(find_bundle(options.model))
    adapter = open_adapter(bundle.part(ADAPTER), bundle) if bundle.part(ADAPTER).is_dir() else None
    models = load_models(bundle, options.device)
    labels = Labels.of(_names(options.labels))
    classifier = make_classifier(models, adapter, labels)
    models.limit_batches(options.batch_size)
    loading = time.perf_counter() - clock
    pictures = _enough(classifier, options.tiles, bundle.image_size)
    work = _operations(classifier, pictures)
    if models.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(models.device)
    with CaptionCacheFile(None, BYTES_IN_MEMORY) as cache:
        assert isinstance(models.captioner, Captioner)  # load_models loads one by default
        memory = CachedCaptioner(cache, captioner_id(bundle, models.captioner, choose_dtype(models.device)))
        keys = [memory.cache_key(picture) for picture in pictures.numpy()]  # classify's reading threads make them
        models.caption_cache = memory
        stages, seconds = _classify(classifier, pictures, keys)
        _, seconds_cached = _classify(classifier, pictures, keys)
    device_memory = torch.cuda.max_memory_allocated(models.device) if models.device.type == "cuda" else None
    process_memory = peak_memory()
    ceiling = best_rate(models.device, choose_dtype(models.device))
    tiles = len(pictures)
    return Figures(
        bundle=bundle.name,
        device=_name(models.device),
        precision=str(choose_dtype(models.device)).removeprefix("torch."),
        threads=torch.get_num_threads(),
        labels=len(labels),
        tiles=tiles,
        picture=bundle.image_size,
        loading=loading,
        seconds=seconds,
        seconds_cached=seconds_cached,
        ceiling=ceiling,
        stages=tuple(
            StageFigures(
                stage,
                1000 * stages[stage] / tiles,
                work[stage] / 1e9,
                work[stage] * tiles / stages[stage] / ceiling,
                models.batches.sizes[stage],
            )
            for stage in STAGES
        ),
        memory=process_memory,
        device_memory=device_memory,
        grid=options.grid(),
    )


def _names(number: int) -> list[str]:
    """Make up labels: NAMES, then each of them with a number behind it."""
    rounds, left = divmod(number, len(NAMES))
    return [
        name if i == 0 else f"{name} {i + 1}"
        for i in range(rounds + 1)
        for name in NAMES[: left if i == rounds else None]
    ]


def make_pictures(number: int, side: int) -> torch.Tensor:
    """Make up pictures, uint8 [n, 3, side, side], no two equal: soft patches of colour under fine grain."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.empty(number, 3, side, side, dtype=torch.uint8)
    for picture in pictures:  # one by one: as floats, all of them would be the peak of the memory that is measured
        coarse = torch.rand(1, 3, 6, 6, generator=generator)
        patches = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)[0]
        grain = torch.rand(1, side, side, generator=generator)
        picture.copy_((255 * (0.8 * patches + 0.2 * grain)).clamp(0, 255))
    return pictures


def _enough(classifier: Classifier, asked: int | None, side: int) -> torch.Tensor:
    """Make the pictures to measure on, after a warm-up on as many as go into a batch, at the most."""
    _classify(classifier, make_pictures(LEAST_TILES, side))  # code is loaded, batch sizes are settled
    if asked is None:
        pictures = make_pictures(LEAST_TILES, side)
        _, seconds = _classify(classifier, pictures)
        # A GPU takes many tiles at a time: what eight take says nothing, what a full batch takes does.
        if classifier.models.device.type == "cuda":
            pictures = make_pictures(classifier.models.batches.max_size, side)
            _classify(classifier, pictures)
            _, seconds = _classify(classifier, pictures)
        asked = int(min(max(SECONDS * len(pictures) / seconds, LEAST_TILES), MOST_TILES))
        batch = min(classifier.models.batches.sizes.values())
        asked = asked // batch * batch or asked
    else:
        _classify(classifier, make_pictures(min(asked, classifier.models.batches.max_size), side))
    pictures = make_pictures(asked, side)
    return pictures.pin_memory() if classifier.models.device.type == "cuda" else pictures


def _classify(
    classifier: Classifier, pictures: torch.Tensor, keys: list[bytes] | None = None
) -> tuple[dict[str, float], float]:
    """Take pictures through all stages, in groups as classify does; return the seconds of each stage, and of all."""
    models = classifier.models
    models.seconds = {}
    size = group_size(models.batches.max_size, (pictures.shape[2], pictures.shape[3]))
    begin = time.perf_counter()
    for first in range(0, len(pictures), size):
        group = slice(first, first + size)
        _, gist = classifier.look(pictures[group], None if keys is None else keys[group])
        classifier.answer(gist)
    wait_for(models.device)
    return models.seconds, time.perf_counter() - begin


def _operations(classifier: Classifier, pictures: torch.Tensor) -> dict[str, float]:
    """Count the operations a tile of each stage, on one batch of the captioner."""
    models = classifier.models
    few = pictures[: models.batches.sizes[CAPTIONER]]
    evidence = models.encode(few)
    shown = few.to(models.device)
    counted = {
        CAPTIONER: operations(lambda: models.captioner.caption(shown)),
        CAPTION_ENCODER: operations(lambda: models.caption_encoder.embed(evidence.captions)),
        IMAGE_TOWER: operations(lambda: models.clip.encode_image(shown)),
        HEAD: operations(lambda: classifier.head.forward(evidence)),
    }
    return {stage: number / len(few) for stage, number in counted.items()}


def _name(device: torch.device) -> str:
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def peak_memory() -> int | None:
    """Return the most bytes that this process had in memory so far; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: on Linux a process inherits the peak of the one that started it.
        (peak,) = re.findall(r"^VmHWM:\s*(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        return 1024 * int(peak)
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# Rows and columns of the matrices: large enough for a device's best rate, small enough for its memory.
SIDE_ON_CPU: Final = 1536
SIDE_ON_CUDA: Final = 8192
REPEATS: Final = 5


def best_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of some; a product and a sum are two operations."""
    side = SIDE_ON_CUDA if device.type == "cuda" else SIDE_ON_CPU
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return 2 * side**3 / min(_seconds(device, lambda: a @ b) for _ in range(REPEATS))


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    wait_for(device)
    clock = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - clock


def operations(work: Callable[[], object]) -> int:
    """Count the operations of matrix products, convolutions and attention in ``work``; norms and activations are not.

    What a CUDA graph replays is not seen.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # The fast path of nn.MultiheadAttention is one opaque call that the counter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())
