"""What a probe's verdict says of real tasks: nothing before training, and after it what they were made to ask for."""

from __future__ import annotations

import pytest

from lorascope.config.load import resolve
from lorascope.measure.probing.collect import ProbeSettings
from lorascope.report.terminal import Console
from lorascope.runs import probing
from lorascope.runs.probe import ProbeOptions


def profile_of(task, tmp_path, *, after):
    flags = {"model": "embedded", "dataset": task, "data_source": "builtin", "target": "both", "lr": "1e-2"}
    config = resolve({**flags, "batch_size": "8", "grad_accum": "1"}).config
    options = ProbeOptions(batches=48, tau=1.0, settings=ProbeSettings())
    return probing.probe_config(config, options, tmp_path / f"{task}_{after}", after=after, console=Console(quiet=True))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_far_copying_favours_attention_once_the_form_of_answers_is_learnt_and_local_mapping_does_not(tmp_path):
    far, local = (profile_of(task, tmp_path, after=60) for task in ("builtin_far_copy", "builtin_local_map"))
    assert far.verdict.decided
    assert far.verdict.task.value > 0
    assert not (local.verdict.decided and local.verdict.task.value > 0)


def test_rows_that_train_are_not_probed(tmp_path, monkeypatch):
    taught, asked = [], []

    def trained(config, base, training, steps, console):
        taught.extend(training.train)
        return base.model

    def probed(model, tokenizer, examples, options, **more):
        asked.extend(examples)
        raise RuntimeError("enough")

    monkeypatch.setattr(probing, "_trained", trained)
    monkeypatch.setattr(probing, "probe_examples", probed)
    with pytest.raises(RuntimeError, match="enough"):
        profile_of("builtin_local_map", tmp_path, after=2)
    assert {example.id for example in taught}.isdisjoint(example.id for example in asked)
    assert {example.group for example in taught}.isdisjoint(example.group for example in asked)
    assert abs(len(taught) - len(asked)) <= 2
