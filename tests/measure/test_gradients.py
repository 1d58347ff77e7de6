"""Measured norms against brute-force autograd, in every Trainer that people have, and the readers that get it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from measuring import (
    Snapshots,
    arguments,
    brute_force,
    lora_toy,
    measured,
    micro_batches,
    plain_name,
    rows,
    trainer,
    worst,
)
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from lorascope import GradientNormCallback
from lorascope.training.batching import collate
from lorascope.training.trainer import GradientMeasuringTrainer
from toy import toy_tokenizer

FORMATS = {
    # name: (dtype of model and adapters, autocast, largest relative error)
    "float32": (torch.float32, False, 1e-5),
    "bfloat16 autocast": (torch.float32, True, 1e-5),
    "bfloat16": (torch.bfloat16, False, 1e-2),
}


def errors(
    callback: GradientNormCallback, seen: Snapshots, data: Any, accumulation: int, *, autocast: bool = False
) -> list[float]:
    """The largest relative error of each step's norms."""
    steps = list(micro_batches(data, 2, accumulation))
    assert callback.log.steps == list(range(1, len(steps) + 1))
    return [
        worst(measured(callback.log, i + 1), brute_force(model, batches, autocast=autocast))
        for i, (model, batches) in enumerate(zip(seen.models, steps, strict=True))
    ]


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.05], ids=["unclipped", "clipped tightly"])
@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("name", FORMATS)
def test_every_norm_is_that_of_brute_force_autograd(
    name: str, accumulation: int, max_grad_norm: float, tmp_path: Path
) -> None:
    dtype, autocast, tolerance = FORMATS[name]
    data = rows(2 * accumulation * 4)
    callback, seen = GradientNormCallback(), Snapshots(dtype=dtype)
    trainer(
        lora_toy(dtype=dtype), data, tmp_path, [callback, seen],
        gradient_accumulation_steps=accumulation, max_grad_norm=max_grad_norm, bf16=autocast,
    ).train()  # fmt: skip
    assert max(errors(callback, seen, data, accumulation, autocast=autocast)) < tolerance


def test_gradients_of_a_are_exactly_zero_at_the_first_step_and_not_after(tmp_path: Path) -> None:
    callback = GradientNormCallback()
    trainer(lora_toy(), rows(8), tmp_path, [callback]).train()
    log = callback.log
    first, second = log.norms("module", matrix="A").drop(columns="step").to_numpy()[:2]
    assert (first == 0).all()
    assert (second > 0).all()
    assert (log.norms("module", matrix="B").drop(columns="step").to_numpy() > 0).all()


def test_the_roles_of_a_and_b_swap_in_an_embedding(tmp_path: Path) -> None:
    targets = ["embed_tokens", "q_proj", "lm_head"]
    callback, seen, data = GradientNormCallback(), Snapshots(targets=targets), rows(8)
    trainer(lora_toy(targets), data, tmp_path, [callback, seen]).train()
    assert max(errors(callback, seen, data, 1)) < 1e-5
    assert measured(callback.log, 1)["model.embed_tokens:A"] > 0
    assert measured(callback.log, 1)["model.embed_tokens:B"] == 0
    norms = callback.log.group_norms().iloc[0]
    assert norms[["embed", "attention", "lm_head"]].notna().all()
    assert norms.isna()["mlp"]


def test_the_subclass_and_the_callback_in_a_plain_trainer_measure_the_same(tmp_path: Path) -> None:
    data = rows(2 * 4 * 4)
    plain = GradientNormCallback()
    trainer(lora_toy(), data, tmp_path, [plain], gradient_accumulation_steps=4).train()
    subclass = trainer(lora_toy(), data, tmp_path, cls=GradientMeasuringTrainer, gradient_accumulation_steps=4)
    subclass.train()
    ours = subclass.gradient_callback.log
    for step in plain.log.steps:
        assert measured(plain.log, step) == measured(ours, step)
    losses = dict(ours.run_series("loss"))
    tokens = dict(ours.run_series("tokens"))
    for step, batches in enumerate(micro_batches(data, 2, 4), start=1):
        assert tokens[step] == sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
    assert losses.keys() == tokens.keys() == set(ours.steps)
    assert plain.log.run_series("loss") == []


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_callback_in_trls_sfttrainer_measures_the_same(accumulation: int, tmp_path: Path) -> None:
    data = rows(2 * accumulation * 4)
    single = [collate([row], 0, "answer") for row in data]
    callback, seen = GradientNormCallback(), Snapshots()
    options = arguments(tmp_path, gradient_accumulation_steps=accumulation, max_grad_norm=0.05)
    del options["remove_unused_columns"]
    peft_model = lora_toy()
    SFTTrainer(
        model=peft_model,
        args=SFTConfig(**options, bf16=False, activation_checkpointing=False, max_length=None),
        train_dataset=Dataset.from_list(
            [{name: batch[name][0].tolist() for name in ("input_ids", "labels")} for batch in single]
        ),
        processing_class=toy_tokenizer(),
        callbacks=[callback, seen],
    ).train()
    assert max(errors(callback, seen, data, accumulation)) < 1e-5


def test_trls_sfttrainer_logs_a_curve_for_each_group_and_prints_no_line_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rows(8)
    batches = [collate([row], 0, "answer") for row in data]
    dataset = Dataset.from_list(
        [{name: batch[name][0].tolist() for name in ("input_ids", "labels")} for batch in batches]
    )
    options = arguments(tmp_path, logging_strategy="steps", logging_steps=1)
    del options["remove_unused_columns"]
    keys, lines = [], []
    for callbacks in ([], [GradientNormCallback(tmp_path / "ours")]):
        watched = SFTTrainer(
            model=lora_toy(["embed_tokens", "q_proj", "up_proj"]),
            args=SFTConfig(**options, bf16=False, activation_checkpointing=False, max_length=None),
            train_dataset=dataset,
            processing_class=toy_tokenizer(),
            callbacks=callbacks,
        )
        watched.train()
        keys.append([set(logs) for logs in watched.state.log_history if "loss" in logs])
        lines.append(sum(text.count("\n") for text in capsys.readouterr()))
    bare, ours = keys
    assert len(bare) == len(ours) > 1
    for without, having in zip(bare, ours, strict=True):
        assert having - without == {"lora/attention", "lora/mlp", "lora/embedding"}  # TRL takes no head
        assert without <= having
    assert lines[0] == lines[1] > 0


def test_weights_are_bit_equal_to_those_of_a_plain_trainer_that_clips_itself(tmp_path: Path) -> None:
    data = rows(2 * 2 * 4)
    for max_grad_norm in (0.05, 0.0):
        alone, with_callback = lora_toy(), lora_toy()
        options = {"gradient_accumulation_steps": 2, "max_grad_norm": max_grad_norm, "weight_decay": 0.1}
        trainer(alone, data, tmp_path, **options).train()
        watched = trainer(with_callback, data, tmp_path, [GradientNormCallback(log_frequency=3)], **options)
        watched.train()
        assert watched.args.max_grad_norm == max_grad_norm
        for (name, one), other in zip(alone.named_parameters(), with_callback.parameters(), strict=True):
            assert torch.equal(one, other), name


class Reader(TrainerCallback):
    """What one writes first: reads the norms at some event, of all steps or of those that a gate lets through."""

    def __init__(self, event: str, gate: int = 1) -> None:
        self.found: dict[int, dict[str, float]] = {}
        self.gate = gate
        setattr(self, event, self.read)

    def read(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if (state.global_step + 1) % self.gate == 0:
            named = {plain_name(name): p.grad for name, p in model.named_parameters() if p.requires_grad}
            self.found[state.global_step] = {
                k: float(g.double().square().sum()) for k, g in named.items() if g is not None
            }


def test_the_naive_readers_are_wrong_where_the_callback_is_right(tmp_path: Path) -> None:
    data, options = rows(2 * 4 * 4), {"gradient_accumulation_steps": 4, "max_grad_norm": 0.05}
    callback, seen = GradientNormCallback(), Snapshots()
    trainer(lora_toy(), data, tmp_path, [callback, seen], **options).train()
    assert max(errors(callback, seen, data, 4)) < 1e-5
    truth = [brute_force(model, batches) for model, batches in zip(seen.models, micro_batches(data, 2, 4), strict=True)]

    at_end, before_update, gated = (
        Reader("on_step_end"),
        Reader("on_pre_optimizer_step"),
        Reader("on_substep_end", gate=4),
    )
    trainer(lora_toy(), data, tmp_path, [at_end, before_update, gated], **options).train()
    assert (
        list(at_end.found.values()) == [{}] * 4
    )  # every gradient is None by then: a series of zeros, without an error
    for step, norms in before_update.found.items():
        assert sum(norms.values()) ** 0.5 == pytest.approx(0.05, rel=1e-4)  # clipped: the same number at every step
        assert worst(norms, truth[step]) > 0.5
    assert list(gated.found) == [3]  # (global_step + 1) % accumulation counts updates: one of four, ...
    assert worst(gated.found[3], truth[3]) > 0.05  # ... and of that one a part of the micro-batches


def test_trainer_calls_its_events_in_the_order_that_measuring_relies_on(tmp_path: Path) -> None:
    """If this fails after an upgrade of Transformers, look anew at the moment at which gradients are read."""
    events: list[tuple[str, float | None]] = []

    class Tape(Trainer):
        def note(self, event: str) -> None:
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            events.append((event, float(torch.stack([g.norm() for g in grads]).norm()) if grads else None))

        def _clip_grad_norm(self, model: Any) -> Any:
            self.note("clip enters")
            return super()._clip_grad_norm(model)

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            self.note("norm enters")
            return super()._get_grad_norm(model, grad_norm)

    class Notes(TrainerCallback):
        pass

    tape = trainer(
        lora_toy(), rows(4), tmp_path, cls=Tape, max_steps=1, gradient_accumulation_steps=2, max_grad_norm=0.05
    )
    for event in ("on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end"):
        setattr(Notes, event, lambda self, *a, _event=event, **k: tape.note(_event))
    tape.add_callback(Notes())
    tape.train()
    names, norms = zip(*events, strict=True)
    assert names == (
        "on_step_begin", "on_substep_end", "clip enters", "norm enters",
        "on_pre_optimizer_step", "on_optimizer_step", "on_step_end",
    )  # fmt: skip
    assert norms[0] is None
    assert norms[2] > 0.1
    assert norms[3] == norms[4] == norms[5] == pytest.approx(0.05, rel=1e-4)
    assert norms[6] is None
