"""A study's page in a browser: the answer on the first screen, every chart with its numbers, print without controls."""

from __future__ import annotations

import re

import pytest
from paged import EVIL
from studied import make_study

from lorascope.report.page import unpack
from lorascope.report.page_study import study_page, write_study_page

pytest.importorskip("playwright.sync_api", reason="no playwright: the page was not opened")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_study_page(make_study(tmp_path_factory.mktemp("studies") / "s", notes=["12 rows were cut"]))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_verdicts_intervals_and_command_stand_on_the_first_screen(opened, file, width, height):
    page = opened(file, width=width, height=height)
    for selector in ("#verdict", "#config", "#copy", "#trust a", "#trust summary"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= height, selector
        assert box["x"] + box["width"] <= width, selector
    assert page.locator("#config").text_content() == "lorascope study lora_sensitivity --seeds 1 2 3"
    assert re.search(r"relative update \+1\.18 \[\+1\.", page.locator("#verdict").text_content())
    assert page.locator("#trust a").text_content() == "! 1 note"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_effects_are_drawn_where_the_numbers_are_and_filled_where_they_are_decided(opened, file):
    page = opened(file)
    study = unpack(file.read_text(encoding="utf-8"))[0]["study"]
    charts = page.locator("#verdicts figure svg")
    assert charts.count() == 3  # two units in H1, one in H2
    words = " ".join(charts.all_text_contents())
    for row in (row for found in study["verdicts"] for row in found["contrasts"]):
        assert row["name"] in words
        assert f"{row['effect']:+.3g}" in words
    marks = charts.locator("circle, polygon").evaluate_all("all => all.map(e => e.getAttribute('fill'))")
    signs = [row["sign"] for found in study["verdicts"] for row in found["contrasts"]]
    assert sum(fill == "var(--page)" for fill in marks) == signs.count(0)
    assert page.locator("#expected tbody tr").count() == len(signs)
    assert page.locator("#expected").text_content().count("about") == sum(
        not row["sign"] and bool(row["would_decide"]) for found in study["verdicts"] for row in found["contrasts"]
    )


def test_a_charts_table_has_its_numbers(opened, file):
    page = opened(file)
    study = unpack(file.read_text(encoding="utf-8"))[0]["study"]
    page.locator("#norms summary").first.click()
    rows = page.locator("#norms tbody").first.locator("tr")
    rows.nth(5).wait_for()
    one = study["curves"][0]
    for (step, value), row in zip(one["lines"][0]["mean"], rows.all(), strict=True):
        cells = row.locator("td").all_text_contents()
        assert cells[0] == str(step)
        assert float(cells[1]) == pytest.approx(value, rel=6e-3)
    heads = page.locator("#norms thead").first.locator("th").all_text_contents()
    assert heads[:5] == ["step", "attention", "attention, seed 1", "attention, seed 2", "attention, seed 3"]


def test_every_chart_has_a_table_and_print_holds_all_of_it_without_controls(opened, file):
    page = opened(file, scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    for name in ("verdicts", "expected", "arms", "budget", "norms", "losses", "runs", "notes", "facts"):
        assert page.locator(f"#{name} h2").is_visible(), name
        assert page.locator(f"#{name} table, #{name} ul").count() > 0, name
    for figure in page.locator("main svg[role=img]").all():
        assert "table" in figure.get_attribute("aria-label")
    assert page.locator("details:not([open])").count() == 0
    for control in page.locator("button, select, input").all():
        assert not control.is_visible()


def test_texts_of_a_plan_stay_text(opened, tmp_path):
    path = tmp_path / "evil.html"
    path.write_text(study_page(make_study(tmp_path / "evil", text=EVIL)), encoding="utf-8")
    page = opened(path)
    assert page.evaluate("window.evil") is None
    assert page.locator("img").count() == 0
    for place in ("#state", "#verdict", "#verdicts", "#notes", "#facts"):
        assert "onerror=" in page.locator(place).text_content(), place


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_studys_page(opened, file, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="no axe-core: access was not checked")
    found = axe.Axe().run(opened(file, scheme=scheme, bypass_csp=True))
    serious = [
        (v["id"], [node["html"][:150] for node in v["nodes"][:3]])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []
