"""Probes in a browser: their own numbers, noise hatched, differences coloured where they are decided."""

from __future__ import annotations

import numpy as np
import pytest

from facts import probe_profile
from lorascope.report.page import page_of, page_of_profile
from lorascope.report.page_profile import pairs_of, profile_source
from lorascope.report.page_run import run_source

pytest.importorskip("playwright.sync_api", reason="no playwright: the page was not opened")

NOISY = np.array([1.0, 2, 3, 4, -0.5, 6, 7, 8])
"""The fifth place is q in layer 1."""


@pytest.fixture(scope="module")
def profile():
    return probe_profile(NOISY, spread=0.1, rows=256, tokens=9)


@pytest.fixture(scope="module")
def file(profile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles") / "toy_made-up"
    folder.mkdir()
    path = folder / "report.html"
    path.write_text(page_of_profile(folder, profile), encoding="utf-8")
    return path


def cell(page, kind, layer):
    group = "mlp" if kind == "up" else "attention"
    return page.locator(f'#grids [data-key="decoder {group} {kind} {layer}"]')


def test_cells_have_the_profiles_values_and_noise_is_hatched_in_light_and_dark(opened, file, profile):
    page = opened(file)
    page.locator("#score").select_option("signal")
    table = profile.table(by="part")
    for row in table[table["projection"] == "o"].to_dict("records"):
        shown = float(cell(page, "o", row["layer"]).get_attribute("data-value"))
        assert shown == pytest.approx(row["value"], rel=1e-6)
    hatched = page.locator('#grids [fill="url(#hatch)"]')
    assert hatched.evaluate_all("all => all.filter(e => e.getAttribute('visibility') === 'visible').length") == 1
    cell(page, "q", 1).hover()
    said = page.locator("#cell").text_content()
    assert "layer 1, q, -0.500, interval -0." in said
    assert said.count("not above noise") == 1
    dark = opened(file, scheme="dark")
    colours = [cell(p, "up", 1).evaluate("e => e.style.fill") for p in (page, dark)]
    assert colours[0] != colours[1]


def test_there_is_no_slider_without_steps_and_no_section_without_content(opened, file):
    page = opened(file)
    assert page.locator("#slider, #play").count() == 0
    for name in ("norms", "losses", "metrics", "samples"):
        assert page.locator(f"#{name}").is_hidden()
    assert page.locator("#budget h2").text_content() == "What was looked at"
    assert "whiskers: 95 % intervals over batches" in page.locator("#says").text_content()


def test_a_pinned_cell_shows_every_score_of_it(opened, file, profile):
    page = opened(file)
    cell(page, "up", 0).click()
    rows = page.locator(".everyscore tbody tr")
    assert rows.count() == 1 + len(profile.scores)
    assert page.locator(".everyscore").text_content().count("taylor per parameter") == 1
    page.locator("#grids [tabindex='0']").focus()
    page.keyboard.press("Escape")
    assert rows.count() == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_verdict_stands_on_the_first_screen(opened, file, width, height):
    page = opened(file, width=width, height=height)
    for selector in ("#verdict", "#config", "#copy", "#trust a", "#trust summary"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= height, selector
        assert box["x"] + box["width"] <= width, selector
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_decided_cells_alone_are_coloured_in_the_difference_of_two_probes(opened, tmp_path):
    one, other = probe_profile(spread=0.2), probe_profile(np.array([1.0, 2, 30, 4, 5, 6, 7, 8]), spread=0.2, seed=2)
    sources = [profile_source(tmp_path / "one", one), profile_source(tmp_path / "other", other)]
    pairs = pairs_of([(0, one), (1, other)])
    path = tmp_path / "two.html"
    path.write_text(page_of(sources, remarks=["x"], pairs=pairs), encoding="utf-8")
    page = opened(path)
    shown = page.locator("#difference rect").evaluate_all(
        "all => all.map(e => [e.dataset.decided === 'true', e.style.fill === 'var(--faint)'])"
    )
    decided = [cell[-1] for cell in pairs[0]["cells"].values()]
    assert 0 < sum(decided) < len(decided)
    assert sorted(shown) == sorted([is_decided, not is_decided] for is_decided in decided)
    assert page.locator("#difference .sign").count() == sum(decided)
    assert f"{sum(decided)} of 6 cells decided" in page.locator("#difference h3").text_content()
    page.locator("#difference summary").click()
    page.locator("#difference tbody tr").nth(5).wait_for()
    assert page.locator("#difference tbody").text_content().count("yes") == sum(decided)


def test_a_run_and_a_probe_stand_on_one_page_and_are_not_compared(opened, profile, tmp_path):
    from paged import make_run

    run = run_source(make_run(tmp_path / "run"), samples=0)
    path = tmp_path / "both.html"
    path.write_text(page_of([run, profile_source(tmp_path / "probe", profile)], remarks=["x"]), encoding="utf-8")
    page = opened(path)
    assert page.locator("h1").text_content() == "1 run, 1 probe side by side"
    assert page.locator("#slider").count() == 1
    assert page.locator("#says").text_content().endswith("B: no such score.")
    page.locator("#score").select_option("relative")
    assert page.locator("#slider").count() == 0
    assert page.locator("#grids [role=grid]").count() == 1
    assert page.locator("#norms").is_hidden()
    page.locator("#score").select_option("rms")
    assert page.locator("#norms").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_probes_page(opened, file, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="no axe-core: access was not checked")
    page = opened(file, scheme=scheme, bypass_csp=True)
    cell(page, "up", 0).click()
    found = axe.Axe().run(page)
    assert [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")] == []
