"""What a phase trains moves; what it does not train stays as it is, to the bit; and every training ends as it began."""

from __future__ import annotations

import pytest
import torch
from phased import Watch, adapters, lora_toy, named, trainer
from transformers import TrainerCallback

from lorascope import DynamicLoRACallback
from lorascope.config.experiment import DynamicLoRAConfig, ExperimentConfig, LoRAConfig, TrainingConfig
from lorascope.errors import ConfigError, ModelError, TrainingError
from lorascope.training.phases import plan_phases
from toy import toy_model

EARLY, LATE = (0, 1), (2, 3)
STEPS = {
    "attn-mlp-both": [("attention",)] * 2 + [("mlp",)] * 2 + [("both",)] * 2,
    "both-mlp-attn": [("both",)] * 2 + [("mlp",)] * 2 + [("attention",)] * 2,
    "both-mlp-both": [("both",)] * 2 + [("mlp",)] * 2 + [("both",)] * 2,
    "early-late": [("both", EARLY)] * 3 + [("both", LATE)] * 3,
    "late-early": [("both", LATE)] * 3 + [("both", EARLY)] * 3,
    "lisa": [("both", (2, 3))] * 2 + [("both", (1, 3))] * 2 + [("both", (1, 2))] * 2,
}
"""What each of six steps must train, written down by hand."""
OPTIMIZERS = {
    "fused AdamW": {"optim": "adamw_torch_fused"},
    "AdamW": {"optim": "adamw_torch"},
    "SGD with momentum": {
        "options": {"optimizer_cls_and_kwargs": (torch.optim.SGD, {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1})}
    },
}


def phases(strategy, max_steps=6, layers=4):
    dynamic = DynamicLoRAConfig(enabled=True, phase_strategy=strategy, phase_every=2 if strategy == "lisa" else None)
    config = ExperimentConfig(
        lora=LoRAConfig(target="both"),
        training=TrainingConfig(max_steps=max_steps, warmup_steps=0),
        dynamic_lora=dynamic,
    )
    return plan_phases(config, layers)


def trained(folder, strategy="both-mlp-both", model=None, on_thaw="keep", warmup=0, **other):
    model = model or lora_toy()
    watch = Watch()
    callback = DynamicLoRACallback(phases(strategy), on_thaw=on_thaw, warmup=warmup)
    trainer(model, folder, [callback, watch], **other).train()
    return watch, model


def test_after_the_switch_the_late_layers_get_gradients_and_move_and_the_early_ones_stand_still(tmp_path):
    watch, model = trained(tmp_path, "early-late")
    early, late = named(model, "both", EARLY), named(model, "both", LATE)
    assert len(early) == len(late) == 28
    for step in (3, 4, 5):
        assert watch.with_gradient[step] == late
        assert all(watch.gradients[step][name].abs().sum() > 0 for name in late)
        assert watch.moved(step) == late
    for name in early:
        assert torch.equal(watch.before[3][name], adapters(model)[name])
        assert not torch.equal(watch.before[0][name], adapters(model)[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("strategy", STEPS)
def test_what_is_off_stays_as_it_is_to_the_bit_and_what_is_on_moves(tmp_path, strategy, optimizer):
    watch, model = trained(tmp_path, strategy, **OPTIMIZERS[optimizer])
    for step, expected in enumerate(STEPS[strategy]):
        active = named(model, *expected)
        assert watch.with_gradient[step] == active, step
        assert watch.moved(step) == active, step
        idle = set(adapters(model)) - active
        for name in idle:  # the optimizer's state stands still as well
            was, now = watch.states[step].get(name, {}), watch.left[step].get(name, {})
            assert was.keys() == now.keys()
            assert all(torch.equal(torch.as_tensor(was[key]), torch.as_tensor(now[key])) for key in was)


def test_the_optimizer_holds_all_adapters_from_the_first_step_on(tmp_path):
    watch, model = trained(tmp_path, "early-late")
    assert watch.in_optimizer == [set(adapters(model))] * 6
    assert len(adapters(model)) == 56


def test_all_adapters_train_again_when_the_training_is_over(tmp_path):
    _, model = trained(tmp_path, "early-late")
    assert all(p.requires_grad for p in adapters(model).values())
    assert not any(p.requires_grad for name, p in model.named_parameters() if "lora_" not in name)


def test_steps_between_count_for_nothing_in_adams_bias_correction(tmp_path):
    watch, model = trained(tmp_path, "both-mlp-both")
    attention, mlp = (next(iter(sorted(named(model, group)))) for group in ("attention", "mlp"))
    assert float(watch.left[-1][attention]["step"]) == 4
    assert float(watch.left[-1][mlp]["step"]) == 6


def test_accumulation_is_never_cut_by_a_switch(tmp_path):
    watch, model = trained(tmp_path, "both-mlp-attn", gradient_accumulation_steps=2)
    assert watch.with_gradient == [named(model, *expected) for expected in STEPS["both-mlp-attn"]]


def test_keep_leaves_the_optimizers_state_as_it_was(tmp_path):
    watch, model = trained(tmp_path, on_thaw="keep")
    for name in named(model, "attention"):
        for key in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(watch.states[4][name][key], watch.left[1][name][key])
        assert watch.states[4][name]["exp_avg"].abs().sum() > 0


def test_zero_m_forgets_the_mean_of_the_gradient_alone(tmp_path):
    watch, model = trained(tmp_path, on_thaw="zero_m")
    for name in named(model, "attention"):
        assert (watch.states[4][name]["exp_avg"] == 0).all()
        assert torch.equal(watch.states[4][name]["exp_avg_sq"], watch.left[1][name]["exp_avg_sq"])
        assert watch.states[4][name]["step"] == 2
    for name in named(model, "mlp"):  # it was never off
        assert torch.equal(watch.states[4][name]["exp_avg"], watch.left[3][name]["exp_avg"])


def test_reset_forgets_everything(tmp_path):
    watch, model = trained(tmp_path, on_thaw="reset", warmup=1)
    assert set(watch.states[4]) == named(model, "mlp")
    assert watch.left[4][next(iter(named(model, "attention")))]["step"] == 1


def test_zero_m_empties_the_momentum_of_sgd(tmp_path):
    watch, model = trained(tmp_path, on_thaw="zero_m", **OPTIMIZERS["SGD with momentum"])
    assert all((watch.states[4][name]["momentum_buffer"] == 0).all() for name in named(model, "attention"))


def test_zero_m_refuses_an_optimizer_whose_state_it_does_not_know(tmp_path):
    with pytest.raises(ConfigError, match="not where Adafactor does"):
        trained(tmp_path, on_thaw="zero_m", optim="adafactor")
    with pytest.raises(ConfigError, match="on_thaw must be one of keep, zero_m, reset, got 'forget'"):
        DynamicLoRACallback(phases("early-late"), on_thaw="forget")
    with pytest.raises(ConfigError, match="on_thaw must be keep or zero_m without warmup"):
        DynamicLoRACallback(phases("early-late"), on_thaw="reset")


def test_a_switched_off_embedding_stands_still_under_its_own_names(tmp_path):
    targets = ["embed_tokens", "lm_head", "q_proj"]
    model, watch = lora_toy(targets), Watch()
    plan = [
        {"start_step": 0, "end_step": 3, "active_modules": ["embed", "attention"], "layer_range": (0, 1)},
        {"start_step": 3, "end_step": 6, "active_modules": ["attention", "lm_head"], "layer_range": (2, 3)},
    ]
    trainer(model, tmp_path, [DynamicLoRACallback(phase_configs=plan), watch]).train()
    embedding = {name for name in adapters(model) if "lora_embedding_" in name}
    head = {name for name in adapters(model) if "lm_head" in name}
    assert len(embedding) == len(head) == 2
    for step in range(6):
        layers = named(model, "attention", EARLY if step < 3 else LATE)
        assert watch.moved(step) == layers | (embedding if step < 3 else head)


class Die(TrainerCallback):
    """Stands for a process that is killed in the middle of a step."""

    def __init__(self, updates):
        self.updates = updates

    def on_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == self.updates:
            raise KeyboardInterrupt


def resumable(folder, on_thaw):
    plan = DynamicLoRACallback(phases("both-mlp-both"), on_thaw=on_thaw, warmup=2 if on_thaw == "reset" else 0)
    options = {"save_strategy": "steps", "save_steps": 1, "lr_scheduler_type": "cosine"}
    return trainer(lora_toy(dropout=0.1), folder, [plan], **options)


@pytest.fixture(scope="module", params=["keep", "zero_m", "reset"])
def undisturbed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    whole = resumable(folder, request.param)
    whole.train()
    return request.param, folder, adapters(whole.model)


@pytest.mark.parametrize("updates", [2, 3, 4])
def test_a_training_resumed_around_a_switch_is_the_same_to_the_bit(tmp_path, undisturbed, updates):
    on_thaw, folder, expected = undisturbed
    resumed = resumable(tmp_path, on_thaw)
    resumed.train(resume_from_checkpoint=str(folder / f"checkpoint-{updates}"))
    for name, value in adapters(resumed.model).items():
        assert torch.equal(value, expected[name]), name
    one, other = (torch.load(at / "checkpoint-6" / "optimizer.pt", weights_only=True) for at in (folder, tmp_path))
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for index, state in one["state"].items():
        assert all(torch.equal(value, other["state"][index][key]) for key, value in state.items())


def test_a_training_that_raised_does_not_freeze_the_next_one(tmp_path):
    model = lora_toy()
    with pytest.raises(KeyboardInterrupt):
        trainer(model, tmp_path, [DynamicLoRACallback(phases("early-late")), Die(4)]).train()
    assert not all(p.requires_grad for p in adapters(model).values())
    watch, _ = trained(tmp_path, "early-late", model=model)
    assert watch.moved(0) == named(model, "both", EARLY)


def test_adapters_that_the_optimizer_does_not_know_are_refused(tmp_path):
    model = lora_toy()
    for name in named(model, "both", LATE):
        adapters(model)[name].requires_grad_(False)
    late = trainer(model, tmp_path)
    late.add_callback(DynamicLoRACallback(phases("early-late")))  # too late to switch everything on
    with pytest.raises(TrainingError, match=r"does not know 28 of the 56 .*layers\.2\.self_attn\.q_proj \(matrix A\)"):
        late.train()
    own = torch.optim.AdamW([p for name, p in adapters(model).items() if "mlp" in name], lr=1e-2)
    schedule = torch.optim.lr_scheduler.ConstantLR(own)
    with pytest.raises(TrainingError, match="does not know 32 of the 56"):
        trained(tmp_path, "both-mlp-attn", model=model, options={"optimizers": (own, schedule)})


class LeaveGradients(TrainerCallback):
    """Stands for a loop that does not clear gradients between steps."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        for parameter in adapters(model).values():
            parameter.grad = torch.ones_like(parameter)


def test_a_gradient_left_behind_by_the_step_before_moves_nothing_that_is_off(tmp_path):
    model, watch = lora_toy(), Watch()
    trainer(model, tmp_path, [DynamicLoRACallback(phases("early-late")), LeaveGradients(), watch]).train()
    assert [watch.moved(step) for step in (3, 4, 5)] == [named(model, "both", LATE)] * 3


class SwitchOn(TrainerCallback):
    """Another callback that wants to have its say."""

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        for parameter in adapters(model).values():
            parameter.requires_grad_(True)


def test_a_gradient_of_what_is_off_ends_the_training_before_it_moves(tmp_path):
    model, watch = lora_toy(), Watch()
    with pytest.raises(
        TrainingError, match=r"q_proj \(matrix A\) got a gradient in step 3, .* MLP 2 to 4 does not train"
    ):
        trainer(model, tmp_path, [DynamicLoRACallback(phases("both-mlp-attn")), SwitchOn(), watch]).train()
    assert all(torch.equal(value, watch.after[-1][name]) for name, value in adapters(model).items())


def test_adapters_with_more_than_a_and_b_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"lora_magnitude_vector\.default\.weight is trained beside A and B"):
        trained(tmp_path, model=lora_toy(use_dora=True))


@pytest.mark.parametrize(
    ("plan", "what", "drawn"),
    [
        ([(0, 3, {"mlp"}), (4, 6, {"mlp"})], "no phase covers the updates from 3 to 4", "gap  3 to 4"),
        ([(0, 3, {"mlp"}), (3, 8, {"mlp"})], "the phases go on to 8, past max_steps 6", "past max_steps  6 to 8"),
        ([(0, 6, {"embed"})], "phase embed 0 to 6 trains embed, which has no adapter", "embed  0 to 6"),
        ([(0, 6, {"mlp"}, (0, 4))], "goes past the last layer of the model, 3", "MLP L0-4  0 to 6"),
        ([(0, 6, {"mlp"}, (3, 3))], "trains nothing: these layers have no such adapter", "MLP L3-3  0 to 6"),
    ],
)
def test_phases_that_do_not_fit_the_training_are_refused_with_their_time_line(tmp_path, plan, what, drawn):
    names = ("start_step", "end_step", "active_modules", "layer_range")
    callback = DynamicLoRACallback([dict(zip(names, phase, strict=False)) for phase in plan])
    with pytest.raises(ConfigError) as caught:
        trainer(lora_toy(layers_to_transform=[0, 1, 2]), tmp_path, [callback]).train()
    assert what in caught.value.what
    assert drawn in caught.value.what


def test_a_model_without_adapter_is_refused(tmp_path):
    with pytest.raises(ModelError, match="LlamaForCausalLM has no LoRA adapter"):
        trained(tmp_path, model=toy_model())
