"""The file of a page: whole by itself, small, and free of what is nobody's business."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import re
import socket
from pathlib import Path

import pytest
from paged import EVIL, big_table, make_run, results_of

from lorascope.errors import RunError
from lorascope.report.page import frames_for, page_of, page_of_run, samples_for, unpack
from lorascope.report.page_facts import map_of_run
from lorascope.report.page_privacy import scrub, scrub_samples
from lorascope.report.page_run import run_source
from lorascope.report.page_source import Source
from lorascope.report.page_words import command, verdict_of_run, verdict_of_several


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture(scope="module")
def page(folder):
    return page_of_run(folder)


def test_the_policy_allows_this_script_and_this_style_by_hash_and_nothing_else(page):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == "'none'"


def test_it_names_no_other_file_and_no_address(page):
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in page
    assert "eval(" not in page


def test_nothing_in_a_name_becomes_a_part_of_the_page(tmp_path):
    evil = page_of_run(make_run(tmp_path / "evil", evil=True))
    assert re.findall("window.evil=1(....)", evil) == ["&lt;"]  # all but the title travels packed
    assert unpack(evil)[0]["sources"][0]["name"].endswith(EVIL)
    assert len(re.findall("<script", evil)) == 2


def test_braces_of_a_template_in_a_name_stay_text(tmp_path):
    page = page_of_run(make_run(tmp_path / "x", name="{{script}}"))
    assert re.search("<title>(.*)</title>", page)[1] == "{{script}} - lorascope"


def test_no_home_account_machine_or_token_is_in_it(page, monkeypatch):
    text = json.dumps(unpack(page)[0])
    for private in (str(Path.home()), "alice", "/home/", "secret"):
        assert private not in text.replace("~", "")
    assert "file.bin" in text
    for name in (getpass.getuser(), socket.gethostname()):
        assert name in ("root",) or len(name) < 4 or name not in text
    monkeypatch.setenv("MY_API_KEY", "correct-horse-battery")
    assert scrub(f"hf_{'a' * 30} correct-horse-battery") == "[token] [token]"
    assert scrub_samples({"prompt": "see /etc/passwd"}) == {"prompt": "see /etc/passwd"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("--model /data/alice/models/base --r 4", "--model .../base --r 4"),
        ("study /data/a/x.yaml --jobs 1 --output_dir /data/b/out", "study .../x.yaml --jobs 1 --output_dir .../out"),
        ("model /home/alice", "model ~"),
        ("'/mnt/x y/z.csv'", "'.../z.csv'"),
        ("norm x r / alpha, nats/token, A/B", "norm x r / alpha, nats/token, A/B"),
        ("org/model @ main", "org/model @ main"),
        (r"C:\Users\alice\data\x.csv", ".../x.csv"),
        ("results/run/log.txt", "results/run/log.txt"),
    ],
)
def test_absolute_paths_keep_their_last_name(said, shown):
    assert scrub(said) == shown


def test_one_seed_is_undecided_and_says_so():
    said = verdict_of_run(results_of(), {}, {"attention": 0.25, "mlp": 0.5}, None, None)
    assert said[0] == "Attention or MLP: undecided with one seed."
    assert "4.00 -> 1.00 nats per answer token, best at step 20" in said[1]
    assert "attention 0.250, MLP 0.500" in said[2]
    assert verdict_of_several(["undecided: 1 run of an arm"]) == ["Undecided: 1 run of an arm."]


def test_warnings_of_the_log_and_notes_of_the_run_are_all_there(folder):
    notes = run_source(folder).about["notes"]
    assert notes == ["12 rows were cut", "log: x: look at .../file.bin "]


def test_samples_are_the_worst_and_others_evenly_spread(folder):
    found = run_source(folder, samples=6).about["samples"]
    assert found["of"] == 12
    scores = [row["scores"]["bleu"] for row in found["rows"]]
    assert {0.0, 1.0, 2.0} <= set(scores)
    assert len(scores) == 6
    assert run_source(folder, samples=0).about["samples"]["rows"] == []


def test_the_command_has_a_flag_for_every_setting_that_is_not_built_in(folder):
    config = json.loads((folder / "config.json").read_text())
    assert command(config) == "lorascope run --model toy"
    config["training"] |= {"lr": 0.01, "activation_checkpointing": True}
    config["evaluation"]["enabled"] = False
    assert command(config) == "lorascope run --model toy --lr 0.01 --activation_checkpointing --no_eval"


def test_a_damaged_table_is_named(tmp_path):
    folder = make_run(tmp_path / "x")
    (folder / "gradient_analysis.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="parquet cannot be read"):
        page_of_run(folder)
    (folder / "gradient_analysis.parquet").unlink()
    with pytest.raises(RunError, match="is not there"):
        page_of_run(folder)


def size_of(folder, layers, steps):
    about = run_source(folder).about
    return len(page_of([Source(about, map_of_run(big_table(layers, steps)))]).encode())


def test_22_layers_by_1500_steps_and_3_scores_stay_below_1_5_megabytes(folder):
    assert size_of(folder, 22, 1500) < 1.5e6


@pytest.mark.slow
def test_80_layers_by_2000_steps_stay_below_6_megabytes(folder):
    assert size_of(folder, 80, 2000) < 6e6


@pytest.mark.slow
def test_a_hundred_runs_stay_below_10_megabytes(folder):
    about = run_source(folder, samples=samples_for(100), frames=frames_for(100)).about
    source = Source(about, map_of_run(big_table(22, 300), frames=frames_for(100)))
    assert len(page_of([source] * 100).encode()) < 10e6
