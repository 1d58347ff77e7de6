"""Phases beside the measurement: what is off is measured without a step, and what trains is chosen by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phased import Watch, adapters, lora_toy, named, trainer
from test_switching import OPTIMIZERS, Die, phases

from lorascope import DynamicLoRACallback, GradientNormCallback
from lorascope.config.phases import SensitivityPhases
from lorascope.errors import ConfigError, TrainingError
from lorascope.measure import decisions
from lorascope.models.adapters import adapter_tensors
from lorascope.runs import rundir
from lorascope.training import rewarming
from lorascope.training.phases import Phase, is_active

FUSED_FIRST = [name if i == 0 else pytest.param(name, marks=pytest.mark.slow) for i, name in enumerate(OPTIMIZERS)]
HALF = SensitivityPhases(every=2, budget=0.5, explore=0.2, seed=42)


def trained(folder, plan, model=None, log_frequency=1, inactive="freeze", warmup=0, more=(), **other):
    """(model, watch, phases, measurement) of six steps, with dropout, clipped."""
    model, watch = model or lora_toy(dropout=0.1), Watch()
    switching = DynamicLoRACallback(plan, inactive=inactive, warmup=warmup)
    measuring = GradientNormCallback(folder / "log", log_frequency=log_frequency)
    options = {"max_grad_norm": 0.05, **other}
    trainer(model, folder, [switching, measuring, *more, watch], **options).train()
    return model, watch, switching.phases, measuring


def weights(model):
    return {name: value.detach().clone() for name, value in adapters(model).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def active_names(model, phase):
    on = {id(t.parameter) for t in adapter_tensors(model) if is_active(phase, t.module)}
    return {name for name, parameter in adapters(model).items() if id(parameter) in on}


# ---- inactive = measure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", FUSED_FIRST)
@pytest.mark.parametrize("strategy", ["both-mlp-attn", pytest.param("early-late", marks=pytest.mark.slow)])
def test_what_is_off_and_measured_changes_no_bit_of_the_training(tmp_path, strategy, optimizer):
    options = OPTIMIZERS[optimizer]
    frozen, _, plan, _ = trained(tmp_path / "freeze", phases(strategy), **options)
    measured, watch, _, _ = trained(tmp_path / "measure", phases(strategy), inactive="measure", **options)
    assert same(weights(frozen), weights(measured))
    for step in range(6):
        phase = next(phase for phase in plan if phase.start_step <= step < phase.end_step)
        assert watch.with_gradient[step] == watch.moved(step) == active_names(measured, phase)


def test_what_is_off_has_the_gradient_that_it_would_have_if_all_trained(tmp_path):
    every = frozenset({"attention", "mlp"})
    attention = [Phase(0, 6, frozenset({"attention"}))]
    _, _, _, all_on = trained(tmp_path / "all", [Phase(0, 6, every)])
    _, watch, _, off = trained(tmp_path / "off", attention, inactive="measure")
    one, other = (dict(log.log.gradients.rows())[1] for log in (all_on, off))
    columns = off.log.gradients.columns
    tensors = [i for i, column in enumerate(columns) if column.score == "grad_sq"]
    assert (one[tensors] == other[tensors]).all()
    # the total is what was clipped: attention alone
    total, coefficient = (dict(off.log.run_series(score))[1] for score in ("grad_total_sq", "clip_coef"))
    assert total == pytest.approx(sum(other[i] for i in tensors if columns[i].group == "attention"), rel=1e-12)
    assert coefficient == pytest.approx(0.05 / (total**0.5 + 1e-6), rel=1e-5)
    assert torch.cat([g.flatten() for g in watch.gradients[0].values()]).norm() == pytest.approx(0.05, rel=1e-3)
    assert off.log.group_norms()[["attention", "mlp"]].notna().all(axis=None)


def test_steps_that_are_not_measured_leave_out_what_is_off_as_well(tmp_path):
    frozen, *_ = trained(tmp_path / "freeze", phases("both-mlp-attn"))
    seldom, _, _, log = trained(tmp_path / "seldom", phases("both-mlp-attn"), inactive="measure", log_frequency=4)
    assert same(weights(frozen), weights(seldom))
    assert log.log.steps == [4]


@pytest.mark.parametrize("asked", [{"inactive": "measure"}, {"phase_configs": HALF}])
def test_without_a_measurement_it_is_refused(tmp_path, asked):
    callback = DynamicLoRACallback(**{"phase_configs": phases("early-late"), **asked})
    with pytest.raises(ConfigError, match=r"\[no-measuring\].* this Trainer has none"):
        trainer(lora_toy(), tmp_path, [callback]).train()


# ---- sensitivity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", FUSED_FIRST)
def test_under_sensitivity_what_is_off_stands_still_and_what_is_on_moves(tmp_path, optimizer):
    model, watch, plan, _ = trained(tmp_path, HALF, **OPTIMIZERS[optimizer])
    assert [(phase.start_step, phase.end_step) for phase in plan] == [(0, 2), (2, 4), (4, 6)]
    total = sum(p.numel() for p in adapters(model).values())
    for step in range(6):
        active = active_names(model, plan[step // 2])
        assert watch.with_gradient[step] == watch.moved(step) == active
        if step < 2:
            assert len(active) == 56
        else:
            assert 0.3 < sum(adapters(model)[name].numel() for name in active) / total <= 0.5


@pytest.mark.parametrize("inactive", ["freeze", "measure"])
def test_the_most_sensitive_modules_are_those_of_brute_force(tmp_path, inactive):
    plan = SensitivityPhases(every=2, budget=0.25, explore=0)
    model, watch, found, _ = trained(tmp_path, plan, inactive=inactive, max_grad_norm=0.0)
    squares = {}
    for step in (0, 1):  # the first window, in which all train; scaling 2 takes a factor of 4 out
        for name, gradient in watch.gradients[step].items():
            path = name.partition(".lora_")[0].removeprefix("base_model.model.")
            squares[path] = squares.get(path, 0.0) + float(gradient.double().square().sum()) / 4 / 2
    sizes = {}
    for name, parameter in adapters(model).items():
        path = name.partition(".lora_")[0].removeprefix("base_model.model.")
        sizes[path] = sizes.get(path, 0) + parameter.numel()
    expected, left = set(), 0.25 * sum(sizes.values())
    for path in sorted(squares, key=lambda path: -squares[path] / sizes[path]):
        if sizes[path] <= left:
            expected.add(path)
            left -= sizes[path]
    assert found[1].modules == expected


SAVED = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "cosine"}


@pytest.fixture(scope="module", params=["freeze", pytest.param("measure", marks=pytest.mark.slow)])
def undisturbed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model, _, plan, _ = trained(folder, HALF, inactive=request.param, warmup=2, **SAVED)
    return request.param, folder, weights(model), plan


@pytest.mark.parametrize("lost", ["nothing", "the decisions"])
@pytest.mark.parametrize("updates", [2, 3, 4])
def test_a_training_killed_around_a_choice_chooses_the_same_and_ends_in_the_same_bits(
    tmp_path, undisturbed, updates, lost
):
    inactive, folder, expected, plan = undisturbed
    with pytest.raises(KeyboardInterrupt):  # killed in the step after the checkpoint, behind the choice
        trained(tmp_path, HALF, inactive=inactive, warmup=2, more=[Die(updates)], **SAVED)
    if lost == "the decisions":
        (tmp_path / "log" / rundir.DECISIONS).unlink(missing_ok=True)
    model, switching = lora_toy(dropout=0.1), DynamicLoRACallback(HALF, inactive=inactive, warmup=2)
    callbacks = [switching, GradientNormCallback(tmp_path / "log")]
    resumed = trainer(model, tmp_path, callbacks, max_grad_norm=0.05, **SAVED)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{updates}"))
    assert switching.phases == plan
    assert same(expected, weights(model))
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY, rundir.DECISIONS):
        assert (folder / "log" / name).read_bytes() == (tmp_path / "log" / name).read_bytes(), name
    one, other = (torch.load(at / "checkpoint-6" / "optimizer.pt", weights_only=True) for at in (folder, tmp_path))
    assert one["param_groups"] == other["param_groups"]
    assert all(same(state, other["state"][i]) for i, state in one["state"].items())


def test_the_decisions_tell_what_was_chosen_and_why(undisturbed):
    _, folder, _, plan = undisturbed
    entries = decisions.read(folder / "log")
    assert [entry["start_step"] for entry in entries] == [2, 4]
    for entry, phase in zip(entries, plan[1:], strict=True):
        assert set(entry["modules"]) == phase.modules
        assert set(entry["explored"]) <= phase.modules
        assert len(entry["sensitivity"]) == 28
        assert np.isfinite(list(entry["sensitivity"].values())).all()


def test_a_choice_whose_log_is_gone_is_refused(tmp_path, undisturbed):
    inactive, folder, _, _ = undisturbed
    callbacks = [DynamicLoRACallback(HALF, inactive=inactive), GradientNormCallback()]
    resumed = trainer(lora_toy(dropout=0.1), tmp_path, callbacks, **SAVED)
    with pytest.raises(TrainingError, match=r"no finite gradient of .* up to step 2"):
        resumed.train(resume_from_checkpoint=str(folder / "checkpoint-3"))


@pytest.mark.parametrize(
    ("plan", "log_frequency", "what"),
    [
        (SensitivityPhases(every=6), 1, "a choice every 6 updates never switches within max_steps 6"),
        (SensitivityPhases(every=2, explore=0), 3, "log_frequency 3 measures no step between some choices"),
        (SensitivityPhases(every=2, budget=0.01), 1, "budget 0.01 gives"),
    ],
)
def test_choices_that_could_never_be_made_are_refused(tmp_path, plan, log_frequency, what):
    with pytest.raises(ConfigError, match=what):
        trained(tmp_path, plan, log_frequency=log_frequency)


# ---- the learning rate of what is switched on -----------------------------------------------------------------------


def test_the_learning_rate_rises_from_the_switch_on_and_only_there():
    plan = phases("both-mlp-both")  # attention is off in the steps 2 and 3
    modules = {t.module.group: t.module for t in adapter_tensors(lora_toy())}
    factors = {g: [rewarming.factor(plan, step, m, 3) for step in range(6)] for g, m in modules.items()}
    assert factors == {"mlp": [1.0] * 6, "attention": [1.0] * 4 + [0.25, 0.5]}
    late = {t.module.layer: t.module for t in adapter_tensors(lora_toy())}[3]
    assert [rewarming.factor(phases("early-late"), step, late, 1) for step in (3, 4, 5)] == [0.5, 1.0, 1.0]


def test_a_step_moves_by_its_own_learning_rate_and_the_groups_are_whole_again(tmp_path):
    plain = {"options": {"optimizer_cls_and_kwargs": (torch.optim.SGD, {"lr": 1e-2})}, "weight_decay": 0.0}
    model, watch = lora_toy(), Watch()
    callback = DynamicLoRACallback(phases("both-mlp-both"), warmup=3)
    mine = trainer(model, tmp_path, [callback, watch], **plain)
    mine.train()
    for step in range(6):
        for name, gradient in watch.gradients[step].items():
            rate = 1e-2 * ({4: 0.25, 5: 0.5}.get(step, 1.0) if name in named(model, "attention") else 1.0)
            moved = watch.before[step][name] - watch.after[step][name]
            torch.testing.assert_close(moved, rate * gradient, rtol=1e-3, atol=1e-7)
    groups = mine.optimizer.param_groups
    assert [len(group["params"]) for group in groups] == [56, 0]  # weights with decay, biases without: Trainer's own
    assert {group["lr"] for group in groups} == {1e-2}


def test_an_optimizer_whose_groups_are_not_known_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not with Adafactor"):
        trained(tmp_path, phases("both-mlp-both"), warmup=2, optim="adafactor")


# ---- a resume that breaks elsewhere ---------------------------------------------------------------------------------


def test_a_checkpoint_of_all_adapters_is_resumed_with_some_of_them_frozen(tmp_path):
    whole, *_ = trained(tmp_path / "whole", phases("early-late"), **SAVED)
    model = lora_toy(dropout=0.1)
    for name in named(model, "both", (0, 1)):  # as somebody would who goes on in the late phase
        adapters(model)[name].requires_grad_(False)
    callbacks = [DynamicLoRACallback(phases("early-late")), GradientNormCallback()]
    resumed = trainer(model, tmp_path / "on", callbacks, max_grad_norm=0.05, **SAVED)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    assert same(weights(whole), weights(model))
