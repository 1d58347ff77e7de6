"""Many rows are tokenised once, into a file that is mapped into memory; they are the same rows."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from test_trainer import adapted, config, prepared, rows

from lorascope.errors import DataError
from lorascope.runs import rundir
from lorascope.tasks.base import Example, Message
from lorascope.training import cache
from lorascope.training.cache import IN_MEMORY, cache_folder, key_of, tokenise
from lorascope.training.encoding import encode
from lorascope.training.rows import MappedRows, cut_tokens, lengths, loss_tokens
from lorascope.training.run import build_trainer
from tokenizers_of import chat_tokenizer
from toy import toy_tokenizer


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch, tmp_path) -> Path:
    """An empty cache, and more than ten rows are many."""
    monkeypatch.setenv("LORASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "IN_MEMORY", 10)
    return tmp_path / "cache" / "tokens"


def examples(n: int = 30) -> list[Example]:
    return [
        Example(id=f"r{i}", prompt="x" * (i % 11) + "\n", target="y" * (i % 5), references=(), group="")
        for i in range(n)
    ]


class Screen:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: list[tuple[int, int]] = []

    def note(self, *lines: str) -> None:
        self.notes += lines

    @contextmanager
    def progress(self, total, label):
        class Bar:
            @staticmethod
            def update(done, **numbers):
                self.done.append((done, total))

        yield Bar()


def test_mapped_rows_are_the_rows():
    plain, left_out = encode(examples(), toy_tokenizer(), 10)
    mapped, left_out_too = tokenise(examples(), toy_tokenizer(), 10)
    assert isinstance(mapped, MappedRows)
    assert list(mapped) == plain
    assert left_out_too == left_out
    assert (mapped[-1], mapped[3]) == (plain[-1], plain[3])
    assert list(mapped[2::3]) == plain[2::3]
    assert lengths(mapped) == lengths(plain) == [len(row.input_ids) for row in plain]
    assert cut_tokens(mapped) == cut_tokens(plain)
    assert any(cut_tokens(plain))
    for loss_on in ("answer", "all"):
        assert loss_tokens(mapped, loss_on) == loss_tokens(plain, loss_on)
    assert loss_tokens(mapped[2::3], "answer") == loss_tokens(plain[2::3], "answer")


def test_answers_that_do_not_fit_are_named_by_the_cache_too():
    for _ in range(2):
        mapped, left_out = tokenise(examples(), toy_tokenizer(), 4)
        assert left_out == [e.id for e in examples() if len(e.target) >= 3]
        assert len(mapped) + len(left_out) == 30
        with pytest.raises(DataError, match="too-long"):
            tokenise([replace(e, target="z" * 9) for e in examples()], toy_tokenizer(), 4)


def test_chats_keep_all_their_answers():
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    chats = [replace(example, messages=turns) for example in examples()]
    tokenizer = chat_tokenizer("bytes", "chatml")
    assert list(tokenise(chats, tokenizer, 100)[0]) == encode(chats, tokenizer, 100)[0]
    assert len(tokenise(chats, tokenizer, 100)[0][0].answers) == 2


def test_few_rows_stay_in_memory(few_are_many):
    kept, _ = tokenise(examples(10), toy_tokenizer(), 100)
    assert isinstance(kept, list)
    assert not few_are_many.exists()
    assert IN_MEMORY == 20_000


def test_the_second_time_nothing_is_tokenised(monkeypatch):
    first, second = Screen(), Screen()
    once = list(tokenise(examples(), toy_tokenizer(), 100, console=first)[0])
    monkeypatch.setattr(cache, "in_chunks", None)
    assert list(tokenise(examples(), toy_tokenizer(), 100, console=second)[0]) == once
    assert first.done == [(30, 30)]
    assert second.done == []
    assert "30 rows kept in" in first.notes[0]
    assert "30 rows from" in second.notes[0]


def changed(**fields) -> list[Example]:
    return [*examples(29), replace(examples(30)[-1], **fields)]


def test_an_entry_is_named_by_all_that_its_ids_depend_on():
    plain, chatty = toy_tokenizer(), chat_tokenizer("bytes", "chatml")
    turns = (Message("user", "a"), Message("assistant", "b"))
    keys = [
        key_of(examples(), plain, 100),
        key_of(examples(29), plain, 100),
        key_of(examples(), plain, 99),
        key_of(examples(), toy_tokenizer(bos=False), 100),
        key_of(examples(), chatty, 100),
        *(key_of(changed(**{name: "other"}), plain, 100) for name in ("id", "prompt", "target")),
        key_of(changed(messages=turns), chatty, 100),
        key_of(changed(messages=turns[:1] * 2), chatty, 100),
        key_of(changed(messages=turns), chat_tokenizer("bytes", "llama3"), 100),
    ]
    assert len(set(keys)) == len(keys)


def test_what_ids_do_not_depend_on_does_not_count():
    tokenizer = chat_tokenizer("bytes", "chatml", side="left")
    key = key_of(examples(), tokenizer, 100)
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)  # this stays in the tokenizer's state
    assert key_of(examples(), tokenizer, 100) == key
    assert key_of(changed(group="other", references=("z",)), tokenizer, 100) == key
    assert key_of(examples(), chat_tokenizer("bytes", "llama3", side="left"), 100) == key  # no chat among them


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("*.arrow", cut),
        ("*.arrow", flip),
        ("*.arrow", Path.unlink),
        ("*.json", cut),
        ("*.json", lambda file: file.write_text("[]")),
        ("*.json", lambda file: file.write_text("{}")),
    ],
)
def test_a_damaged_entry_is_made_anew_and_that_is_said(few_are_many, what, damage):
    once = list(tokenise(examples(), toy_tokenizer(), 100)[0])
    (file,) = few_are_many.glob(what)
    damage(file)
    screen = Screen()
    assert list(tokenise(examples(), toy_tokenizer(), 100, console=screen)[0]) == once
    assert "is damaged and made anew" in screen.notes[0]
    again = Screen()
    tokenise(examples(), toy_tokenizer(), 100, console=again)
    assert [note for note in again.notes if "made anew" in note] == []


def test_a_run_that_is_stopped_on_the_way_leaves_no_entry(few_are_many, monkeypatch):
    def stopped(*args):
        yield encode(examples(5), toy_tokenizer(), 100)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cache, "in_chunks", stopped)
        with pytest.raises(KeyboardInterrupt):
            tokenise(examples(), toy_tokenizer(), 100)
    assert [file.suffix for file in few_are_many.iterdir()] == [".lock"]
    screen = Screen()
    assert len(tokenise(examples(), toy_tokenizer(), 100, console=screen)[0]) == 30
    assert "made anew" not in screen.notes[0]


def test_of_many_at_the_same_time_one_tokenises(monkeypatch):
    made = []
    in_chunks = cache.in_chunks

    def counted(*args):
        made.append(threading.get_ident())
        return in_chunks(*args)

    monkeypatch.setattr(cache, "in_chunks", counted)
    found = []
    workers = [
        threading.Thread(target=lambda: found.append(list(tokenise(examples(), toy_tokenizer(), 100)[0])))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 1
    assert found == [encode(examples(), toy_tokenizer(), 100)[0]] * 4


def test_waiting_for_another_process_is_said(few_are_many):
    few_are_many.mkdir(parents=True)
    lock, taken = FileLock(few_are_many / f"{key_of(examples(), toy_tokenizer(), 100)}.lock"), threading.Event()

    def hold():
        with lock:
            taken.set()
            time.sleep(1.5)

    other = threading.Thread(target=hold)
    other.start()
    taken.wait()
    screen = Screen()
    assert len(tokenise(examples(), toy_tokenizer(), 100, console=screen)[0]) == 30
    assert "another process is tokenising the same rows" in screen.notes[0]
    other.join()


def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORASCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cache-not-writable(.|\n)*LORASCOPE_CACHE=FOLDER"):
        tokenise(examples(), toy_tokenizer(), 100)


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache" / "tokens"
    monkeypatch.delenv("LORASCOPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lorascope" / "tokens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lorascope" / "tokens"


def test_an_entry_can_be_read_with_datasets_alone(few_are_many):
    from datasets import Dataset

    tokenise(examples(), toy_tokenizer(), 100)
    (file,) = few_are_many.glob("*.arrow")
    table = Dataset.from_file(str(file))
    assert table.column_names == ["id", "input_ids", "answers", "cut_tokens", "length", "answer_tokens"]
    assert json.loads(file.with_suffix(".json").read_text())["bytes"] == file.stat().st_size


def test_training_on_mapped_rows_gives_the_same_weights(tmp_path):
    """Adapter and losses after a few steps, to the bit."""
    weights, losses = [], []
    for name in ("memory", "mapped"):
        data = prepared()
        if name == "mapped":
            data = replace(
                data,
                train=tokenise(rows(), toy_tokenizer(), 100)[0],
                validation=tokenise(rows(11, 100), toy_tokenizer(), 100)[0],
            )
            assert isinstance(data.train, MappedRows)
        else:
            data = replace(data, validation=encode(rows(11, 100), toy_tokenizer(), 100)[0])
        folder = tmp_path / name
        folder.mkdir()
        model = adapted()
        trainer, _ = build_trainer(
            config(max_steps=3, eval_every=1), model, data, folder, folder / rundir.CHECKPOINTS, resumed=False
        )
        trainer.train()
        weights.append({key: tensor for key, tensor in model.model.state_dict().items() if "lora_" in key})
        losses.append([entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry])
    assert losses[0] == losses[1]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
