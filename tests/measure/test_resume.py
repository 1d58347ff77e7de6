"""A training that was killed and goes on leaves the same measurements, byte for byte, as one that never stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from measuring import lora_toy, rows, trainer
from transformers import Trainer, TrainerCallback

from lorascope import GradientNormCallback, GradientNormLog
from lorascope.errors import RunError
from lorascope.runs import rundir

TEXTS = (rundir.GROUP_NORMS, rundir.LAYER_NORMS, rundir.GRADIENT_SUMMARY)


class Killed(BaseException):
    """Nothing of the training's own code runs after it, as after kill -9."""


class Kill(TrainerCallback):
    """Kills at a step: after its gradients were recorded, before it is done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            raise Killed


class Stop(TrainerCallback):
    """Ends after a step with a checkpoint, as after SIGTERM."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def run(
    folder: Path, *others: TrainerCallback, callback: GradientNormCallback | None = None, **options: Any
) -> Trainer:
    return trainer(
        lora_toy(), rows(28), folder / rundir.CHECKPOINTS,
        [callback or GradientNormCallback(folder, weight_every=4), *others],
        max_steps=14, save_strategy="steps", save_steps=5, train_sampling_strategy="random",
        lr_scheduler_type="cosine", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder).train()
    return folder


def same(folder: Path, undisturbed: Path) -> None:
    for name in TEXTS:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / rundir.GRADIENT_TABLE),
        pd.read_parquet(undisturbed / rundir.GRADIENT_TABLE),
        check_exact=True,
    )
    for name in (rundir.GRADIENT_JOURNAL, rundir.WEIGHT_JOURNAL):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.parametrize(("step", "torn"), [(6, 3), (13, 0)])
def test_killed_and_resumed_it_is_the_same_to_the_byte(step: int, torn: int, tmp_path: Path, undisturbed: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Kill(step)).train()
    assert GradientNormLog.load(tmp_path).steps == list(range(1, step + 1))  # no measured step is lost
    assert not (tmp_path / rundir.GRADIENT_SUMMARY).exists()
    if torn:
        journal = tmp_path / rundir.GRADIENT_JOURNAL
        journal.write_bytes(journal.read_bytes()[:-torn])
        with (tmp_path / rundir.GROUP_NORMS).open("a") as csv:
            csv.write("7,,0.1")
    run(tmp_path).train(resume_from_checkpoint=True)
    same(tmp_path, undisturbed)


def test_stopped_between_and_resumed_it_is_the_same_to_the_byte(tmp_path: Path, undisturbed: Path) -> None:
    stopped = run(tmp_path, Stop(7))
    stopped.train()
    found = GradientNormLog.load(tmp_path)
    assert found.steps == list(range(1, 8))
    assert found.weights.steps.tolist() == [4, 7]  # the last step's weights belong to a run that ends there
    run(tmp_path).train(resume_from_checkpoint=True)
    same(tmp_path, undisturbed)


def test_stopped_after_its_last_step_and_resumed_it_is_the_same_to_the_byte(tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path, Stop(14)).train()
    (tmp_path / rundir.GRADIENT_SUMMARY).unlink()
    run(tmp_path).train(resume_from_checkpoint=True)
    same(tmp_path, undisturbed)


def test_the_csvs_grow_every_ten_steps_and_at_every_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Kill(9)).train()
    assert len((tmp_path / rundir.GROUP_NORMS).read_text().splitlines()) == 1 + 5
    with pytest.raises(Killed):
        run(tmp_path, Kill(12), save_only_model=True).train()
    assert len((tmp_path / rundir.LAYER_NORMS).read_text().splitlines()) == 1 + 10


def test_in_memory_the_same_callback_goes_on_where_it_was(tmp_path: Path, undisturbed: Path) -> None:
    callback = GradientNormCallback(weight_every=4)
    with pytest.raises(Killed):
        run(tmp_path, Kill(8), callback=callback).train()
    run(tmp_path, callback=callback).train(resume_from_checkpoint=True)
    expected = GradientNormLog.load(undisturbed)
    assert callback.log.gradients.values.tobytes() == expected.gradients.values.tobytes()
    assert callback.log.weights.values.tobytes() == expected.weights.values.tobytes()
    assert callback.log.steps == expected.steps


def test_other_adapters_do_not_continue_a_journal(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Kill(6)).train()
    header = (tmp_path / rundir.GRADIENT_JOURNAL).read_bytes().replace(b"up_proj", b"xp_proj")
    (tmp_path / rundir.GRADIENT_JOURNAL).write_bytes(header)
    with pytest.raises(RunError, match="other adapters"):
        run(tmp_path).train(resume_from_checkpoint=True)


def test_a_training_that_was_begun_without_the_callback_is_measured_from_where_it_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Kill(6), callback=GradientNormCallback()).train()
    with caplog.at_level(logging.WARNING, logger="lorascope"):
        run(tmp_path).train(resume_from_checkpoint=True)
    assert "no measurements of the steps up to 5" in caplog.text
    assert GradientNormLog.load(tmp_path).steps == list(range(6, 15))
