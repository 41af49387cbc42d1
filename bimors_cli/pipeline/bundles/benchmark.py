"""How fast a bundle is on a device: the stages of classify on random images, next to the device's best rate."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import ADAPTER, CLIP, open_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.labels import Labels
from bimors_cli.model.batching import CAPTION_ENCODER, CAPTIONER, HEAD, IMAGE_TOWER, STAGES
from bimors_cli.model.device import wait_for
from bimors_cli.model.t5.graphs import without_graphs
from bimors_cli.options.bench import BenchOptions
from bimors_cli.pipeline.inference.caption_cache import BYTES_IN_MEMORY, CachedCaptioner, CaptionCacheFile
from bimors_cli.pipeline.inference.load import Classifier, captioner_id, load_models, make_classifier
from bimors_cli.pipeline.inference.predict import tile_batch_size
from bimors_cli.scene.grid import Grid

# Typical class names of one to three words.
NAMES = (
    "airport", "bare land", "beach", "bridge", "church", "dense residential", "desert", "farmland", "forest",
    "golf course", "harbour", "industrial area", "island", "lake", "meadow", "mountain", "parking lot",
    "railway station", "river", "school", "sea ice", "sports field", "square", "storage tanks", "wetland",
)  # fmt: skip
# Without --tiles, as many tiles as take about so long, captions included.
SECONDS = 5.0
LEAST_TILES, MOST_TILES = 8, 4096


@dataclass(frozen=True)
class StageFigures:
    """One stage: milliseconds and operations per tile, the fraction of the device's best rate, and the batch size."""

    name: str
    ms_per_tile: float
    gflop_per_tile: float
    fraction_of_ceiling: float
    batch_size: int


@dataclass(frozen=True)
class Figures:
    """Results of a benchmark.

    ``seconds`` and ``seconds_cached`` are for all ``tiles``, without and with captions in the cache; ``stages`` are
    those of the former. ``first`` are the seconds of each stage for the first `LEAST_TILES` tiles, which load code and
    determine the batch sizes: every run of classify pays them once. ``ceiling`` is operations per second of a large
    matrix product. ``image_size`` is in pixels. ``memory`` and ``device_memory`` are the peak of the process and of the
    GPU in bytes; None if there is no GPU, or the system does not report it.
    """

    bundle: str
    device: str
    precision: str
    threads: int
    labels: int
    tiles: int
    image_size: int
    loading: float
    seconds: float
    seconds_cached: float
    first: Mapping[str, float]
    ceiling: float
    stages: tuple[StageFigures, ...]
    memory: int | None
    device_memory: int | None
    grid: Grid

    @property
    def fraction_of_ceiling(self) -> float:
        """Operations per second of all stages together, as a fraction of the ceiling."""
        return sum(stage.gflop_per_tile for stage in self.stages) * 1e9 * self.tiles / self.seconds / self.ceiling

    @property
    def slowest(self) -> StageFigures:
        return max(self.stages, key=lambda stage: stage.ms_per_tile)

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``--json``; the keys end in their units."""
        rate, rate_cached = self.tiles / self.seconds, self.tiles / self.seconds_cached
        return {
            "model": self.bundle,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "torch": torch.__version__,
            "labels": self.labels,
            "tiles": self.tiles,
            "picture_size_px": self.image_size,
            "loading_s": round(self.loading, 3),
            "first_tiles_s": {stage: round(seconds, 4) for stage, seconds in self.first.items()},
            "tiles_per_second": round(rate, 3),
            "tiles_per_second_captions_cached": round(rate_cached, 3),
            "ceiling_gflop_per_s": round(self.ceiling / 1e9, 1),
            "share_of_ceiling": round(self.fraction_of_ceiling, 4),
            "stages": [
                {
                    "name": stage.name,
                    "ms_per_tile": round(stage.ms_per_tile, 4),
                    "gflop_per_tile": round(stage.gflop_per_tile, 4),
                    "share_of_ceiling": round(stage.fraction_of_ceiling, 4),
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
        The user's options.

    Raises
    ------
    InputError
        The bundle does not exist.
    BundleError
        The bundle cannot be loaded.
    DeviceError
        The device does not exist, or is out of memory.
    """
    clock = time.perf_counter()
    bundle = open_bundle(find_bundle(options.model, options.captioner), hash_again=options.verify)
    need_part(bundle, CLIP, "bimors bench")
    adapter = open_adapter(bundle.part(ADAPTER), bundle) if bundle.part(ADAPTER).is_dir() else None
    models = load_models(bundle, options.device)
    models.captioner.eval()  # loads it
    labels = Labels.of(_names(options.labels))
    classifier = make_classifier(models, adapter, labels)
    models.limit_batches(options.batch_size)
    loading = time.perf_counter() - clock
    first, _ = _classify(classifier, random_images(LEAST_TILES, bundle.image_size))
    images = _choose_images(classifier, options.tiles, bundle.image_size)
    work = _operations(classifier, images)
    if models.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(models.device)
    with CaptionCacheFile(None, BYTES_IN_MEMORY) as cache:
        captioner = CachedCaptioner(cache, captioner_id(bundle, models.dtype))
        cache_keys = [
            captioner.cache_key(image) for image in images.numpy()
        ]  # in classify, the reading threads do this
        models.caption_cache = captioner
        stages, seconds = _classify(classifier, images, cache_keys)
        _, seconds_cached = _classify(classifier, images, cache_keys)
    device_memory = torch.cuda.max_memory_allocated(models.device) if models.device.type == "cuda" else None
    process_memory = peak_memory()
    ceiling = best_rate(models.device, models.dtype)
    tiles = len(images)
    return Figures(
        bundle=bundle.name,
        device=_name(models.device),
        precision=str(models.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        labels=len(labels),
        tiles=tiles,
        image_size=bundle.image_size,
        loading=loading,
        seconds=seconds,
        seconds_cached=seconds_cached,
        first={stage: first[stage] for stage in STAGES},
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
        grid=Grid(*options.scene_pixels(), *[options.tile_size] * 4),
    )


def _names(number: int) -> list[str]:
    """Return so many labels: NAMES, then each of them with a number appended."""
    rounds, left = divmod(number, len(NAMES))
    return [
        name if i == 0 else f"{name} {i + 1}"
        for i in range(rounds + 1)
        for name in NAMES[: left if i == rounds else None]
    ]


def random_images(number: int, side: int) -> torch.Tensor:
    """Return random images, uint8 [n, 3, side, side], all different: smooth patches of colour with fine noise."""
    generator = torch.Generator().manual_seed(0)
    images = torch.empty(number, 3, side, side, dtype=torch.uint8)
    for image in images:  # one by one: as floats, all of them would be the peak of the memory that is measured
        coarse = torch.rand(1, 3, 6, 6, generator=generator)
        patches = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)[0]
        noise = torch.rand(1, side, side, generator=generator)
        image.copy_((255 * (0.8 * patches + 0.2 * noise)).clamp(0, 255))
    return images


def _choose_images(classifier: Classifier, number: int | None, side: int) -> torch.Tensor:
    """Return the images to measure with, after a warm-up with at most one batch; no stage runs for the first time."""
    if number is None:
        images = random_images(LEAST_TILES, side)
        _, seconds = _classify(classifier, images)
        # A GPU processes many tiles at once: the time of eight tiles says nothing, that of a full batch does.
        if classifier.models.device.type == "cuda":
            images = random_images(classifier.models.batches.max_size, side)
            _classify(classifier, images)
            _, seconds = _classify(classifier, images)
        number = int(min(max(SECONDS * len(images) / seconds, LEAST_TILES), MOST_TILES))
        batch = min(classifier.models.batches.sizes.values())
        number = number // batch * batch or number
    else:
        _classify(classifier, random_images(min(number, classifier.models.batches.max_size), side))
    images = random_images(number, side)
    return images.pin_memory() if classifier.models.device.type == "cuda" else images


def _classify(
    classifier: Classifier, images: torch.Tensor, cache_keys: list[bytes] | None = None
) -> tuple[dict[str, float], float]:
    """Run all stages, in batches as classify does; return the seconds of each stage, and of all of them."""
    models = classifier.models
    models.seconds = {}
    size = tile_batch_size(models.batches.max_size, (images.shape[2], images.shape[3]))
    begin = time.perf_counter()
    for first in range(0, len(images), size):
        batch = slice(first, first + size)
        _, features = classifier.encode(images[batch], None if cache_keys is None else cache_keys[batch])
        classifier.probabilities(features)
    wait_for(models.device)
    return models.seconds, time.perf_counter() - begin


def _operations(classifier: Classifier, images: torch.Tensor) -> dict[str, float]:
    """Count the operations per tile of each stage, with one batch of the captioner."""
    models = classifier.models
    few = images[: models.batches.sizes[CAPTIONER]]
    outputs = models.encode(few)
    on_device = few.to(models.device)
    counted = {
        CAPTIONER: operations(lambda: models.captioner.caption(on_device)),
        CAPTION_ENCODER: operations(lambda: models.caption_encoder.embed(outputs.captions)),
        IMAGE_TOWER: operations(lambda: models.clip.encode_image(on_device)),
        HEAD: operations(lambda: classifier.head.forward(outputs)),
    }
    return {stage: number / len(few) for stage, number in counted.items()}


def _name(device: torch.device) -> str:
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: on Linux a process inherits the peak of its parent.
        (peak,) = re.findall(r"^VmHWM:\s*(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        return 1024 * int(peak)
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# Rows and columns of the matrices: large enough to reach a device's best rate, small enough for its memory.
SIDE_ON_CPU: Final = 1536
SIDE_ON_CUDA: Final = 8192
REPEATS: Final = 5


def best_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations per second of a large matrix product, the best of `REPEATS`; a multiply-add counts as two."""
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


def _added_product(
    _added: torch.Size, left: torch.Size, right: torch.Size, *, out_shape: torch.Size, **_scales: float
) -> int:
    return 2 * left[0] * left[1] * right[1]


def operations(work: Callable[[], object]) -> int:
    """Count the operations of matrix products, convolutions and attention in ``work``, but not norms and activations.

    CUDA graphs are not replayed: their operations would not be counted.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # The counter does not support the fast path of nn.MultiheadAttention, which is a single call.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # Nor does it count the fused attention of every torch version on CPUs; the plain one is two counted products.
        # Nor does it know products that are added in place.
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: _added_product})
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), without_graphs(), counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())
