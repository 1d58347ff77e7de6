"""The page in a browser: what it shows is what the files hold; hands, keys and screen readers reach all of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import yaml
from paged import WAIT, big_table, make_run

from lorascope.analysis.compare import compare_runs
from lorascope.report.page import page_of, page_of_run
from lorascope.report.page_facts import map_of_run
from lorascope.report.page_run import run_source
from lorascope.report.page_source import Source

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the page was not opened")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("pages") / "toy")


@pytest.fixture(scope="module")
def file(folder):
    path = folder / "report.html"
    path.write_text(page_of_run(folder), encoding="utf-8")
    return path


def cell(page, projection, layer):
    group = "attention" if projection in "q k v o" else "mlp"
    return page.locator(f'#grids [data-key="decoder {group} {projection} {layer}"]')


def fill_of(locator):
    return [int(part) for part in re.findall(r"\d+", locator.evaluate("e => getComputedStyle(e).fill"))]


def rms(table):
    """module, step -> root mean square gradient per parameter, as the files have it."""
    facts = table[table["score"] == "grad_sq"].groupby(["module", "step"], observed=True)[["value", "numel"]].sum()
    return (facts["value"] / facts["numel"]) ** 0.5


@pytest.mark.parametrize(("scheme", "name"), [("light", "cividis_r"), ("dark", "cividis")])
def test_colours_are_the_parquets_values_at_three_steps_on_a_scale_that_stays(opened, folder, file, scheme, name):
    page = opened(file, scheme=scheme)
    values = rms(pd.read_parquet(folder / "gradient_analysis.parquet"))
    ends = np.quantile(values[values > 0], [0.02, 0.98])
    for step in (1, 17, 40):
        page.locator("#slider").evaluate("(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }", step - 1)
        assert page.locator("#step").text_content() == f"step {step}"
        for projection, layer in (("q", 0), ("down", 3), ("v", 2)):
            value = values[(f"model.layers.{layer}.{projection}_proj", step)]
            place = np.clip(np.log(value / ends[0]) / np.log(ends[1] / ends[0]), 0, 1)
            expected = np.array(matplotlib.colormaps[name](float(place))[:3]) * 255
            assert np.abs(fill_of(cell(page, projection, layer)) - expected).max() < 5
            shown = float(cell(page, projection, layer).get_attribute("data-value"))
            assert shown == pytest.approx(value, rel=1e-4)


def test_the_arrow_keys_move_the_slider_and_the_scale_of_a_step_is_its_own(opened, file):
    page = opened(file)
    before = fill_of(cell(page, "q", 0))
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#step").text_content() == "step 2"
    assert fill_of(cell(page, "q", 0)) != before
    legend = page.locator("#legend").inner_html()
    page.keyboard.press("ArrowRight")
    assert page.locator("#legend").inner_html() == legend
    page.locator("#scale").select_option("step")
    assert page.locator("#legend").inner_html() != legend


def test_a_click_and_the_keyboard_open_a_cells_curve(opened, folder, file):
    page = opened(file)
    cell(page, "up", 1).click()
    page.locator("#series summary").click()
    page.locator("#series tbody tr").nth(39).wait_for()  # filled when it has been opened
    rows = page.locator("#series tbody tr").all_text_contents()
    values = rms(pd.read_parquet(folder / "gradient_analysis.parquet"))["model.layers.1.up_proj"]
    assert len(rows) == 40
    assert float(rows[-1].removeprefix("40")) == pytest.approx(values.iloc[-1], rel=6e-3)  # three digits
    page.keyboard.press("Escape")
    page.locator("#play").focus()
    page.keyboard.press("Tab")
    role = "document.activeElement.getAttribute('role')"
    assert page.evaluate(role) == "gridcell"
    page.keyboard.press("Tab")
    assert page.evaluate(role) != "gridcell"  # one stop for the whole map
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    assert page.locator("#series").count() == 0
    for press in ("Home", "ArrowRight", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(press)
    assert page.locator("#series").count() == 1
    said = page.locator("#live").text_content()
    assert re.fullmatch(r"layer 1, \w+, [\d.e-]+, rank \d+ of 28", said)
    assert page.locator("#grids [tabindex='0']").count() == 1


def test_a_cell_of_several_experts_shows_how_far_they_are_apart(opened, tmp_path):
    table = big_table(2, 4, projections="q up")
    one = table[table["projection"] == "up"].astype({"module": str})
    more = [
        one.assign(module=one["module"].str.replace("up_proj", f"experts.{k}.up_proj"), value=one["value"] * k**2)
        for k in (2, 3)
    ]
    mixed = pd.concat([table.astype({"module": str}), *more], ignore_index=True)
    folder = make_run(tmp_path / "moe", table=mixed)
    path = tmp_path / "moe.html"
    path.write_text(page_of_run(folder), encoding="utf-8")
    page = opened(path)
    cell(page, "q", 0).click()
    assert page.locator(".spread").count() == 0
    cell(page, "up", 1).click()
    facts = one[(one["score"] == "grad_sq") & (one["layer"] == 1)].groupby("step")[["value", "numel"]].sum()
    base = float((facts["value"] / facts["numel"]).mean() ** 0.5)
    words = page.locator(".spread").text_content()
    low, high, middle = re.fullmatch(r"3 modules, (\S+) to (\S+), median (\S+)", words).groups()
    assert [float(low), float(middle), float(high)] == pytest.approx([base, 2 * base, 3 * base], rel=6e-3)
    page.locator("#cell details").last.locator("summary").click()
    page.locator("#cell details").last.locator("tbody tr").nth(2).wait_for()
    assert page.locator("#cell details").last.locator("tbody tr").first.text_content().startswith("model.layers.1.exp")


def test_a_search_finds_a_sample_and_the_worst_stand_first(opened, file):
    page = opened(file)
    first = page.locator(".sample .role").first.text_content()
    assert first.split() == ["0", "bleu", "0"]
    page.locator("#search").fill("needle")
    sync_api.expect(page.locator(".sample")).to_have_count(1, timeout=WAIT)
    assert "prompt 7 needle" in page.locator(".sample").text_content()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_answer_config_trust_and_warnings_stand_on_the_first_screen(opened, file, width, height):
    page = opened(file, width=width, height=height)
    for selector in ("#verdict", "#config", "#copy", "#trust a", "#trust summary"):
        box = page.locator(selector).bounding_box()
        assert box["y"] >= 0, selector
        assert box["y"] + box["height"] <= height, selector
        assert box["x"] + box["width"] <= width, selector
    assert "undecided" in page.locator("#verdict").text_content()
    assert "[40.6, 42.6]" in page.locator("#verdict").text_content()
    assert page.locator("#trust a").text_content() == "! 2 notes"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_copied_adapter_is_the_runs_in_peft(opened, folder, file, tmp_path):
    from peft import LoraConfig

    page = opened(file, permissions=["clipboard-read", "clipboard-write"])
    trained = LoraConfig.from_pretrained(str(folder / "final_model"))
    copied = {}
    for name in ("PEFT", "TRL script", "axolotl", "JSON"):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator("#copy").click()
        page.get_by_text("copied", exact=True).wait_for()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    made: dict = {}
    exec(copied["PEFT"], made)
    script: dict = {"__name__": "copied"}
    exec(copied["TRL script"].replace("import torch\nfrom datasets import load_dataset\n", "")
         .replace("from trl import SFTConfig, SFTTrainer\n", ""), script)  # fmt: skip
    assert "assert trained == 4000, trained" in copied["TRL script"]
    axolotl = yaml.safe_load(copied["axolotl"])
    assert axolotl["lora_rank_pattern"] == trained.rank_pattern
    assert (axolotl["lora_r"], axolotl["lora_alpha"], axolotl["base_model"]) == (8, 32, "toy")
    assert set(axolotl["lora_target_modules"]) == trained.target_modules
    (tmp_path / "adapter_config.json").write_text(copied["JSON"])
    for config in (made["config"], script["lora_config"], LoraConfig.from_pretrained(str(tmp_path))):
        for key in ("r", "lora_alpha", "lora_dropout", "target_modules", "rank_pattern", "alpha_pattern", "task_type"):
            assert getattr(config, key) == getattr(trained, key), key
    assert json.loads(copied["JSON"])["base_model_name_or_path"] == "toy"


def test_script_tags_in_names_columns_files_and_prompts_stay_text(opened, tmp_path):
    evil = make_run(tmp_path / "evil", evil=True)
    path = tmp_path / "evil.html"
    path.write_text(page_of_run(evil), encoding="utf-8")
    page = opened(path)
    cell(page, "q", 0).click()
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    assert page.evaluate("window.evil") is None
    assert page.locator("img").count() == 0
    assert page.locator("body script").count() == 2
    for place in ("h1", "#state", "#notes", "#samples", "#metrics"):
        assert "onerror=" in page.locator(place).first.text_content(), place


def test_two_runs_stand_side_by_side_with_a_difference_that_decides_nothing(opened, tmp_path):
    folders = [make_run(tmp_path / name, name=name, seed=seed) for name, seed in (("a", 1), ("b", 2))]
    path = tmp_path / "both.html"
    remarks = ("undecided: 1 run of an arm",)
    path.write_text(page_of([run_source(f) for f in folders], remarks=remarks), encoding="utf-8")
    page = opened(path)
    assert page.locator("#verdict").text_content().startswith("Undecided")
    assert page.locator("#grids [role=grid]").count() == 2
    ratios = page.locator("#difference [data-ratio]")
    assert ratios.count() == 28
    fills = ratios.evaluate_all("all => [...new Set(all.map(e => e.getAttribute('fill')))]")
    assert fills == ["var(--soft)"]
    page.locator("#sources input").nth(1).click()
    assert page.locator("#grids [role=grid]").count() == 1
    assert len(compare_runs(folders).runs) == 2


def test_a_source_that_knows_its_noise_is_hatched_and_speaks_its_intervals(opened, folder, tmp_path):
    source = run_source(folder)
    count = len(source.map.cells)
    known = replace(
        source.map.scores[0],
        interval=np.tile([0.25, 0.75], (count, 1)),
        above_noise=(source.map.cells["projection"] != "k").to_numpy(),
    )
    path = tmp_path / "noise.html"
    path.write_text(page_of([Source(source.about, replace(source.map, scores=[known]))]), encoding="utf-8")
    page = opened(path)
    hatched = page.locator('#grids [fill="url(#hatch)"]')
    assert hatched.evaluate_all("all => all.filter(e => e.getAttribute('visibility') === 'visible').length") == 4
    assert page.locator("pattern#hatch path").count() == 2
    cell(page, "k", 2).hover()
    assert "interval 0.250 to 0.750" in page.locator("#cell").text_content()
    assert "not above noise" in page.locator("#cell").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, file, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="no axe-core: access was not checked")
    page = opened(file, scheme=scheme, bypass_csp=True)
    cell(page, "q", 0).click()
    found = axe.Axe().run(page)
    serious = [
        (v["id"], [node["html"][:150] for node in v["nodes"][:3]])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


def rows_of(page, table):
    """The cells of a table as text."""
    return [row.locator("td").all_text_contents() for row in page.locator(f"{table} tbody tr").all()]


def test_every_chart_has_a_table_with_its_numbers(opened, folder, file):
    page = opened(file)
    cell(page, "q", 0).click()
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    page.locator("#series tbody tr").first.wait_for()
    figures = page.locator("main figure, #grids")
    tables = [page.locator(f"#{name} table").count() for name in ("maptable", "series", "groups", "norms", "losses")]
    assert tables == [1] * 5
    assert figures.count() == 7  # map, cell, groups, norms, losses, two metrics
    shown = rows_of(page, "#maptable")
    cells = page.locator("#grids [data-value]").evaluate_all("all => all.map(e => Number(e.dataset.value))")
    assert len(cells) == 28
    assert len(shown) == 28 + 7 + 4  # the margins too
    for value, row in zip(cells, shown, strict=False):
        assert float(row[2]) == pytest.approx(value, rel=6e-3)
    table = pd.read_parquet(folder / "gradient_analysis.parquet")
    facts = table[(table["score"] == "grad_sq") & (table["projection"] == "down")]
    sums = facts.groupby("step")[["value", "numel"]].sum()
    (down,) = [row for row in shown if row[:2] == ["all", "down"]]
    assert float(down[2]) == pytest.approx(float((sums["value"] / sums["numel"]).mean() ** 0.5), rel=6e-3)
    for name in ("groups", "metrics"):
        drawn = " ".join(page.locator(f"#{name} svg text").all_text_contents())
        for row in rows_of(page, f"#{name}"):
            number = row[1] if name == "groups" else row[3]
            assert number in drawn, row
    for name in ("norms", "losses"):
        lines = page.locator(f"#{name} thead th").all_text_contents()
        assert lines == ["step", *(["attention", "MLP"] if name == "norms" else ["training", "validation"])]
        assert len(rows_of(page, f"#{name}")) == (40 if name == "norms" else 41)


def test_print_shows_four_maps_every_table_and_no_control(opened, file):
    page = opened(file, scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#print svg").count() == 4
    assert page.locator("#print svg").first.is_visible()
    for name in ("map", "print", "groups", "norms", "losses", "metrics", "budget", "samples", "notes", "facts"):
        assert page.locator(f"#{name}").is_visible(), name
    assert page.locator("#maptable tbody tr").first.is_visible()
    assert page.locator("details:not([open])").count() == 0
    for control in page.locator("button, select, input").all():
        assert not control.is_visible()


@pytest.fixture(scope="module")
def long_run(folder, tmp_path_factory):
    """The page of 22 layers x 7 projections x 1,500 steps."""
    path = tmp_path_factory.mktemp("pages") / "long.html"
    path.write_text(page_of([Source(run_source(folder).about, map_of_run(big_table(22, 1500)))]), encoding="utf-8")
    return path


@pytest.mark.parametrize("which", ["file", pytest.param("long_run", marks=pytest.mark.slow)])
def test_it_takes_less_than_a_second_of_work_until_it_can_be_used(browser, which, request):
    path = request.getfixturevalue(which)
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # work, not waiting for a busy machine
    page.goto(path.as_uri(), timeout=WAIT)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=WAIT)
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    context.close()
    assert metrics["TaskDuration"] < 1.0
