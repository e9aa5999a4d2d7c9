"""What things are called."""

from __future__ import annotations

from pathlib import Path

from hub_web.pages import labels


def test_every_family_of_the_catalogue_has_a_name():
    cards = Path(labels.__file__).parents[2] / "model_cards"
    families = {
        line.partition(":")[2].strip()
        for card in cards.glob("*/*/README.md")
        for line in card.read_text("utf-8").splitlines()
        if line.startswith("  family: ")
    }
    assert families
    assert families - labels.FAMILIES.keys() == set()
