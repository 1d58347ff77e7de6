"""The study of the probe: samples share no row, one pass is many probes, stories260K is read rightly, it goes on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "studies" / "probe"
sys.path.insert(0, str(FOLDER))
spec = importlib.util.spec_from_file_location("probe_study", FOLDER / "study.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)
PLAN = json.loads((FOLDER / "plan.json").read_text())


def test_the_plan_has_every_score_of_a_probe():
    from lorascope.config import scores as menu

    assert {*PLAN["probe"]["scores"], *menu.OF_TRIAL} == set(menu.ON_REQUEST)
    runs = study.runs_of(PLAN)
    assert len({tuple(run.values()) for run in runs}) == len(runs) == 4 * 4 + 4 * 4 + 3 * 4
    assert max(max(sizes) for sizes in PLAN["trial"]["sizes"].values()) <= max(PLAN["sizes"])
    assert PLAN["trial"]["samples"] <= PLAN["samples"]["base"]


def test_one_pass_is_a_probe_of_every_size():
    from lorascope.measure.probing.collect import ProbeSettings, collect
    from lorascope.measure.probing.parts import find_weights, probed
    from lorascope.models.modules import find_modules
    from lorascope.runs.profiled import profile_of
    from toy import toy_model

    model = toy_model()
    weights = find_weights(model, probed(find_modules(model)))
    batches = []
    for number in range(4):
        ids = torch.randint(3, model.config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(number))
        batches.append([{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}])
    settings = ProbeSettings(scores=tuple(PLAN["probe"]["scores"]))
    seen = {}
    for size, found in study.prefixes(model, weights, batches, settings, (2, 4)):
        seen[size] = study.values_of(profile_of(found, {}), 2)
    for size, found in seen.items():
        alone = study.values_of(profile_of(collect(model, weights, batches[:size], settings), {}), 2)
        assert set(found) == set(alone)
        for name, values in found.items():
            np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-12, err_msg=f"{name} of {size}")
    assert any(abs(seen[2]["signal"] - seen[4]["signal"]) > 0)


def test_ranks_and_short_numbers():
    assert study.ranks(np.array([0.3, -1.0, 0.3, 7.0])) == [2, 1, 2, 4]
    assert study.ranks(np.array([0.3, np.nan])) is None
    assert study.short([1.23456e-7, float("nan")]) == [1.235e-07, None]


def test_agreement_of_samples_by_hand():
    import tables

    kinds = ["q", "q", "v", "v"]
    orders = [[1, 2, 3, 4], [1, 2, 3, 4], [2, 1, 3, 4]]  # pairs: 1, 4/6, 4/6
    found = tables.agreement(orders, kinds, "tau")
    assert found.value == pytest.approx(7 / 9)
    # without a sample: 4/6, 4/6, 1; around their mean 7/9: 1/9, 1/9, 2/9
    half = 4.302653 * (2 / 3 * (1 / 81 + 1 / 81 + 4 / 81)) ** 0.5
    assert found.low == pytest.approx(7 / 9 - half)
    assert found.high == 1.0
    assert tables.agreement(orders, kinds, "within").value == pytest.approx((1 + 0 + 0) / 3)  # q turned round, v not
    assert np.isnan(tables.agreement(orders[:2], kinds, "tau").low)
    assert tables.agreement(orders, kinds, "rho").value == pytest.approx((1 + 0.8 + 0.8) / 3)
    assert tables.foresight([[1, 2], [2, 1]], [[1, 2], [1, 2]]) == 0.0  # 1 with the second's order, -1 with the first's


def test_enough_is_where_all_tasks_stay_above():
    import tables

    def line(task, batches, tau):
        return {"score": "signal", "task": task, "batches": batches, "tau": tau}

    found = [line("a", 2, 0.95), line("a", 4, 0.8), line("a", 8, 0.9), line("a", 16, 0.93)]
    assert tables.enough(found, "signal", "tau") == 8
    assert tables.enough([*found, line("b", 8, 0.92)], "signal", "tau") == 8
    assert tables.enough([*found, line("b", 8, 0.92), line("b", 16, 0.8)], "signal", "tau") is None


def test_shares_and_their_errors_by_hand():
    import tables

    def row(model, value, error):
        shares = {"signal": {"group attention": [value, error]}}
        return {"stage": "sample", "model": model, "task": "t", "shares": shares}

    rows = [row("base", 0.7, 0.03), row("base", 0.8, 0.04)]
    known, error = tables.share(rows, "group attention")
    assert known.value == pytest.approx(0.75)
    assert error == pytest.approx(0.05 / 2)
    assert known.high - known.value == pytest.approx(2.0423 * 0.025, rel=1e-4)  # t with 30 degrees of freedom
    ratio, count = tables.coverage(rows)
    assert count == 1
    assert ratio == pytest.approx((0.00125 / 0.005) ** 0.5)
    far, p = tables.welch((known, 0.025), (known._replace(value=0.65), 0.025), df=30)
    assert far.value == pytest.approx(0.1)
    assert p == pytest.approx(2 * 0.00321, rel=0.02)  # t = 2.83 with 60 degrees of freedom
    numel, groups = np.array([1.0, 3.0]), np.array(["attention", "mlp"])
    assert tables.attention_share(np.array([3.0, 1.0]), numel, groups) == pytest.approx(0.75)


def test_scores_that_rank_the_other_way_round_contradict_each_other():
    import tables

    mine = {"stage": "sample", "model": "base", "task": "t", "modules": ["q.0", "v.0", "q.1", "v.1"]}
    rows = [{**mine, "values": {"a": [1.0, 5.0, 2.0, 6.0], "b": [2.0, 6.0, 1.0, 5.0]}}]
    assert tables.correlations(rows, "base", "t", within=False)[1][0, 1] == pytest.approx(0.6)
    assert tables.correlations(rows, "base", "t", within=True)[1][0, 1] == pytest.approx(-1.0)


def test_committed_rows_belong_to_the_plan():
    rows = study.records.read_rows(PLAN, FOLDER / "rows.jsonl")
    runs = study.runs_of(PLAN)
    assert all({key: row[key] for key in runs[0]} in runs for row in rows)


def test_pairs_that_turn_together_go_half_a_head_apart():
    rows = torch.arange(8.0).view(1, 8, 1)  # two heads of four rows
    assert study_stories().halved(rows, 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def study_stories():
    import stories

    return stories


@pytest.mark.slow
def test_stories260k_writes_what_llama2c_writes(lab, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = study_stories().folder_of(lab / "stories260k", tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = json.loads((lab / "stories260k" / "expected_greedy_ids.json").read_text())
    text = (lab / "stories260k" / "expected_greedy.txt").read_text()
    written = model.generate(torch.tensor([[1]]), max_length=len(ids), do_sample=False, eos_token_id=None)
    assert written[0].tolist() == ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer(text).input_ids == ids
    cut = tmp_path / "cut.bin"
    cut.write_bytes((lab / "stories260k" / "stories260K.bin").read_bytes() + b"\0\0\0\0")
    with pytest.raises(ValueError, match="its header says 264128"):
        study_stories().model_of(cut)


@pytest.mark.slow
def test_a_sample_and_a_trial_of_a_few_batches(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(study.records, "ROOT", tmp_path)
    plan = {**PLAN, "models": {"base": ""}, "tasks": ["multi_nli"], "samples": {"base": 2}, "sizes": [2, 4]}
    plan["trial"] = {"samples": 1, "sizes": {"multi_nli": [4]}}
    plan["probe"] = {**PLAN["probe"], "batch_size": 2}
    file = tmp_path / "rows.jsonl"
    assert (
        study.records.go_on(plan, file, study.runs_of(plan), lambda r: study.measure(plan, lab, r), root=tmp_path) == 0
    )
    one, two, tried = study.records.read_rows(plan, file)
    assert one["modules"][:2] == ["q.0", "k.0"]
    assert len(one["modules"]) == 7 * 8
    assert one["values"]["grad_sq"] != two["values"]["grad_sq"]
    assert one["values"]["weight_sq"] == two["values"]["weight_sq"]
    share = {name: value for name, (value, _) in one["shares"]["signal"].items()}
    assert share["group attention"] + share["group mlp"] == pytest.approx(1, abs=1e-3)
    assert sum(v for k, v in share.items() if k.startswith("kind ")) == pytest.approx(1, abs=2e-3)
    assert sorted(one["ranks"]["4"]["adam_step"]) == list(range(1, 57))
    assert sorted(tried["ranks"]["4"]["attribution"]) == list(range(1, 57))
    import pictures
    import tables

    many = study.records.read_rows(plan, file)
    many.insert(2, {**two, "sample": 2})
    assert "| signal | " in "\n".join(tables.lines(plan, many))
    for picture in pictures.draw(plan, many, tmp_path):
        assert picture.stat().st_size > 100
    ids = [batch["input_ids"] for s in (0, 1) for (batch,) in study.batches_of(plan, lab, {**study.runs_of(plan)[s]})]
    rows = {tuple(row[row != 0].tolist()) for batch in ids for row in batch}
    assert len(rows) == 2 * 4 * 2
