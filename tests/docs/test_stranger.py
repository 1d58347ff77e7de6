"""Somebody who has the README alone: its commands one after another, as typed, until an adapter is pasted into PEFT.

Only their sizes are changed, so that it ends in a minute. Commands that need downloaded data or the hub are left to
test_documents.py, which resolves them; the quickstart is run whole by tests/runs/test_quickstarts.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib

import pytest
from pages import README, ROOT, commands
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from lorascope.cli import main
from lorascope.models.embedded import FOLDER
from lorascope.report.page import unpack

SMALL = {
    "run": "--max_steps 2 --warmup_steps 0 --num_samples 40 --eval_samples 2 --max_new_tokens 4",
    "probe": "--batches 4",
    "recommend": "--num_samples 60",
}
"""Verb -> flags that make it short; they go over those of the README."""
ELSEWHERE = re.compile(r"--data_dir data/|lorascope quickstart|--prove")
"""What is tested elsewhere: data that lie nowhere here, and what takes minutes."""


def typed():
    """The README's commands of lorascope that a reader without data can type, in their order."""
    lines = [line for line in commands(README) if line.startswith("lorascope ")]
    return [line for line in lines if not ELSEWHERE.search(line)]


def test_what_is_installed_is_there():
    lines = [shlex.split(line) for line in commands(README) if line.startswith("pip install")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert lines
    for words in lines:
        assert (ROOT / words[words.index("-c") + 1]).is_file()
        extras = [extra for word in words for extra in re.findall(r"^\.\[(.*)\]$", word)]
        assert set(",".join(extras).split(",")) - {""} <= set(project["optional-dependencies"])
    assert "lorascope" in project["scripts"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_alone_leads_from_its_first_command_to_an_adapter_in_peft(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert len(typed()) >= 6
    for line in typed():
        words = shlex.split(line)[1:]
        code = main([*words, *shlex.split(SMALL.get(words[0], ""))])
        shown = capsys.readouterr()
        assert code == 0, f"{line}\n{shown.err}"
        assert "Traceback" not in shown.err
    page = (tmp_path / "results" / "e2e_nlg_mlp_only_r8_s42" / "report.html").read_text(encoding="utf-8")
    (source,) = unpack(page)[0]["sources"]
    pasted: dict = {}
    exec(next(one["text"] for one in source["exports"] if one["label"] == "PEFT"), pasted)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(FOLDER), pasted["config"])
    trained, _ = adapted.get_nb_trainable_parameters()
    (said,) = [words for name, words in source["budget"] if name == "trained"]
    assert said.startswith(f"{trained:,} parameters")
