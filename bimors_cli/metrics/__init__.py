"""How good answers are, in numbers and pictures: torch, torchmetrics, scipy and matplotlib, nothing of the program."""
