"""The local engine: this process computes the tiles, or one process for each of several devices."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bimors_cli.errors import InputError
from bimors_cli.options.device_names import device_names
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.options.layer import STDOUT
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.engines.engine import Engine
from bimors_cli.pipeline.engines.multi_device import check_devices, predict_on_devices
from bimors_cli.pipeline.engines.single_process import open_job_journal, predict_job
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import TileIndices
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.write_layer import raise_if_stopped


class LocalEngine(Engine):
    """Runs on this machine. Finished tiles are stored in the journal next to the output."""

    def check(self, options: InferenceOptions) -> None:
        given = {"--ray-address": options.ray_address, "--workers": options.workers, "--blocks": options.blocks}
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} needs --engine ray", f"add --engine ray, or leave {option} out")
        if len(device_names(options.device)) > 1 and options.output == STDOUT:
            raise InputError(
                f"--device {options.device}: several devices do not support standard output: tiles finish in no order",
                "use -o FILE",
            )

    def checkpoint_path(self, job: Job) -> Path:
        return journal_path(job.plan.output, job.shard)

    @contextmanager
    def run(self, job: Job, progress: Progress, stop: StopRequest) -> Iterator[Journal]:
        """Compute the pending tiles of a job into its journal, which is locked until the context ends.

        Raises
        ------
        DeviceError
            A device was not found; no process was started.
        WorkerError
            A process died. Finished tiles of all of them are in the journal.
        Interrupted
            ``stop`` was requested; finished tiles are in the journal.
        BimorsError
            Models or journal fail.
        """
        devices = device_names(job.plan.options.device)
        if len(devices) > 1:
            check_devices(devices)
        with open_job_journal(job, progress) as (journal, pending):
            if len(devices) > 1:
                batches = predict_on_devices(job, pending, devices, stop, journal.path.name)
            else:
                batches = _until_stopped(predict_job(job, pending), stop)
            with closing(batches):
                for batch in batches:
                    journal.append(batch)
                    progress.advance(len(batch))
            raise_if_stopped(stop, journal)
            yield journal

    def stream(self, job: Job, tiles: TileIndices) -> Iterator[list[TileResult]]:
        return predict_job(job, tiles)


def _until_stopped(batches: Iterator[list[TileResult]], stop: StopRequest) -> Generator[list[TileResult], None, None]:
    for batch in batches:
        yield batch
        if stop.signal_number is not None:
            return
