"""lorascope.probe from model and examples to a profile: what it takes, when it stops, what it says."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import T5Config, T5ForConditionalGeneration

import lorascope
from lorascope.errors import ConfigError, DataError, Interrupted, ModelError, UnknownName
from lorascope.report.page_profile import exports
from lorascope.report.profile_view import profile_lines
from lorascope.report.terminal import Console
from lorascope.runs import probe as probing
from lorascope.runs.probe_batches import choose, draw_batches
from lorascope.tasks.base import Example
from toy import save_toy, toy_model, toy_tokenizer

QUIET = Console(quiet=True)


def examples(count: int = 200, *, groups: int | None = None, seed: int = 0) -> list[Example]:
    """Letters and the next letter: a task with something to learn."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        start = int(rng.integers(0, 20))
        prompt = "".join(chr(97 + (start + k) % 26) for k in range(int(rng.integers(2, 9)))) + "\n"
        target = chr(97 + (start + len(prompt) - 1) % 26)
        group = str(i if groups is None else i % groups)
        found.append(Example(id=str(i), prompt=prompt, target=target, references=(target,), group=group))
    return found


def probe(**changes) -> lorascope.SensitivityProfile:
    options = {"batches": 6, "batch_size": 4, "console": QUIET, **changes}
    return lorascope.probe(toy_model(), toy_tokenizer(), examples(), **options)


def cost_of_mlp(model: torch.nn.Module) -> int:
    """In and out of one of its projections."""
    return int(model.config.hidden_size + model.config.intermediate_size)


def test_a_profile_of_a_loaded_model() -> None:
    found = probe()
    assert found.n == 6
    assert found.about["rows"] == 24
    assert found.about["peak_memory_bytes"] > sum(found.about["memory_bytes"].values())
    assert found.about["stopped"] == "all batches done"
    assert found.about["architecture"] == "LlamaForCausalLM"
    assert found.about["left_out"] == ["model.embed_tokens", "lm_head"]
    assert set(found.scores) == {"signal", "noise", "grad_sq", "lora_sq", "lora_draw_sq", "taylor", "adam_step"}
    assert len(found.parts) == 14
    assert found.loss.low < found.loss.value < found.loss.high
    total = found.scores["signal"].value + found.scores["noise"].value
    assert total == pytest.approx(found.scores["grad_sq"].value)
    assert "attention" in str(found.verdict)
    assert found.parts["cost_per_rank"].tolist()[:4] == [64, 48, 48, 64]


def test_the_control_has_the_same_prompts_with_other_answers_and_without_it_nothing_is_decided() -> None:
    found = probe(batches=20, scores=("snip",))
    assert found.control is not None
    assert (found.control.n, found.control.control) == (found.n, None)
    for side in ("prompt", "answer"):
        assert found.control.about["tokens_per_row"][side] == found.about["tokens_per_row"][side]
    assert "snip" in found.scores
    assert "snip" not in found.control.scores
    verdict = found.verdict
    assert verdict.control == found.control.verdict.effect
    assert verdict.task.value == pytest.approx(verdict.effect - verdict.control)
    alone = probe(batches=20, control=False)
    assert alone.control is None
    assert alone.verdict.effect == verdict.effect
    assert not alone.verdict.decided
    assert str(alone.verdict).endswith("without a control")


def test_texts_without_prompts_have_no_control_and_that_is_said() -> None:
    texts = [{"text": f"{example.prompt}{example.target}"} for example in examples(60)]
    found = lorascope.probe(toy_model(), toy_tokenizer(), texts, batches=6, batch_size=4, console=QUIET)
    assert found.control is None
    assert any(note.startswith("no control: texts without prompts") for note in found.about["notes"])
    assert not found.about["options"]["control"]  # and no time is kept for one


def test_with_too_few_rows_left_for_a_control_the_profile_is_kept_and_that_is_said() -> None:
    """Two batches of 4 rows and no more; a third of the answers is too long, so 8 of other rows' answers do not fit."""
    short = examples(90)
    rows = [replace(e, target=e.target * 80, references=()) if i % 3 == 0 else e for i, e in enumerate(short)]
    found = lorascope.probe(
        toy_model(), toy_tokenizer(), rows, batches=3, batch_size=4, max_length=40, console=QUIET, seed=3
    )
    assert (found.n, found.control) == (2, None)
    assert any(note.startswith("no control: with each other's answers") for note in found.about["notes"])
    assert not found.verdict.decided


@pytest.mark.parametrize(("target", "named"), [("both", 7), ("attention_only", 8)])
def test_the_adapter_on_its_page_is_rank_8_on_what_was_probed(target: str, named: int) -> None:
    """By last names where all attention and MLP was probed, else by paths: 4 of each of 2 layers."""
    texts = {one["label"]: one["text"] for one in exports(probe(target=target))}
    assert list(texts) == ["PEFT", "TRL script", "axolotl", "JSON", "run", "numbers"]
    made: dict[str, LoraConfig] = {}
    exec(texts["PEFT"], made)
    assert len(made["config"].target_modules) == named
    adapted = get_peft_model(toy_model(), made["config"])
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained == 8 * (2 * (64 + 48 + 48 + 64) + (2 * 3 * cost_of_mlp(toy_model()) if target == "both" else 0))
    assert f"assert trained == {trained}" in texts["TRL script"]


def test_the_same_seed_gives_the_same_profile_and_another_one_other_rows() -> None:
    one, again, other = probe(), probe(), probe(seed=1)
    assert one.to_pandas().equals(again.to_pandas())
    assert not one.to_pandas().equals(other.to_pandas())


def test_a_model_by_its_folder_and_data_by_its_file(tmp_path: Path) -> None:
    folder = save_toy(tmp_path / "model")
    file = tmp_path / "letters.jsonl"
    file.write_text("".join(f'{{"prompt": "{e.prompt.strip()}", "target": "{e.target}"}}\n' for e in examples(120)))
    found = lorascope.probe(str(folder), str(file), batches=3, batch_size=4, console=QUIET)
    assert found.about["dataset"] == str(file)
    assert found.about["data"]["source"] == "local"
    assert found.about["model"] == str(folder)


def test_rows_as_dictionaries_are_what_a_file_of_them_is() -> None:
    rows = [{"prompt": e.prompt, "target": e.target} for e in examples(30)]
    found = lorascope.probe(toy_model(), toy_tokenizer(), rows, batches=3, batch_size=4, console=QUIET)
    assert found.n == 3
    texts = [{"text": f"some text, number {i}"} for i in range(30)]
    assert lorascope.probe(toy_model(), toy_tokenizer(), texts, batches=3, batch_size=4, console=QUIET).n == 3
    with pytest.raises(DataError, match="no columns prompt and target"):
        lorascope.probe(toy_model(), toy_tokenizer(), [{"question": "a", "answer": "b"}], console=QUIET)


def test_it_stops_when_the_ranking_is_stable_and_not_before_two_rounds_of_blocks() -> None:
    found = probe(batches=60, batch_size=1, tau=0.01)
    assert found.n == 32
    assert found.about["stopped"] == "ranking stable"
    assert found.tau >= 0.01
    assert probe(batches=40, batch_size=1, tau=1.0).about["stopped"] == "all batches done"


def test_it_stops_when_time_is_up_and_says_so() -> None:
    found = probe(batches=40, batch_size=1, time_limit=1e-6)
    assert found.n == 2
    assert found.about["stopped"] == "time limit of 1e-06 s"
    assert math.isnan(found.tau)
    assert "2 batches give no interval" in str(found.verdict)


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, *, at: int, times: int = 1) -> None:
    real = probing.collect

    def collect(*args, progress, **kwargs):
        def pressed(done, loss):
            progress(done, loss)
            if done >= at and done < at + times:
                os.kill(os.getpid(), signal.SIGINT)

        return real(*args, progress=pressed, **kwargs)

    monkeypatch.setattr(probing, "collect", collect)


def test_ctrl_c_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    press_ctrl_c(monkeypatch, at=4)
    found = probe(batches=40)
    assert found.n == 4
    assert found.about["stopped"] == "stopped by the user"
    assert found.control is None
    assert any(note.startswith("no control: the probe was stopped") for note in found.about["notes"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    press_ctrl_c(monkeypatch, at=1, times=2)
    with pytest.raises(Interrupted, match="nothing was saved"):
        probe(batches=40)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_two_rows_of_a_group_are_in_the_batches() -> None:
    chosen = choose(examples(200, groups=30), 100, seed=0)
    assert len(chosen) == 30
    assert len({e.group for e in chosen}) == 30
    assert [e.id for e in chosen] == [e.id for e in choose(examples(200, groups=30), 100, seed=0)]
    assert len(choose(examples(200), 100, seed=0)) == 100


def test_batches_are_full_and_padded_on_the_right_and_a_micro_batch_has_rows_of_similar_length() -> None:
    drawn = draw_batches(
        examples(100), toy_tokenizer(), count=5, batch_size=4, grad_accum=3, max_length=64, loss_on="answer", seed=0
    )
    assert [[len(micro["input_ids"]) for micro in batch] for batch in drawn.batches] == [[4, 4, 4]] * 5
    assert drawn.notes == []
    assert drawn.answer_tokens == 2.0
    for batch in drawn.batches:
        lengths = [int(n) for micro in batch for n in micro["attention_mask"].sum(1)]
        assert lengths == sorted(lengths)
        for micro in batch:
            assert ((micro["labels"] != -100).sum(1) == 2).all()  # the letter and the end of sequence
            assert (micro["attention_mask"][:, 0] == 1).all()


def test_what_is_cut_left_out_or_missing_is_said() -> None:
    kwargs = {"batch_size": 2, "grad_accum": 1, "loss_on": "answer", "seed": 0}
    notes = draw_batches(examples(20), toy_tokenizer(), count=40, max_length=6, **kwargs).notes
    assert any("rows cut at 6 tokens" in note for note in notes)
    assert any("make 10 batches, fewer than 40" in note for note in notes)
    long = Example(id="x", prompt="a\n", target="b" * 50, references=("b" * 50,), group="x")
    notes = draw_batches([*examples(20), long], toy_tokenizer(), count=40, max_length=40, **kwargs).notes
    assert any("1 rows left out" in note for note in notes)
    with pytest.raises(DataError, match="needs at least two") as error:
        draw_batches(examples(3), toy_tokenizer(), count=40, max_length=40, **kwargs)
    assert error.value.code == "too-few-rows"


def test_accumulation_takes_whole_batches_of_several_micro_batches() -> None:
    found = probe(batch_size=2, grad_accum=3)
    assert found.about["rows"] == 36
    assert found.about["memory_bytes"]["gradients of a batch"] > 0


def test_scores_on_request_and_embedding_and_head() -> None:
    found = probe(scores=("snip", "weight", "spectrum", "plop"), directions=5, target="all")
    assert {"snip", "weight_sq", "stable_rank", "plop"} <= set(found.scores)
    assert set(found.parts["group"]) == {"attention", "mlp", "embed", "lm_head"}
    assert found.about["left_out"] == []
    values, noise = found.spectrum("spectrum", "model.layers.0.mlp.up_proj")
    assert len(values) == len(noise) == 5
    assert np.isnan(found.table("plop", by="group").set_index("group").loc["embed", "value"])


def test_a_trial_training_adds_its_scores_and_says_how_exact_it_is() -> None:
    model = toy_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"batches": 12, "batch_size": 4, "r": 2, "trial_steps": 3, "scores": ("attribution", "adalora")}
    found = lorascope.probe(model, toy_tokenizer(), examples(), lr=1e-3, console=QUIET, **options)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert found.about["trial"]["held_out_rows"] == 16
    assert found.about["trial"]["off"] < 0.05
    table = found.table("attribution", by="group", scale="sum")
    assert table["value"].sum() == pytest.approx(found.about["trial"]["drop"], rel=0.05)
    assert np.isfinite(table[["ci_low", "ci_high"]].to_numpy()).all()
    assert (found.scores["adalora"].value > 0).all()
    rough = lorascope.probe(model, toy_tokenizer(), examples(), lr=0.5, console=QUIET, **options)
    assert "off the measured drop" in rough.about["notes"][-1]


def test_a_model_with_adapters_is_probed_where_it_is() -> None:
    adapted = get_peft_model(toy_model(), LoraConfig(r=2, target_modules=["q_proj"]))
    bare = probe()
    found = lorascope.probe(adapted, toy_tokenizer(), examples(), batches=6, batch_size=4, console=QUIET)
    assert found.scores["signal"].value == pytest.approx(bare.scores["signal"].value, rel=1e-4)


def test_a_tokenizer_without_padding_serves_as_well() -> None:
    found = lorascope.probe(toy_model(), toy_tokenizer(pad=False), examples(), batches=6, batch_size=4, console=QUIET)
    assert found.loss.value == pytest.approx(probe().loss.value)


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"batches": 1}, ConfigError, "batches"),
        ({"batch_size": 0}, ConfigError, "batch_size"),
        ({"tau": 0.0}, ConfigError, "tau"),
        ({"time_limit": 0}, ConfigError, "time_limit"),
        ({"scores": ("spectrun",)}, UnknownName, "spectrum"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(kwargs, error, text) -> None:
    with pytest.raises(error, match=text):
        probe(**kwargs)


def test_what_cannot_be_probed_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs data"):
        lorascope.probe(toy_model())
    with pytest.raises(ConfigError, match="tokenizer"):
        lorascope.probe(toy_model(), "letters.jsonl")
    config = T5Config(vocab_size=259, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(ModelError, match="two stacks"):
        lorascope.probe(T5ForConditionalGeneration(config), toy_tokenizer(), examples(), console=QUIET)


def test_the_view_says_what_was_found_in_80_columns() -> None:
    found = probe(batches=20)
    lines = profile_lines(found)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 100
    assert "layer  0 1" in text
    for kind in ("q", "k", "v", "o", "gate", "up", "down"):
        assert any(line.split()[:1] == [kind] for line in lines), kind
    assert " ".join(lines).endswith(str(found.verdict).replace("mlp", "MLP"))
    assert "20 batches, 80 rows; all batches done" in lines[0]


def test_float16_on_the_cpu_and_a_broken_model_are_explained() -> None:
    model = toy_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    with pytest.raises(lorascope.LorascopeError, match="own loss is nan"):
        lorascope.probe(model, toy_tokenizer(), examples(), batches=3, console=QUIET)
