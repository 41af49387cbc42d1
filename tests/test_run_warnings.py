"""What a run warned of is kept for that run, whatever the level of the log and whichever thread warns."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bimors_cli.run_warnings import bound, keep_warnings, keeps_warnings, warn, warn_of_one, warnings_so_far


@keeps_warnings
def run(*texts: str) -> tuple[str, ...]:
    for text in texts:
        warn(text)
    return warnings_so_far()


def test_each_text_is_kept_and_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    assert run("a", "b", "a") == ("a", "b") and caplog.messages == ["a", "b"]
    assert run("a") == ("a",) and caplog.messages == ["a", "b", "a"]
    assert warnings_so_far() == ()


def test_values_and_secrets() -> None:
    with keep_warnings() as kept:
        warn("%s %d of 50%%", "https://user:secret@host/a.tif?sig=1", 3)
        warn("50% of the area")
    assert kept.texts() == ("https://host/a.tif 3 of 50%", "50% of the area")


def test_a_silent_log_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "bimors"):
        assert run("a") == ("a",)
    assert not caplog.messages


def test_a_run_within_a_run_is_part_of_it() -> None:
    with keep_warnings() as kept:
        warn("before")
        assert run("within") == ("before", "within")
    assert kept.texts() == ("before", "within")


def test_runs_in_threads_keep_their_own() -> None:
    with ThreadPoolExecutor(8) as threads:
        names = [str(number) for number in range(64)]
        assert list(threads.map(lambda name: run(name, "x" + name), names)) == [(n, "x" + n) for n in names]


def test_threads_of_a_run() -> None:
    with keep_warnings() as kept, ThreadPoolExecutor(2) as threads:
        threads.submit(warn, "lost").result()
        threads.submit(bound(warn), "kept").result()
    assert kept.texts() == ("kept",)


def test_many_of_a_kind_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with keep_warnings() as kept:
        for name in ("a.png", "b.png", "a.png", "c.png"):
            warn_of_one("images are skipped", "%s is torn", name)
            warn_of_one("layers are old", "x.gpkg is old")
    assert kept.texts() == ("3 images are skipped, such as a.png is torn", "x.gpkg is old")
    assert caplog.messages == ["a.png is torn", "x.gpkg is old"]


def test_the_package_warns_in_no_other_way() -> None:
    """A warning that is logged directly is missing in layers, JSON and adapters."""
    package = Path(__file__).parent.parent / "bimors_cli"
    direct = re.compile(r"\blog(?:ger)?\.warning\(|getLogger\([^)]*\)\.warning\(")
    texts = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
    found = {name for name, text in texts.items() if direct.search(text)}
    # `bimors info` lists its warnings itself.
    assert found <= {"run_warnings.py", "cli/info.py"}, "use bimors_cli.run_warnings.warn"


def test_a_resumed_run_repeats_no_warning_of_the_earlier_one(caplog: pytest.LogCaptureFixture) -> None:
    with keep_warnings() as kept:
        warn("a.png is skipped")  # the earlier run, from its journal
        warn_of_one("images are skipped", "%s is skipped", "a.png")
        assert kept.texts() == ("a.png is skipped",) == tuple(caplog.messages)
        warn_of_one("images are skipped", "%s is skipped", "b.png")
    assert kept.texts() == ("2 images are skipped, such as a.png is skipped",)
    assert caplog.messages == ["a.png is skipped"]
