"""The page's colours, by number: what stands out from the page; a scale that is one for colour-blind readers too."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest

from lorascope.report.style import GROUP_STYLES

TEMPLATES = files("lorascope.report") / "templates"
CSS = (TEMPLATES / "page.css").read_text(encoding="utf-8")
DRAW = (TEMPLATES / "draw.js").read_text(encoding="utf-8")
DIFFERENCE = (TEMPLATES / "difference.js").read_text(encoding="utf-8")

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB."""


def variables(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


LIGHT = variables(re.search(r":root \{(.*?)\}", CSS, re.S)[1])
DARK = LIGHT | variables(re.search(r':root\[data-theme="dark"\] \{(.*?)\}', CSS, re.S)[1])


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", [LIGHT, DARK], ids=["light", "dark"])
def test_groups_rings_and_words_stand_out_from_the_page(page):
    for group in GROUP_STYLES:
        assert contrast(page[group], page["page"]) >= 3, group  # marks and lines
        assert contrast(page[f"{group}-text"], page["page"]) >= 4.5, group
    for name in ("ink", "link"):  # the ring around a cell, the outline of what has the focus
        assert contrast(page[name], page["page"]) >= 3, name
    for name in ("ink", "soft", "link", "warn"):
        assert contrast(page[name], page["page"]) >= 4.5, name


def test_groups_have_the_colours_of_the_pictures():
    for group, style in GROUP_STYLES.items():
        assert LIGHT[group] == style.color.lower()


def scale():
    text = "".join(re.findall(r'"([0-9a-f]{40,})"', DRAW))
    return [f"#{text[i : i + 6]}" for i in range(0, len(text), 6)]


def test_the_sequential_scale_only_ever_brightens_for_every_reader():
    stops = scale()
    assert len(stops) == 33
    assert (np.diff([luminance(stop) for stop in stops]) > 0).all()
    seen = [np.clip(DEUTERANOPIA @ linear(stop), 0, 1) @ [0.2126, 0.7152, 0.0722] for stop in stops]
    assert (np.diff(seen) > 0).all()
    assert luminance(stops[-1]) - luminance(stops[0]) > 0.7


@pytest.mark.parametrize(("theme", "page"), [("light", LIGHT), ("dark", DARK)])
def test_more_of_a_difference_stands_further_from_the_page_and_the_sides_differ(theme, page):
    steps = re.findall(r"#[0-9a-f]{6}", re.search(rf"{theme}: \[(.*?)\]", DIFFERENCE)[1])
    assert len(steps) == 7
    for side in (steps[:3][::-1], steps[4:]):
        away = [contrast(colour, page["page"]) for colour in side]
        assert away == sorted(away)
    for less, more in zip(steps[:3], steps[:3:-1], strict=True):
        brown, green = (DEUTERANOPIA @ linear(colour) for colour in (less, more))
        assert np.abs(brown - green).max() > 0.02  # the triangles say which side it is as well
