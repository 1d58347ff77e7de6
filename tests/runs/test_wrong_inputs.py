"""Whatever is wrong ends in a sentence, with something to type, and leaves earlier results as they were."""

from __future__ import annotations

import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
from running import flags, lorascope, printed, read, snapshot
from wrong import CASES, NAME, World

from lorascope import cli
from lorascope.cli_split import split
from lorascope.runs import rundir
from toy import toy_model, toy_tokenizer


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorascope.runs.experiment.draw_run", lambda *args, **kwargs: {})
        assert lorascope(*flags(home), "--output_dir", out, "--experiment_name", "earlier").code == 0
    return out / "earlier"


@pytest.fixture
def world(home, finished, tmp_path, monkeypatch, no_pictures) -> World:
    shutil.copytree(finished, tmp_path / "results" / "earlier")
    return World(home, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_input_is_explained_and_harms_nothing(world, name):
    case = CASES[name]
    words = case.arrange(world)
    before = snapshot(world.out / "earlier")
    there = (world.out / NAME).exists()
    begun = time.monotonic()
    typed = lorascope(*words)
    assert time.monotonic() - begun < 10
    assert typed.code == 2, typed.err
    assert typed.error.startswith(f"error[{case.code}]: "), typed.err
    assert case.says in typed.error
    assert "Traceback" not in typed.out + typed.err
    lines = typed.error.splitlines()
    assert 2 <= len(lines) <= 6
    assert all(line.startswith(("  try: ", "  did you mean: ")) for line in lines[1:])
    for tried in typed.tries:
        understood(tried)
    assert snapshot(world.out / "earlier") == before
    assert (world.out / NAME).exists() == (there or case.begins)


def understood(tried: str) -> None:
    """Parse a command or flags that an error offers; whatever else it says is prose."""
    verbs = {verb.name: verb for verb in cli.VERBS}
    if tried.startswith("lorascope "):
        verb, words = cli._verb(shlex.split(tried)[1:])
        split(verb, [word for word in words if word != "--help"], cli.VERBS)
    elif re.fullmatch(r"--\w+", tried):
        assert tried in {spelling for option in verbs["run"].options() for spelling in option.spellings}
    elif re.match(r"--\w+ ", tried):
        split(verbs["run"], shlex.split(tried), cli.VERBS)


def test_there_are_at_least_25_wrong_inputs_and_as_many_different_errors():
    assert len(CASES) >= 25
    assert len({case.code for case in CASES.values()}) >= 25


def test_a_full_disk_costs_nothing_but_the_interval_since_the_last_checkpoint(home, finished, world):
    with pytest.MonkeyPatch.context() as patch:
        full = World(world.home, world.tmp, patch)
        typed = lorascope(*CASES["disk_full_while_saving_the_trainers_state"].arrange(full))
    (tried,) = typed.tries
    assert tried.startswith("free some space, then: ")
    assert printed(tried.removeprefix("free some space, then: ")).code == 0
    for file in (rundir.GROUP_NORMS, rundir.LAYER_NORMS, "final_model/adapter_model.safetensors"):
        assert (world.out / NAME / file).read_bytes() == (finished / file).read_bytes()


def test_an_evaluation_without_memory_goes_on_as_its_error_says(world):
    with pytest.MonkeyPatch.context() as patch:
        typed = lorascope(*CASES["memory_of_the_evaluation"].arrange(World(world.home, world.tmp, patch)))
    assert typed.tries == [f"lorascope run --resume {world.out / NAME} --eval_batch_tokens 2048"]
    assert printed(typed.tries[0]).code == 0
    assert rundir.state(world.out / NAME) == "finished"


def test_what_an_error_offers_instead_of_too_large_a_batch_has_the_same_rows_per_step(world):
    typed = lorascope(*CASES["memory_of_the_gpu"].arrange(world), "--batch_size", "12", "--grad_accum", "3")
    assert typed.tries[0] == "--batch_size 3 --grad_accum 12 --overwrite"


def test_a_tokenizer_without_padding_works_and_is_noted(world):
    folder = world.tmp / "unpadded"
    toy_model().save_pretrained(folder)
    toy_tokenizer(pad=False).save_pretrained(folder)
    typed = lorascope(*world.typed("--model", folder, "--no_eval"))
    assert typed.code == 0
    note = "the tokenizer has no padding token; '</s>' pads"
    assert note in typed.err
    assert any(note in text for text in read(world.out / NAME / rundir.RESULTS)["notes"])


def test_with_json_an_error_is_a_document_too(world):
    typed = lorascope(*world.typed("--r", "0", "--json"))
    assert typed.code == 2
    assert '"code": "config-value"' in typed.out
    assert typed.error.startswith("error[config-value]: ")
