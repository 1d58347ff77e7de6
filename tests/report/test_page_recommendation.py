"""The page of a recommendation: the answer first, what can be copied, the candidates, and a proof with its interval."""

from __future__ import annotations

import json

import pytest

from facts import probe_profile
from lorascope.errors import RunError
from lorascope.report.page import page_of_profile, unpack
from lorascope.report.page_recommendation import recommendation_page, write_recommendation_page


def candidate(q, up, params=120):
    kinds = [{"group": "attention", "module": "q", "adapted": "2 of 2", "ranks": q, "parameters": 40},
             {"group": "mlp", "module": "up", "adapted": "2 of 2", "ranks": up, "parameters": params - 40}]  # fmt: skip
    return {"used_params": params, "kinds": kinds, "ranks": {"layers.0.q": 2}}


PROOF = {
    "winner": {"candidate": "mlp_only", "lr": 0.01},
    "uniform": {"candidate": "uniform", "lr": 0.003},
    "steps": 40,
    "seeds": [1, 2, 3],
    "differences": [-0.2, -0.1, -0.3],
    "effect": -0.2,
    "ci_low": -0.448,
    "ci_high": 0.048,
    "at_edge": [],
    "rounds": [{"steps": 20, "arms": [{"candidate": "mlp_only", "lr": 0.01, "loss": 1.5},
                                      {"candidate": "uniform", "lr": 0.003, "loss": 1.75}]}],
    "verdict": "undecided",
    "words": ["mlp_only against uniform: -0.2000 nats per answer token [-0.4480, +0.0480], undecided",
              "3 fresh seeds x 40 steps on test rows (paired t)"],
}  # fmt: skip


def make(folder, proof=None):
    """The folders of a recommendation and of its profile."""
    probe_profile(spread=0.1, rows=256).save(folder / "adapter_profile")
    adapter = folder / "adapter"
    adapter.mkdir()
    told = {
        "why": "No preference found. Use uniform: rank 2, 120 parameters. No candidate was shown to beat it.",
        "method": "uniform",
        "candidates": {"uniform": candidate("2", "2"), "mlp_only": candidate("0", "1-3")},
        "proof": proof,
        "allocation": {"budget_params": 121, "used_params": 120},
        "profile": "../adapter_profile",
        "command": "lorascope run --model toy --allocation adapter/allocation.json",
        "notes": ["a note </script>"],
    }
    (adapter / "recommendation.json").write_text(json.dumps(told))
    (adapter / "adapter_config.json").write_text('{"r": 2}')
    (adapter / "train_trl.py").write_text("# /home/somebody/secret/model\n")
    return adapter


def test_the_answer_comes_first_and_what_can_be_copied_is_what_lies_in_the_folder(tmp_path):
    (source,) = unpack(recommendation_page(make(tmp_path)))[0]["sources"]
    assert source["verdict"][:2] == [
        "No preference found. Use uniform: rank 2, 120 parameters.",
        "No candidate was shown to beat it.",
    ]
    assert source["sure"][0] == "nothing was trained"
    assert [one["label"] for one in source["exports"]] == ["PEFT", "TRL script", "command"]
    assert source["exports"][0]["text"] == '{"r": 2}'
    assert "somebody" not in json.dumps(source)
    assert source["exports"][-1]["text"] == "lorascope run --model toy --allocation adapter/allocation.json"
    assert source["budget"][:2] == [["parameters asked for", "121"], ["parameters used", "120"]]
    assert source["notes"] == ["a note </script>", "one"]
    assert source["choice"]["headings"] == ["candidate", "q", "up", "parameters"]
    assert source["choice"]["candidates"] == [["uniform (recommended)", "2", "2", 120], ["mlp_only", "0", "1-3", 120]]
    assert source["choice"]["proof"] is None
    assert source["map"]["cells"]  # the profile's own


def test_a_proof_heads_the_page_with_its_interval(tmp_path):
    (source,) = unpack(recommendation_page(make(tmp_path, PROOF)))[0]["sources"]
    assert source["verdict"][2] == f"Proof: {PROOF['words'][0]}."
    assert source["sure"][0] == "3 fresh seeds, paired"
    proof = source["choice"]["proof"]
    assert (proof["effect"]["effect"], proof["effect"]["sign"], proof["effect"]["side"]) == (-0.2, 0, "undecided")
    assert proof["seeds"] == [["1", -0.2], ["2", -0.1], ["3", -0.3]]
    assert proof["rounds"] == [["20", "mlp_only", "0.01", 1.5], ["20", "uniform", "0.003", 1.75]]


def test_a_proof_in_which_something_diverged_is_words_without_a_picture(tmp_path):
    words = ["mlp_only against uniform: undecided, since mlp_only at 0.01 diverged at seed 2"]
    lost = {"effect": None, "ci_low": None, "ci_high": None, "differences": [-0.2, None, -0.3], "words": words}
    (source,) = unpack(recommendation_page(make(tmp_path, PROOF | lost)))[0]["sources"]
    assert source["verdict"][2] == f"Proof: {words[0]}."
    assert source["sure"][0] == "nothing was decided"
    assert source["choice"]["proof"]["effect"] is None
    assert source["choice"]["proof"]["words"] == words


def test_a_recommendation_that_cannot_be_read_is_named(tmp_path):
    adapter = make(tmp_path)
    (adapter / "recommendation.json").write_text("{}")
    with pytest.raises(RunError, match=r"recommendation\.json cannot be read"):
        recommendation_page(adapter)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_the_proof_stands_with_its_table_and_any_other_page_has_no_such_section(opened, tmp_path, scheme):
    page = opened(write_recommendation_page(make(tmp_path, PROOF)), scheme=scheme)
    assert page.locator("#verdict p").first.text_content().startswith("No preference found. Use uniform")
    choice = page.locator("#choice")
    assert choice.is_visible()
    assert choice.locator("table").first.locator("tbody tr").all_text_contents() == [
        "uniform (recommended)22120",
        "mlp_only01-3120",
    ]
    assert "-0.200 [-0.448, +0.0480], undecided" in choice.locator("figure svg").text_content()
    choice.locator("summary", has_text="as table").click()
    choice.locator("details table tbody tr").nth(3).wait_for()  # filled when it has been opened
    rows = choice.locator("details table tbody tr").all_text_contents()
    assert rows == ["mean-0.200-0.4480.0480", "seed 1-0.200--", "seed 2-0.100--", "seed 3-0.300--"]
    assert page.locator("#map").is_visible()
    page.locator("#exports button", has_text="TRL script").click()
    assert page.locator("#config").text_content().startswith("# ")
    plain = tmp_path / "plain.html"
    plain.write_text(page_of_profile(tmp_path / "adapter_profile", probe_profile(spread=0.1)))
    assert opened(plain).locator("#choice").is_hidden()
