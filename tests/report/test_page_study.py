"""The page of a study: what its files hold, each number once more on the page, nothing private."""

from __future__ import annotations

import json

import numpy as np
import pytest
from paged import EVIL
from studied import STEPS, make_study, raw_norms

from lorascope.cli import main
from lorascope.errors import RunError
from lorascope.report.page import unpack
from lorascope.report.page_study import head_of, is_study, study_page, write_study_page
from lorascope.runs import rundir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("studies") / "lora_sensitivity", notes=["12 rows were cut"])


@pytest.fixture(scope="module")
def page(folder):
    return study_page(folder)


@pytest.fixture(scope="module")
def study(page):
    return unpack(page)[0]["study"]


def test_the_head_has_every_outcome_and_the_first_intervals(page):
    outcomes, first, second = unpack(page)[0]["verdict"]
    assert outcomes == "Supported: H1. Undecided: H2."
    assert first.startswith("H1, supported: MLP modules hold most")
    assert "e2e_nlg: relative update +1.18 [+1.08, +1.27] (as expected)" in first
    assert "; e2e_nlg: knock-out +1.16 [" in first
    assert first.endswith("; 2 more below.")
    assert "e2e_nlg: raw +0.751 [" in second


def test_every_contrast_has_its_interval_and_what_would_decide_it(folder, study):
    verdicts = json.loads((folder / rundir.STUDY_VERDICTS).read_text())
    for shown, kept in zip(study["verdicts"], verdicts, strict=True):
        rows = [c for part in kept["parts"] for c in part["comparisons"]]
        for one, other in zip(shown["contrasts"], rows, strict=True):
            for name in ("effect", "ci_low", "ci_high", "n", "p", "adjusted", "would_decide", "expect", "smallest"):
                assert one[name] == other[name], name
            assert one["side"] == {1: "as expected", -1: "the other way", 0: "undecided"}[other["sign"]]
        assert shown["remarks"] == kept["remarks"]
    assert any("point to opposite sides" in remark for remark in study["verdicts"][1]["remarks"])


def test_budgets_stand_side_by_side(study):
    assert [row[0] for row in study["budget"]] == ["attention", "mlp", "both"]
    assert study["budget"][1][1] == "--target mlp_only --budget like=attention_only:r=8"
    assert study["budget"][1][2:] == [4096, 4000, 4000]


def test_curves_are_those_of_the_tables_with_every_seed_and_their_mean(folder, study):
    (one,) = [c for c in study["curves"] if (c["task"], c["scale"]) == ("samsum", "raw")]
    (line,) = [line for line in one["lines"] if line["arm"] == "mlp"]
    expected = raw_norms(folder, "samsum", "mlp")
    assert [step for step, _ in line["mean"]] == list(range(1, STEPS + 1))
    np.testing.assert_allclose([value for _, value in line["mean"]], expected.mean(axis=0), rtol=1e-5)
    for (seed, points), mine in zip(line["seeds"], expected, strict=True):
        np.testing.assert_allclose([value for _, value in points], mine, rtol=1e-5, err_msg=str(seed))
    assert study["groups"] == {"attention": "attention", "mlp": "mlp", "both": ""}
    (loss,) = [one for one in study["losses"] if one["task"] == "samsum"]
    assert loss["lines"][0]["mean"] == [[0, 4], [3, 4], [STEPS, 3]]


def test_means_over_seeds_have_the_interval_of_a_mean(study):
    cell = next(cell for cell in study["arms"] if (cell["task"], cell["arm"]) == ("samsum", "mlp"))
    mean, low, high = cell["test_loss"]
    half = 4.302653 * 0.01 / np.sqrt(3)  # Student's t, 2 degrees of freedom
    assert (mean, low, high) == pytest.approx((2.32, 2.32 - half, 2.32 + half))


def test_command_hashes_notes_and_texts_to_copy_are_there(study):
    exports = {one["label"]: one["text"] for one in study["exports"]}
    assert list(exports) == ["command", "verdicts", "LaTeX", "CSV"]
    assert exports["command"] == "lorascope study lora_sensitivity --seeds 1 2 3"
    assert exports["LaTeX"].startswith(r"\begin{tabular}")
    assert study["notes"] == ["12 rows were cut (18 of 18 runs)"]
    assert len(study["runs"]) == 18
    assert study["runs"][0][-2:] == ["e2e_nlg_attention_1", "hash1"]
    assert any(name == "plan, SHA-256" and len(value) == 64 for name, value in study["facts"])


def test_the_verb_writes_it_into_the_folder_and_refuses_company(folder, tmp_path, capsys):
    assert is_study(folder)
    assert main(["report", str(folder), "-q"]) == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == study_page(folder)
    assert write_study_page(folder) == folder / "report.html"
    assert main(["report", str(folder), str(folder / "runs" / "samsum_mlp_1")]) == 2
    assert "a page of its own" in capsys.readouterr().err


def test_a_study_that_is_not_judged_has_no_page_yet(tmp_path):
    folder = make_study(tmp_path / "s")
    (folder / rundir.STUDY_VERDICTS).unlink()
    with pytest.raises(RunError, match="not finished"):
        study_page(folder)


def test_many_hypotheses_are_told_in_a_line_each(folder):
    one, other = json.loads((folder / rundir.STUDY_VERDICTS).read_text())
    outcomes, first, _, last = head_of([one, other, other | {"name": "H2, other tasks"}])
    assert outcomes == "Supported: H1. Undecided: H2; H2, other tasks."
    assert first == "H1, supported: e2e_nlg: relative update +1.18 [+1.08, +1.27] (as expected); 3 more below."
    assert last.startswith("H2, other tasks, undecided: e2e_nlg: raw +0.751 [")


def test_without_hypotheses_it_decides_nothing():
    assert head_of([])[0].startswith("No hypothesis was laid down")


def test_texts_of_a_plan_stay_out_of_the_markup_and_paths_out_of_the_page(tmp_path):
    page = study_page(make_study(tmp_path / "evil", text=f"{EVIL} /home/alice/x/data.csv"))
    assert len(page.split("<script")) == 3
    content = json.dumps(unpack(page)[0])
    assert "alice" not in content
    assert ".../data.csv" in content or "~" in content
