"""Labels are matched by what is read, not by how they are spelled."""

from __future__ import annotations

import subprocess
import sys

from bimors_cli.model.names import new_names, places


def test_case_underscores_and_spaces_do_not_count() -> None:
    trained = ["forest", "Storage Tanks", "bare_land"]
    assert places(["BARE LAND", "storage_tanks", "port", "bare  land", "Forest"], trained) == (2, 1, None, 2, 0)


def test_a_part_of_a_name_is_another_name() -> None:
    assert new_names(["land", "forests", "bare land"], ["bare land", "forest"]) == ("land", "forests")


def test_nothing_is_known_to_one_that_learned_nothing() -> None:
    assert places(["a", "b"], []) == (None, None)


def test_asking_needs_no_torch() -> None:
    code = "import sys, bimors_cli.pipeline.plan; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
