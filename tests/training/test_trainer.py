"""The run's trainer: its loss is the model's own, its steps are the log's, a killed run goes on bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from lorascope.config.experiment import ExperimentConfig, GradientAnalysisConfig, LoRAConfig, TrainingConfig
from lorascope.errors import TrainingError
from lorascope.models.adapters import AdaptedModel, select, wrap
from lorascope.models.base import BaseModel
from lorascope.models.modules import find_modules
from lorascope.runs import rundir
from lorascope.tasks.base import Example
from lorascope.training.batching import IGNORED, collate
from lorascope.training.checkpoints import checkpoints, drop_after, is_whole, newest_whole
from lorascope.training.encoding import encode
from lorascope.training.run import Prepared, build_trainer
from toy import toy_model, toy_tokenizer

STEPS = 6


def adapted(dropout: float = 0.1) -> AdaptedModel:
    model = toy_model()
    base = BaseModel(
        model=model, tokenizer=toy_tokenizer(), model_id="toy", dtype=torch.float32, device=torch.device("cpu"),
        revision=None, tied=False, context_length=512, notes=(),
    )  # fmt: skip
    targets = select(find_modules(model), "both", tied=False, model_id="toy")
    return wrap(base, LoRAConfig(target="both", r=2, lora_alpha=4, lora_dropout=dropout), targets, seed=0)


def rows(count: int = 40, offset: int = 0) -> list[Example]:
    words = ["river", "stone", "a", "window in the wall", "tea"]
    pairs = [(f"say {words[i % 5]} {i}\n", f"{words[(i * 3) % 5]} {i % 7}") for i in range(offset, offset + count)]
    return [
        Example(id=str(i), prompt=prompt, target=target, references=(), group=str(i))
        for i, (prompt, target) in enumerate(pairs, offset)
    ]


def prepared() -> Prepared:
    train, _ = encode(rows(), toy_tokenizer(), 100)
    validation, _ = encode(rows(10, 100), toy_tokenizer(), 100)
    return Prepared(train, validation, 100, ())


def config(**training: object) -> ExperimentConfig:
    settings = {"batch_size": 2, "grad_accum": 2, "max_steps": STEPS, "warmup_steps": 1, "lr": 1e-2, "eval_every": 2}
    return ExperimentConfig(
        training=TrainingConfig(**{**settings, **training}),
        gradient_analysis=GradientAnalysisConfig(weight_every=2),
    )


def trainer(folder: Path, model: AdaptedModel | None = None, *, resumed: bool = False, **training: object):
    folder.mkdir(exist_ok=True)
    return build_trainer(
        config(**training), model or adapted(), prepared(), folder, folder / rundir.CHECKPOINTS, resumed=resumed
    )[0]


def test_the_short_logits_give_the_models_own_loss_and_gradient(tmp_path):
    batch = collate(prepared().train[:4], pad_id=0, loss_on="answer")
    grads, losses = [], []
    for short in (True, False):
        ours = trainer(tmp_path / str(short), adapted(dropout=0.0))
        assert ours._short_logits
        ours._short_logits = short
        items = (batch["labels"][:, 1:] != IGNORED).sum()
        loss = ours.compute_loss(ours.model, dict(batch), num_items_in_batch=items)
        loss.backward()
        losses.append(loss.item())
        grads.append(torch.cat([p.grad.flatten() for p in ours.model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-8)


def test_validation_is_nats_per_token_over_all_rows_together(tmp_path):
    ours = trainer(tmp_path / "run", adapted(dropout=0.0))
    nats = tokens = 0.0
    for row in prepared().validation:
        batch = collate([row], 0, "answer")
        count = (batch["labels"] != IGNORED).sum().item()
        nats += ours.model(**batch).loss.item() * count
        tokens += count
    assert ours.evaluate()["eval_loss"] == pytest.approx(nats / tokens, rel=1e-5)


def test_every_step_is_recorded_with_its_loss_and_its_tokens(tmp_path):
    ours = trainer(tmp_path / "run")
    ours.train()
    log = ours.gradient_callback.log
    assert log.steps == list(range(1, STEPS + 1))
    assert [step for step, _ in log.run_series("loss")] == log.steps
    tokens = {}
    for number, batch in enumerate(ours._get_train_sampler().batches):
        step = number // 2 + 1
        tokens[step] = tokens.get(step, 0) + sum(
            len(r.input_ids) - r.prompt_tokens for r in (prepared().train[i] for i in batch)
        )
    assert dict(log.run_series("tokens")) == tokens
    evaluated = [entry["step"] for entry in ours.state.log_history if "eval_loss" in entry]
    assert evaluated == [0, 2, 4, 6]
    assert {step for step, _ in checkpoints(tmp_path / "run" / rundir.CHECKPOINTS)} == {2, 4, 6}


class Die(TrainerCallback):
    """Stands for a process that is killed after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("killed_after", [1, 2, 5])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, killed_after):
    whole = trainer(tmp_path / "whole")
    whole.train()

    broken = trainer(tmp_path / "broken")
    broken.add_callback(Die(killed_after))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    kept = newest_whole(tmp_path / "broken" / rundir.CHECKPOINTS)
    resumed = trainer(tmp_path / "broken", resumed=kept is not None)
    resumed.train(resume_from_checkpoint=str(kept[1]) if kept else None)

    a, b = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    for name in (rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_a_loss_that_is_not_a_number_ends_the_run_before_it_touches_a_weight(tmp_path):
    model = adapted()
    ours = trainer(tmp_path / "run", model)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}

    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 2:
                before.update({n: v.clone() for n, v in model.model.state_dict().items()})
                model.base.model.model.norm.weight.data.fill_(float("nan"))

    ours.add_callback(Poison())
    with pytest.raises(TrainingError, match="loss of step 3 is nan"):
        ours.train()
    after = model.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after if "lora_" in name)
    assert newest_whole(tmp_path / "run" / rundir.CHECKPOINTS)[0] == 2


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "run"
    trainer(folder).train()
    return folder / rundir.CHECKPOINTS


@pytest.mark.parametrize(
    "name", ["trainer_state.json", "optimizer.pt", "adapter_model.safetensors", "rng_state.pth", "scheduler.pt"]
)
@pytest.mark.parametrize("damage", ["missing", "half", "empty"])
def test_a_torn_checkpoint_is_not_whole(saved, tmp_path, name, damage):
    shutil.copytree(saved, tmp_path / "checkpoints")
    assert is_whole(tmp_path / "checkpoints" / "checkpoint-6")
    file = tmp_path / "checkpoints" / "checkpoint-6" / name
    data = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
    assert not is_whole(tmp_path / "checkpoints" / "checkpoint-6")
    assert newest_whole(tmp_path / "checkpoints")[0] == 4
    drop_after(tmp_path / "checkpoints", 4)
    assert [step for step, _ in checkpoints(tmp_path / "checkpoints")] == [2, 4]
