"""Phases in what is around them: activation checkpointing, TRL, the measurement, several processes, a killed run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from datasets import Dataset
from phased import LAYERS, Watch, adapters, lora_toy, named, rows, trainer
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from lorascope import DynamicLoRACallback, GradientNormCallback
from lorascope.config.experiment import (
    DynamicLoRAConfig,
    ExperimentConfig,
    GradientAnalysisConfig,
    LoRAConfig,
    TrainingConfig,
)
from lorascope.errors import ConfigError
from lorascope.models.adapters import select, wrap
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.runs import rundir
from lorascope.training.batching import collate
from lorascope.training.phases import Phase
from lorascope.training.run import Prepared, build_trainer
from lorascope.training.switchable import check_switching
from toy import toy_model, toy_tokenizer

BOTH = frozenset({"attention", "mlp"})
EARLY_LATE = (Phase(0, 2, BOTH, (0, 1)), Phase(2, 4, BOTH, (2, 3)), Phase(4, 6, BOTH))


class CountForwards(TrainerCallback):
    """How often each step runs the attention of each layer: twice where checkpointing recomputes it."""

    def __init__(self, model):
        self.steps = []
        for number, layer in enumerate(model.get_base_model().model.layers):
            layer.self_attn.register_forward_pre_hook(lambda *_, n=number: self.count(n))

    def count(self, layer):
        self.steps[-1][layer] += 1

    def on_step_begin(self, args, state, control, **kwargs):
        self.steps.append([0] * LAYERS)


def checkpointed(folder, **checkpointing):
    model, watch = lora_toy(dropout=0.1), Watch()
    count = CountForwards(model)
    trainer(model, folder, [DynamicLoRACallback(EARLY_LATE), watch, count], **checkpointing).train()
    return model, watch, count.steps


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return checkpointed(tmp_path_factory.mktemp("plain"))


def same_gradients(one, other):
    for step, gradients in enumerate(one.gradients):
        assert gradients.keys() == other.gradients[step].keys()
        assert all(torch.equal(value, other.gradients[step][name]) for name, value in gradients.items()), step


def test_activation_checkpointing_changes_no_bit_and_does_not_recompute_what_is_off_in_front(tmp_path, plain):
    model, watch, forwards = checkpointed(tmp_path, activation_checkpointing=True)
    same_gradients(watch, plain[1])
    assert forwards == [[2, 2, 2, 2]] * 2 + [[1, 1, 2, 2]] * 2 + [[2, 2, 2, 2]] * 2
    assert plain[2] == [[1] * LAYERS] * 6
    # afterwards everything is as Trainer left it: the embedding's output requires a gradient again
    embedding = model.get_base_model().get_input_embeddings()
    assert embedding(torch.tensor([[3]])).requires_grad


def test_reentrant_checkpointing_keeps_its_gradients(tmp_path, plain):
    kwargs = {"use_reentrant": True}
    _, watch, _ = checkpointed(tmp_path, activation_checkpointing=True, activation_checkpointing_kwargs=kwargs)
    same_gradients(watch, plain[1])


def test_a_trained_embedding_is_not_cut_off(tmp_path):
    plan = [
        {"start_step": 0, "end_step": 3, "active_modules": ["embed"]},
        {"start_step": 3, "end_step": 6, "active_modules": ["attention"]},
    ]
    model, watch = lora_toy(["embed_tokens", "q_proj"]), Watch()
    trainer(model, tmp_path, [DynamicLoRACallback(plan), watch], activation_checkpointing=True).train()
    embedding = {name for name in adapters(model) if "lora_embedding_" in name}
    assert [watch.moved(step) for step in range(6)] == [embedding] * 3 + [named(model, "attention")] * 3


def test_in_trls_sfttrainer_with_its_own_checkpointing_it_is_the_same(tmp_path):
    model, watch = lora_toy(), Watch()
    count = CountForwards(model)
    batches = [collate([row], 0, "answer") for row in rows()]
    data = Dataset.from_list([{key: batch[key][0].tolist() for key in ("input_ids", "labels")} for batch in batches])
    SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=2, use_cpu=True, bf16=False,
            activation_checkpointing=True, save_strategy="no", report_to="none", disable_tqdm=True,
            logging_strategy="no", max_length=None,
        ),
        train_dataset=data,
        processing_class=toy_tokenizer(),
        callbacks=[DynamicLoRACallback(EARLY_LATE), watch, count],
    ).train()  # fmt: skip
    early, late = named(model, "both", (0, 1)), named(model, "both", (2, 3))
    assert watch.with_gradient == [early] * 2 + [late] * 2 + [early | late] * 2
    assert [watch.moved(step) for step in (2, 3)] == [late] * 2
    assert count.steps[2] == [1, 1, 2, 2]


@pytest.mark.parametrize("first", [True, False])
def test_beside_the_measurement_what_is_off_is_absent(tmp_path, first):
    phases = DynamicLoRACallback([Phase(0, 3, frozenset({"attention"})), Phase(3, 6, frozenset({"mlp"}))])
    measured, watch = GradientNormCallback(), Watch()
    order = [phases, measured] if first else [measured, phases]
    trainer(lora_toy(), tmp_path, [*order, watch], max_grad_norm=0.05).train()
    groups = measured.log.group_norms()
    assert groups["attention"].notna().tolist() == [True] * 3 + [False] * 3
    assert groups["mlp"].notna().tolist() == [False] * 3 + [True] * 3
    for step, gradients in enumerate(watch.gradients):  # what is off is no part of the norm that clips
        clipped = torch.cat([g.flatten() for g in gradients.values()]).norm()
        assert clipped == pytest.approx(0.05, rel=1e-3), step


# ---- several processes ----------------------------------------------------------------------------------------------


def setting(**args):
    nothing = {"deepspeed": None, "fsdp": None, "ddp_find_unused_parameters": None, "ddp_static_graph": None}
    return SimpleNamespace(**{**nothing, **args})


def processes(kind, fsdp_version=None):
    return SimpleNamespace(distributed_type=kind, fsdp_plugin=SimpleNamespace(fsdp_version=fsdp_version))


def with_checkpointing(model, reentrant):
    model.get_base_model().activation_checkpointing_enable({"use_reentrant": reentrant})
    return model


def test_what_torch_cannot_switch_is_refused_with_the_alternative():
    ddp, alone = processes(DistributedType.MULTI_GPU), processes(DistributedType.NO)
    for args, around, code, hint in (
        (setting(deepspeed="ds.json"), alone, "deepspeed", "train without deepspeed"),
        (setting(), processes(DistributedType.DEEPSPEED), "deepspeed", "train without deepspeed"),
        (setting(fsdp=True), processes(DistributedType.MULTI_CPU), "fsdp-off", "accelerate launch --use_fsdp"),
        (setting(fsdp=True), processes(DistributedType.FSDP, 1), "fsdp-1", "accelerate launch --use_fsdp"),
        (setting(ddp_find_unused_parameters=False), ddp, "ddp-graph", "ddp_find_unused_parameters=True"),
        (setting(ddp_static_graph=True), ddp, "ddp-graph", "ddp_find_unused_parameters=True, ddp_static_graph=False"),
    ):
        with pytest.raises(ConfigError, match=rf"\[{code}\]") as caught:
            check_switching(lora_toy(), args, around)
        assert caught.value.tries[0].startswith(hint)
    with pytest.raises(ConfigError, match="reentrant-ddp") as caught:
        check_switching(with_checkpointing(lora_toy(), True), setting(), ddp)
    assert caught.value.tries[0] == "activation_checkpointing_kwargs={'use_reentrant': False}"
    bare = with_checkpointing(lora_toy(), False).get_base_model()  # no PeftModel: Trainer does not look for unused ones
    with pytest.raises(ConfigError, match="ddp-graph"):
        check_switching(bare, setting(), ddp)


def test_what_torch_can_switch_is_not_refused():
    ddp = processes(DistributedType.MULTI_CPU)
    check_switching(lora_toy(), setting(), ddp)
    check_switching(with_checkpointing(lora_toy(), False), setting(), ddp)
    check_switching(with_checkpointing(lora_toy(), True), setting(), processes(DistributedType.NO))
    check_switching(lora_toy(), setting(fsdp=True), processes(DistributedType.FSDP, 2))


# ---- a run ----------------------------------------------------------------------------------------------------------


def run(folder, resumed=False):
    model = toy_model()
    base = BaseModel(
        model=model, tokenizer=toy_tokenizer(), model_id="toy", dtype=torch.float32, device=torch.device("cpu"),
        revision=None, tied=False, context_length=512, notes=(),
    )  # fmt: skip
    config = ExperimentConfig(
        lora=LoRAConfig(target="both", r=2, lora_alpha=4, lora_dropout=0.1),
        training=TrainingConfig(batch_size=2, grad_accum=2, max_steps=6, warmup_steps=1, lr=1e-2, eval_every=1),
        dynamic_lora=DynamicLoRAConfig(enabled=True, phase_strategy="both-mlp-both"),
        gradient_analysis=GradientAnalysisConfig(weight_every=2),
    )
    targets = select(find_modules(model), "both", tied=False, model_id="toy")
    folder.mkdir(exist_ok=True)
    adapted = wrap(base, config.lora, targets, seed=0)
    data = Prepared(rows(24), rows(4), 100, ())
    return build_trainer(config, adapted, data, folder, folder / rundir.CHECKPOINTS, resumed=resumed)[0]


class Die(TrainerCallback):
    """Stands for a process that is killed after a step, before it saves."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    undisturbed = run(folder)
    undisturbed.train()
    assert all(p.requires_grad for p in adapters(undisturbed.model).values())  # after the best checkpoint was loaded
    return folder, undisturbed.model.state_dict()


@pytest.mark.parametrize("killed_after", [2, 3, 5])
def test_a_run_killed_around_a_switch_goes_on_bit_for_bit(tmp_path, whole, killed_after):
    folder, expected = whole
    broken = run(tmp_path)
    broken.add_callback(Die(killed_after))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = run(tmp_path, resumed=True)
    last = tmp_path / rundir.CHECKPOINTS / f"checkpoint-{killed_after - 1}"
    resumed.train(resume_from_checkpoint=str(last))
    state = resumed.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in expected.items())
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
    file = f"{rundir.CHECKPOINTS}/checkpoint-6/optimizer.pt"
    one, other = (torch.load(at / file, weights_only=True)["state"] for at in (folder, tmp_path))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[i][key]) for i, kept in one.items() for key, value in kept.items())
