"""Labels are matched by what is read, not by how they are spelled."""

from __future__ import annotations

import subprocess
import sys

from bimors_cli.labels import Labels, match_labels, match_names, new_labels, new_names


def test_case_underscores_and_spaces_do_not_count() -> None:
    trained = ["forest", "Storage Tanks", "bare_land"]
    assert match_names(["BARE LAND", "storage_tanks", "port", "bare  land", "Forest"], trained) == (2, 1, None, 2, 0)


def test_a_part_of_a_name_is_another_name() -> None:
    assert new_names(["land", "forests", "bare land"], ["bare land", "forest"]) == ("land", "forests")


def test_nothing_is_known_to_one_that_learned_nothing() -> None:
    assert match_names(["a", "b"], []) == (None, None)


def test_a_label_is_known_by_any_of_its_names() -> None:
    labels = Labels.of(["woodland | Forest", "water | river | LAKE", "port"])
    trained = ["lake", "forest", "bare land", "river"]
    assert match_labels(labels, trained) == ((1,), (3, 0), ())
    assert new_labels(labels, trained) == ("port",)


def test_a_bar_in_a_class_of_the_data_parts_names_that_find_it() -> None:
    trained = ["forest|woodland", "woodland", "river | lake"]
    assert match_names(["forest", "woodland", "Lake", "forest|woodland", "port"], trained) == (0, 1, 2, 0, None)
    assert match_labels(Labels.of(["trees | forest", "lake | river"]), trained) == ((0,), (2,))


def test_asking_needs_no_torch() -> None:
    code = "import sys, bimors_cli.pipeline.plan; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
