"""The callback around the measurement: what it records, logs, writes and leaves as it was."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measuring import brute_force, lora_toy, measured, micro_batches, rows, trainer, worst
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback

from lorascope import GradientNormCallback, GradientNormLog
from lorascope.errors import TrainingError
from lorascope.measure.records import ABSENT
from lorascope.runs import rundir
from toy import toy_model


def test_a_named_adapter_and_one_that_transformers_added_are_measured(tmp_path: Path) -> None:
    named = get_peft_model(toy_model(), LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="mine")
    native = toy_model()
    native.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="other")
    for model in (named, native):
        callback = GradientNormCallback()
        trainer(model, rows(2), tmp_path, [callback], max_steps=1).train()
        assert list(callback.log.norms("module")) == [
            "step",
            "model.layers.0.self_attn.q_proj",
            "model.layers.1.self_attn.q_proj",
        ]


def test_log_frequency_and_weight_every_choose_the_steps(tmp_path: Path) -> None:
    callback = GradientNormCallback(log_frequency=3, weight_every=4)
    trainer(lora_toy(), rows(22), tmp_path, [callback], max_steps=11).train()
    assert callback.log.steps == [3, 6, 9]
    assert callback.log.weights.steps.tolist() == [4, 8, 11]
    only_end = GradientNormCallback(weight_every=0)
    trainer(lora_toy(), rows(8), tmp_path, [only_end]).train()
    assert only_end.log.weights.steps.tolist() == [4]


def test_the_weight_side_is_that_of_the_weights_after_the_step_also_where_the_best_model_is_loaded(
    tmp_path: Path,
) -> None:
    states = {}

    class Keep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            states[state.global_step] = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" in n}

    callback = GradientNormCallback(weight_every=1)
    worse = trainer(
        lora_toy(), rows(8), tmp_path, [callback, Keep()], options={"eval_dataset": rows(4, seed=9)},
        eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1, load_best_model_at_end=True,
    )  # fmt: skip
    worse.train()
    assert not worse.state.best_model_checkpoint.endswith(
        "checkpoint-4"
    )  # the model is no longer as it was measured last
    name = "model.layers.1.mlp.up_proj"
    for step in (1, 4):
        A, B = (states[step][f"base_model.model.{name}.lora_{m}.default.weight"].double() for m in "AB")
        facts = dict(
            zip(
                [(c.module, c.score, c.matrix) for c in callback.log.weights.columns],
                dict(callback.log.weights.rows())[step],
                strict=True,
            )
        )
        assert facts[name, "update_sq", "AB"] == pytest.approx(float((4 * B @ A).square().sum()), rel=1e-5)
        assert facts[name, "weight_sq", "B"] == pytest.approx(float(B.square().sum()), rel=1e-5)


def test_the_total_the_coefficient_and_the_rate_are_recorded(tmp_path: Path) -> None:
    callback = GradientNormCallback()
    watched = trainer(
        lora_toy(),
        rows(8),
        tmp_path,
        [callback],
        max_grad_norm=0.2,
        logging_strategy="steps",
        logging_steps=1,
        lr_scheduler_type="linear",
    )
    watched.train()
    log = callback.log
    norms = [entry["grad_norm"] for entry in watched.state.log_history if "grad_norm" in entry]
    totals = [value**0.5 for _, value in log.run_series("grad_total_sq")]
    assert totals == pytest.approx(norms, rel=1e-6)  # what Trainer itself logs, before clipping
    assert totals == pytest.approx(log.group_norms()["total"].tolist(), rel=1e-9)
    assert [v for _, v in log.run_series("clip_coef")] == pytest.approx([0.2 / (n + 1e-6) for n in norms], rel=1e-6)
    assert [v for _, v in log.run_series("learning_rate")] == pytest.approx(
        [e["learning_rate"] for e in watched.state.log_history if "learning_rate" in e]
    )


def test_other_trained_parameters_count_in_the_total_alone(tmp_path: Path) -> None:
    model = get_peft_model(toy_model(), LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    callback = GradientNormCallback()
    watched = trainer(model, rows(2), tmp_path, [callback], max_steps=1, logging_strategy="steps", logging_steps=1)
    watched.train()
    ((_, total),) = callback.log.run_series("grad_total_sq")
    assert total**0.5 == pytest.approx(watched.state.log_history[0]["grad_norm"], rel=1e-6)
    assert total > 10 * callback.log.group_norms()["total"][0] ** 2
    assert np.isnan(callback.log.group_norms()["lm_head"][0])


class Tracker(TrainerCallback):
    """Stands where report_to puts trackers: before the user's callbacks."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.calls.append("begin")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.seen.append(dict(logs))


def test_trackers_see_a_curve_for_each_group_and_nothing_else_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = Tracker(), Tracker()
    callback = GradientNormCallback()
    options = {"logging_strategy": "steps", "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    watched = trainer(
        lora_toy(), rows(8), tmp_path, [before, callback, after], options={"eval_dataset": rows(2)}, **options
    )
    watched.train()
    printed = capsys.readouterr().out
    for tracker in (before, after):
        assert tracker.calls == ["begin"]
        train = [logs for logs in tracker.seen if "loss" in logs]
        assert len(train) == 2
        for logs, step in zip(train, (2, 4), strict=True):
            assert logs["lora/attention"] == callback.log.group_norms()["attention"][step - 1]
            assert {key for key in logs if key.startswith("lora/")} == {"lora/attention", "lora/mlp"}
        assert not [
            logs for logs in tracker.seen if "loss" not in logs and any(key.startswith("lora/") for key in logs)
        ]
    assert watched.state.log_history[0]["lora/mlp"] == callback.log.group_norms()["mlp"][1]
    bare = trainer(lora_toy(), rows(8), tmp_path, [], options={"eval_dataset": rows(2)}, **options)
    bare.train()
    assert printed.count("\n") == capsys.readouterr().out.count("\n")


def test_embedding_and_head_have_their_curves(tmp_path: Path) -> None:
    callback, tracker = GradientNormCallback(), Tracker()
    trainer(
        lora_toy(["embed_tokens", "lm_head", "up_proj"]), rows(2), tmp_path, [callback, tracker],
        max_steps=1, logging_strategy="steps", logging_steps=1,
    ).train()  # fmt: skip
    assert {key for key in tracker.seen[0] if key.startswith("lora/")} == {"lora/embedding", "lora/head", "lora/mlp"}
    assert callback.latest().keys() == {"embed", "lm_head", "mlp"}


def test_taking_clipping_over_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lorascope"):
        trainer(lora_toy(), rows(8), tmp_path, [GradientNormCallback()], max_grad_norm=0.5).train()
    assert len([r for r in caplog.records if "clipped to 0.5" in r.getMessage()]) == 1


class Breaks(TrainerCallback):
    """Ends the training as a keyboard interrupt would, within a step."""

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            raise KeyboardInterrupt


def test_after_a_training_that_broke_off_the_next_one_clips_again(tmp_path: Path) -> None:
    callback = GradientNormCallback()
    broken = trainer(
        lora_toy(), rows(16), tmp_path, [callback, Breaks()], max_grad_norm=0.05, gradient_accumulation_steps=2
    )
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    broken.remove_callback(Breaks)
    broken.train()
    assert broken.args.max_grad_norm == 0.05
    assert max(value for _, value in callback.log.run_series("clip_coef")) < 1
    assert callback.log.steps == [1, 2, 3, 4]


def test_two_callbacks_in_one_trainer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="clipped-before"):
        trainer(lora_toy(), rows(8), tmp_path, [GradientNormCallback(), GradientNormCallback()]).train()


class Spoils(TrainerCallback):
    """Makes one gradient NaN or infinite at one step, before Trainer looks at it."""

    def __init__(self, name: str, step: int, value: float) -> None:
        self.name, self.step, self.value = name, step, value
        self.now = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        parameter = dict(model.named_parameters())[self.name]
        parameter.register_hook(lambda grad: torch.full_like(grad, self.value) if self.now == self.step else grad)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.now = state.global_step + 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_a_flagged_row(
    value: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = GradientNormCallback(tmp_path / "run")
    spoils = Spoils("base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight", 3, value)
    trainer(lora_toy(), rows(6), tmp_path, [callback, spoils], max_steps=3).train()
    assert callback.log.nonfinite_steps == [3]
    assert callback.log.summary()["groups"]["attention"]["norm"]["n"] == 2
    assert len([r for r in caplog.records if "not finite" in r.getMessage()]) == 1
    table = callback.log.table()
    assert table.query("step < 3")["finite"].all()
    assert not table.query(
        "step == 3 and module == 'model.layers.0.mlp.up_proj' and matrix == 'B' and score == 'grad_sq'"
    )["finite"].any()
    last = (tmp_path / "run" / rundir.GROUP_NORMS).read_text().splitlines()[-1]
    assert last == "3,,,,,"


class Phases(TrainerCallback):
    """Switches attention off at the second step, as a training phase does."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.grad = None
                parameter.requires_grad_(state.global_step != 1 or "mlp" in name)


def test_a_group_that_is_switched_off_is_absent_and_comes_back(tmp_path: Path) -> None:
    callback = GradientNormCallback()
    trainer(lora_toy(), rows(6), tmp_path, [callback, Phases()], max_steps=3).train()
    groups = callback.log.group_norms()
    assert groups["attention"].isna().tolist() == [False, True, False]
    assert groups["mlp"].notna().all()
    assert groups["total"][1] == groups["mlp"][1]
    assert callback.log.nonfinite_steps == []
    attention = [i for i, c in enumerate(callback.log.gradients.columns) if c.group == "attention"]
    assert (callback.log.gradients.values[1, attention] == ABSENT).all()


def test_a_step_without_any_gradient_is_no_silent_zero(tmp_path: Path) -> None:
    watched = trainer(lora_toy(), rows(8), tmp_path, [GradientNormCallback()])
    step = watched.training_step
    # As an optimizer that is fused into the backward pass leaves it.
    watched.training_step = lambda model, *a, **k: (step(model, *a, **k), model.zero_grad())[0]
    with pytest.raises(TrainingError, match="no-gradient"):
        watched.train()


def test_under_a_gradient_scaler_the_norms_are_unscaled(tmp_path: Path) -> None:
    """float16 training on a GPU scales the loss; here the same scaler runs on the CPU around a float32 model."""
    data = rows(8)
    plain, scaled = GradientNormCallback(), GradientNormCallback()
    trainer(lora_toy(), data, tmp_path, [plain], max_grad_norm=0.05).train()
    with_scaler = trainer(lora_toy(), data, tmp_path, [scaled], max_grad_norm=0.05)
    inner = with_scaler.accelerator
    inner.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    inner.native_amp = True
    inner.state._mixed_precision = "fp16"
    try:
        prepare = inner.prepare_optimizer

        def with_its_scaler(optimizer: Any, device_placement: Any = None) -> Any:
            prepared = prepare(optimizer, device_placement)
            assert prepared.scaler is inner.scaler
            return prepared

        inner.prepare_optimizer = with_its_scaler
        seen: list[float] = []
        step = with_scaler.training_step

        def spy(model: Any, *args: Any, **kwargs: Any) -> Any:
            loss = step(model, *args, **kwargs)
            seen.append(float(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()))
            return loss

        with_scaler.training_step = spy
        with_scaler.train()
    finally:
        inner.state._mixed_precision = "no"
    assert scaled.log.steps == [1, 2, 3, 4]
    assert seen == pytest.approx((1024 * scaled.log.group_norms()["total"]).tolist(), rel=1e-3)  # scaled after backward
    assert worst(measured(scaled.log, 1), measured(plain.log, 1)) < 1e-2  # in float16 autocast
    assert [value for _, value in scaled.log.run_series("clip_coef")] == pytest.approx(
        (0.05 / scaled.log.group_norms()["total"]).tolist(), rel=1e-3
    )


def test_the_files_of_a_finished_training(tmp_path: Path) -> None:
    folder, data = tmp_path / "run", rows(8)
    callback = GradientNormCallback(folder)
    trainer(lora_toy(), data, tmp_path / "elsewhere", [callback]).train()
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {
        rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY, rundir.GRADIENT_TABLE,
        rundir.GRADIENT_JOURNAL, rundir.WEIGHT_JOURNAL,
    }  # fmt: skip
    for log in (GradientNormLog.load(folder), GradientNormLog.from_journals(folder)):
        assert log.gradients.values.tobytes() == callback.log.gradients.values.tobytes()
        assert log.weights.values.tobytes() == callback.log.weights.values.tobytes()
        assert log.base.values.tobytes() == callback.log.base.values.tobytes()
    start = brute_force(lora_toy(), next(micro_batches(data, 2, 1)))
    assert worst(measured(GradientNormLog.load(folder), 1), start) < 1e-5
    without = tmp_path / "without"
    trainer(lora_toy(), data, tmp_path / "elsewhere", [GradientNormCallback(without, layer_norm=False)]).train()
    assert not (without / rundir.LAYER_NORMS).exists()


def test_a_new_training_replaces_the_measurements_in_its_folder(tmp_path: Path) -> None:
    callback = GradientNormCallback(tmp_path / "run")
    watched = trainer(lora_toy(), rows(8), tmp_path, [callback])
    watched.train()
    watched.args.max_steps = 2
    watched.train()
    assert callback.log.steps == GradientNormLog.load(tmp_path / "run").steps == [1, 2]
