"""What a run tells at its end."""

from __future__ import annotations

from bimors_cli.pipeline.summary import NEW_LABELS_SHOWN, Summary


def test_a_long_list_of_new_labels_is_cut_and_counted() -> None:
    names = tuple(f"label {i}" for i in range(1_000 + NEW_LABELS_SHOWN))
    (line,) = [line for line in Summary(adapter="coast", new_labels=names).lines(str) if "new to" in line]
    assert line.startswith("1,010 labels are new to the adapter coast: label 0, label 1,")
    assert line.endswith("label 9 and 1,000 more") and "label 10" not in line
