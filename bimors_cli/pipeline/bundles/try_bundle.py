"""Trying a bundle out: fetch, verify, classify and caption the example, compare with what is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyogrio
import torch

from bimors_cli.bundle import hub
from bimors_cli.bundle.catalog import CatalogEntry, entries, entry_of
from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.fetch_record import record_of, recorded_files, recorded_revisions
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, read_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.bundle.references import parse_reference
from bimors_cli.bundle.store import verify_bundle
from bimors_cli.errors import BimorsError, BundleError, InputError
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.options.captions import NONE
from bimors_cli.options.classify import ZERO_SHOT, ClassifyOptions
from bimors_cli.options.inference import CaptionOptions
from bimors_cli.options.try_model import TryOptions
from bimors_cli.output.classified_schema import probability_names
from bimors_cli.pipeline.bundles.benchmark import peak_memory
from bimors_cli.pipeline.bundles.example import LABELS, TEMPLATE, TILE_SIZE, example_hash, example_labels, write_example
from bimors_cli.pipeline.bundles.to_fetch import ToFetch, find_to_fetch
from bimors_cli.pipeline.bundles.tried import TileAnswer, Tried, TriedFile, compare
from bimors_cli.pipeline.bundles.try_steps import Skip, Steps
from bimors_cli.pipeline.caption import caption
from bimors_cli.pipeline.run import run
from bimors_cli.run_warnings import keeps_warnings, warnings_so_far

_LAYER: Final = "tiles"


@keeps_warnings
def try_bundle(
    options: TryOptions,
    *,
    offline: bool = False,
    report: Callable[[str], None] = lambda _line: None,
    progress: bool = False,
) -> Tried:
    """Try a bundle out on this machine: a bundle that is not installed is fetched first.

    Parameters
    ----------
    options : TryOptions
        The options of `bimors models try`.
    offline : bool
        Fetch nothing.
    report : callable
        Called with progress messages.
    progress : bool
        Show progress bars of downloads on standard error.

    Returns
    -------
    Tried
        What every step found; also if one failed.

    Raises
    ------
    InputError
        There is no such bundle or device; or it is not installed, and ``offline`` or HF_HUB_OFFLINE is set.
    BundleError
        The hub cannot say what a CLIP that is not in the catalog consists of.
    """
    options.check_required()
    device = choose_device(options.device)
    trial = _Trial(options, _find(options, offline), device, Steps(report))
    trial.run(progress)
    return trial.result()


def _find(options: TryOptions, offline: bool) -> ToFetch | Path:
    """Return the folder of the bundle, or what to fetch if it can be fetched and is not installed."""
    try:
        return find_bundle(options.model, options.captioner)
    except InputError:
        in_catalog = any(entry.name == options.model for entry in entries())
        if offline or not (in_catalog or parse_reference(options.model)):
            raise
    hub.refuse_offline()
    return find_to_fetch(options.model, options.captioner, None)


@dataclass
class _Trial:
    """The steps of one try, and what they have found so far."""

    options: TryOptions
    found: ToFetch | Path
    device: torch.device
    steps: Steps
    bundle: Bundle | None = None
    answers: list[TileAnswer] = field(default_factory=list)

    def run(self, progress: bool) -> None:
        self.steps.run("fetch", lambda: self._fetch(progress))
        self.steps.run("verify", self._verify)
        with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
            self.steps.run("classify", lambda: self._classify(Path(folder)))
            self.steps.run("caption", lambda: self._caption(Path(folder)))
        self.steps.run("embed captions", self._embed)
        self.steps.run("compare", self._compare)

    def result(self) -> Tried:
        device, record = self.device, record_of(self.folder)
        card = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
        entry = self._entry()
        known = set() if entry is None else set(_confirmed(entry))
        return Tried(
            name=_as_named(self.options),
            entry=entry,
            device=f"{device}{card}",
            precision=str(choose_dtype(device)).removeprefix("torch."),
            memory=peak_memory(),
            device_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            steps=tuple(self.steps.done),
            files=tuple(
                TriedFile(f"{part}/{file.path}", file.size, file.sha256, f"{part}/{file.path}" in known)
                for part, file in recorded_files(record)
            ),
            revisions=recorded_revisions(record),
            size=0 if self.bundle is None else sum(one.size for one in self.bundle.files),
            answers=tuple(self.answers),
            warnings=warnings_so_far(),
        )

    @property
    def folder(self) -> Path:
        return self.found if isinstance(self.found, Path) else self.found.target

    def _entry(self) -> CatalogEntry | None:
        """The entry of the catalog; None for a bundle of another origin."""
        if not isinstance(self.found, Path):
            return self.found.entry
        try:
            return entry_of(read_bundle(self.folder).name)
        except BimorsError:
            return None

    def _fetch(self, progress: bool) -> str:
        if isinstance(self.found, Path):
            raise Skip("the bundle is already here")
        wanted = self.found
        fetch_bundle(wanted.entry, wanted.target, wanted.convert, self.steps.report, progress=progress)
        files = [file for _, file in recorded_files(record_of(wanted.target))]
        return f"{len(files)} files, {sum(file.size for file in files):,} bytes"

    def _verify(self) -> str:
        self.bundle = verify_bundle(self.folder)
        need_part(self.bundle, CLIP, "bimors models try")
        return f"{len(self.bundle.files)} files, sha256 of the bundle {self.bundle.sha256}"

    def _classify(self, folder: Path) -> str:
        assert self.bundle is not None
        scene, output = write_example(folder, self.bundle.bands), folder / "labels.gpkg"
        labels = example_labels()
        run(
            ClassifyOptions(
                scenes=(str(scene),), output=str(output), labels=labels, model=str(self.folder),
                tile_size=str(TILE_SIZE), layer=_LAYER, caption_cache=False,
                head=ZERO_SHOT, templates=(TEMPLATE,), captions=NONE, probabilities=True,
                device=self.options.device, batch_size=self.options.batch_size,
            )
        )  # fmt: skip
        rows = pyogrio.read_dataframe(output, layer=_LAYER, read_geometry=False)
        table = rows[list(probability_names(labels))].to_numpy(dtype=np.float64)
        if not np.isfinite(table).all() or not len(table):
            raise BundleError("the probabilities of the example are missing or not finite", "the weights are damaged")
        for row in table:
            first, second = np.argsort(-row, kind="stable")[:2]
            probabilities = float(row[first]), float(row[second])
            self.answers.append(TileAnswer((LABELS[first], LABELS[second]), probabilities))
        return f"{len(self.answers)} tiles, zero-shot, without captions"

    def _caption(self, folder: Path) -> str:
        assert self.bundle is not None
        if not self.bundle.has_part(CAPTIONER):
            raise Skip("the bundle has no captioner")
        output = folder / "captions.gpkg"
        caption(
            CaptionOptions(
                scenes=(str(folder / "scene.tif"),), output=str(output), model=str(self.folder),
                tile_size=str(TILE_SIZE), layer=_LAYER, caption_cache=False,
                device=self.options.device, batch_size=self.options.batch_size,
            )
        )  # fmt: skip
        texts = pyogrio.read_dataframe(output, layer=_LAYER, read_geometry=False)["caption"]
        self.answers = [replace(a, caption=t) for a, t in zip(self.answers, texts, strict=True)]
        if texts.isna().any() or not texts.str.strip().any():
            raise BundleError("the captions of the example are missing or empty", "the weights may be damaged")
        return f"{len(texts)} captions, {texts.nunique()} different"

    def _embed(self) -> str:
        assert self.bundle is not None
        if not self.bundle.has_part(CAPTION_ENCODER):
            raise Skip("the bundle has no caption encoder")
        encoder = CaptionEncoder.load(self.bundle.part(CAPTION_ENCODER), choose_dtype(self.device), self.device)
        embedded = encoder.embed([answer.caption or "a pond in a field" for answer in self.answers])
        if not bool(torch.isfinite(embedded).all()):
            raise BundleError("the embeddings of the captions are not finite", "the weights are damaged")
        return f"{len(embedded)} embeddings of {embedded.shape[1]} numbers"

    def _compare(self) -> str:
        entry = self._entry()
        if entry is None or entry.expected is None:
            raise Skip("the catalog has no recorded answers of this bundle")
        expected = entry.expected
        if expected.example != example_hash():
            raise Skip("the recorded answers are those of another version of the example")
        return compare(expected, self.answers)


def _confirmed(entry: CatalogEntry) -> Iterator[str]:
    for part, source in entry.parts.items():
        yield from (f"{part}/{file.path}" for file in source.files if file.size is not None and file.sha256 is not None)


def _as_named(options: TryOptions) -> str:
    return options.model if options.captioner is None else f"{options.model} --captioner {options.captioner}"
