"""Wrong inputs: what is typed, with what lying around, and what the error says. Read by test_wrong_inputs.py."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from running import flags
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import MambaConfig, MambaForCausalLM

from lorascope.runs import rundir
from toy import save_toy, toy_tokenizer

NAME = "e2e_nlg_both_r2_s42"


@dataclass
class World:
    """Where a wrong input is typed."""

    home: Path
    tmp: Path
    patch: pytest.MonkeyPatch
    lock: FileLock | None = None

    @property
    def out(self) -> Path:
        """The output folder; it holds a finished run."""
        return self.tmp / "results"

    def typed(self, *more: object, task: str = "e2e_nlg") -> list[object]:
        """A small run that would work, and flags over it."""
        return [*flags(self.home, task), "--output_dir", self.out, *more]

    def model(self, name: str = "broken") -> Path:
        """A copy of the checkpoint, to be broken."""
        return shutil.copytree(self.home / "base", self.tmp / name)

    def data(self, task: str = "e2e_nlg") -> Path:
        """A copy of a task's files, to be broken."""
        return shutil.copytree(self.home / "data" / task, self.tmp / "data")

    def run_folder(self) -> Path:
        """The finished run under the name that the command would take."""
        return shutil.copytree(self.out / "earlier", self.out / NAME)


@dataclass(frozen=True)
class Wrong:
    """One wrong input."""

    code: str
    says: str
    """Words of the error."""
    arrange: Callable[[World], list[object]]
    """Breaks something and returns what is typed."""
    begins: bool = False
    """Whether the run had begun when it failed, so that its folder is there."""


CASES: dict[str, Wrong] = {}


def wrong(code: str, says: str, *, begins: bool = False) -> Callable[[Callable[[World], list[object]]], None]:
    """Put a function that arranges a wrong input into CASES, under its own name."""

    def register(arrange: Callable[[World], list[object]]) -> None:
        CASES[arrange.__name__] = Wrong(code, says, arrange, begins)

    return register


def flag(name: str, code: str, says: str, *words: str) -> None:
    """A wrong input that is in the flags alone."""
    CASES[name] = Wrong(code, says, lambda world: world.typed(*words))


# ---- flags ----------------------------------------------------------------------------------------------------------

flag("rank_zero", "config-value", "r must be a positive whole number, got 0", "--r", "0")
flag("negative_lr", "config-value", "lr must be positive, got -0.001", "--lr", "-1e-3")
flag("lr_no_number", "config-value", "--lr got 'fast'; it takes a number", "--lr", "fast")
flag("negative_seed", "config-value", "seed must be between", "--seed", "-1")
flag("warmup_too_long", "config-value", "warmup_steps must be between 0 and max_steps", "--warmup_steps", "5")
flag("saving_off_cadence", "config-value", "a multiple of eval_every", "--eval_every", "2", "--save_every", "3")
flag("top_p_alone", "config-value", "together with --temperature", "--top_p", "0.9")
flag("unknown_target", "config-value", "attention_only", "--target", "atention_only")
flag("unknown_preset", "unknown-preset", "e2e_mlp", "--preset", "e2e_mpl")
flag("unknown_dataset", "unknown-task", "no task 'samsun'; known: e2e_nlg", "--dataset", "samsun")
flag("unknown_flag", "unknown-flag", "has no flag --max_step", "--max_step", "5")
flag("flag_without_value", "missing-value", "--r needs a value", "--r")
flag("unknown_schedule", "config-value", "lr_scheduler 'cosin' cannot be used", "--lr_scheduler", "cosin")
flag("unknown_optimizer", "config-value", "optim 'adamw' cannot be used", "--optim", "adamw")
flag("optimizer_not_installed", "config-value", "install `bitsandbytes`", "--optim", "adamw_bnb_8bit")
flag("schedule_without_its_arguments", "config-value", "num_decay_steps", "--lr_scheduler", "warmup_stable_decay")
flag("unknown_tracker", "config-value", "report_to 'tensorbord' cannot be used", "--report_to", "tensorbord")
flag("name_with_a_path", "config-value", "must be a plain folder name", "--experiment_name", "../../x")
flag("longer_than_the_context", "too-long", "more than the 512 positions", "--max_length", "600")
flag("answers_longer_than_the_context", "too-long", "leaves no room for a prompt", "--max_new_tokens", "512")
flag("no_answer_fits", "too-long", "every answer alone is longer than max_length 10", "--max_length", "10")
flag("one_row", "too-few", "at least two different", "--num_samples", "1")
flag("batch_larger_than_the_data", "too-few-rows", "21 training rows do not fill one batch of 64", "--batch_size", "64")


@wrong("shell-arrow", "the shell took >mlp- and >attn as files")
def arrow_cut_off_by_the_shell(world):
    world.patch.chdir(world.tmp)
    for stray in ("mlp-", "attn"):
        Path(stray).touch()
    return world.typed("--dynamic_lora", "--phase_strategy", "both-")


# ---- configuration files --------------------------------------------------------------------------------------------


def yaml(world: World, text: str) -> list[object]:
    (world.tmp / "run.yaml").write_text(text)
    return world.typed("--config", world.tmp / "run.yaml")


@wrong("config-value", "run.yaml:2  lora.lora_dropout got 'much'; it takes a number")
def yaml_value(world):
    return yaml(world, "seed: 1\nlora_dropout: much\n")


@wrong("config-key", 'run.yaml:3  "lora.targets" is not a setting')
def yaml_key(world):
    return yaml(world, "seed: 1\nlora:\n  targets: both\n")


@wrong("config-value", "run.yaml:1  training.max_grad_norm got 'none'; it takes a number")
def yaml_no_clipping(world):
    return yaml(world, "max_grad_norm: none\n")


@wrong("config-file", "run.yaml:2  is not YAML or JSON")
def yaml_broken(world):
    return yaml(world, "lora: {r: 4\nseed: 1\n")


@wrong("config-file", "runs.yaml is not there")
def yaml_missing(world):
    yaml(world, "seed: 1\n")
    return world.typed("--config", world.tmp / "runs.yaml")


# ---- the model ------------------------------------------------------------------------------------------------------


@wrong("no-model", "there is no folder")
def model_missing(world):
    return world.typed("--model", world.tmp / "missing")


@wrong("no-model", "there is no config.json in")
def model_without_config(world):
    folder = world.model()
    (folder / "config.json").unlink()
    return world.typed("--model", folder)


@wrong("no-safetensors", "has only pytorch_model.bin")
def model_in_another_format(world):
    folder = world.model()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return world.typed("--model", folder)


@wrong("broken-weights", "is damaged or cut off")
def model_cut_off(world):
    folder = world.model()
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return world.typed("--model", folder)


@wrong("encoder-decoder", "is an encoder-decoder (t5)")
def model_with_an_encoder(world):
    folder = world.model()
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "is_encoder_decoder": True}))
    return world.typed("--model", folder)


@wrong("no-model", "holds an adapter, not a base model")
def model_that_is_an_adapter(world):
    return world.typed("--model", world.out / "earlier" / "final_model")


@wrong("hub-unreachable", "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T is neither in the cache nor a folder")
def model_of_the_hub_without_network(world):
    world.patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return world.typed("--model", "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T")


@wrong("no-eos", "has no end-of-sequence token")
def tokenizer_without_end(world):
    folder = world.model()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": None}))
    return world.typed("--model", folder)


@wrong("nan-model", "the base model's own loss is nan", begins=True)
def weights_that_are_no_numbers(world):
    folder = world.model()
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return world.typed("--model", folder)


@wrong("tied-embeddings", "uses one matrix as embedding and as head")
def tied_embeddings(world):
    return world.typed("--model", save_toy(world.tmp / "tied", tied=True), "--target", "all")


@wrong("no-targets", "has no attention, mlp")
def target_that_matches_nothing(world):
    settings = MambaConfig(vocab_size=259, hidden_size=16, num_hidden_layers=1, state_size=4, eos_token_id=2)
    MambaForCausalLM(settings).save_pretrained(world.tmp / "mamba")
    toy_tokenizer().save_pretrained(world.tmp / "mamba")
    return world.typed("--model", world.tmp / "mamba")


@wrong("accumulation", "takes no loss arguments, so its gradient over 2 micro-batches is not that of the whole batch")
def loss_that_cannot_be_accumulated(world):
    # As Gemma 3n and 4 say of themselves; none of the families that are small enough for a test does.
    world.patch.setattr("transformers.LlamaForCausalLM.accepts_loss_kwargs", False, raising=False)
    return world.typed()


# ---- the data -------------------------------------------------------------------------------------------------------


@wrong("hub-unreachable", "tuetschek/e2e_nlg is not in the cache")
def data_not_given(world):
    return ["--model", world.home / "base", "--output_dir", world.out]


@wrong("no-folder", "e2e_nlq is not there")
def data_folder_missing(world):
    return world.typed("--data_dir", world.home / "data" / "e2e_nlq")


@wrong("no-file", "has no testset_w_refs.csv")
def data_file_missing(world):
    (world.data() / "testset_w_refs.csv").unlink()
    return world.typed("--data_dir", world.tmp / "data")


@wrong("bad-row", "trainset.csv:3: 3 fields where the header has 2")
def csv_row_broken(world):
    path = world.data() / "trainset.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "name[Zizzi], eatType[pub], ref without quotes\n", *lines[3:]]))
    return world.typed("--data_dir", world.tmp / "data")


@wrong("no-column", "no column 'mr'")
def column_of_another_name(world):
    path = world.data() / "trainset.csv"
    path.write_text(path.read_text().replace("mr,ref", "meaning,ref", 1))
    return world.typed("--data_dir", world.tmp / "data")


@wrong("no-rows", "trainset.csv: no rows")
def data_empty(world):
    (world.data() / "trainset.csv").write_text("mr,ref\n")
    return world.typed("--data_dir", world.tmp / "data")


@wrong("bad-file", "train.jsonl:16: the file breaks off in this row")
def json_line_half_written(world):
    path = world.data("wikisql") / "train.jsonl"
    path.write_text(path.read_text()[:-30])
    return world.typed("--data_dir", world.tmp / "data", task="wikisql")


# ---- the folder -----------------------------------------------------------------------------------------------------


@wrong("not-writable", "cannot write to")
def output_folder_that_is_a_file(world):
    (world.tmp / "taken").write_text("a file")
    return world.typed("--output_dir", world.tmp / "taken")


@wrong("run-locked", "another process is writing")
def folder_of_a_run_that_goes_on(world):
    world.lock = FileLock(world.out / f".{NAME}.lock")  # held until the test ends
    world.lock.acquire()
    return world.typed()


@wrong("run-locked", "another process is writing")
def unfinished_folder_of_a_run_that_goes_on(world):
    (world.run_folder() / rundir.RESULTS).unlink()
    return CASES["folder_of_a_run_that_goes_on"].arrange(world)


@wrong("damaged-run", "config.json cannot be read")
def config_of_the_folder_corrupt(world):
    config = world.run_folder() / rundir.CONFIG
    config.write_text(config.read_text()[:100])
    return world.typed()


@wrong("other-run", "holds a run with another configuration (finished)")
def folder_of_another_run(world):
    return world.typed("--experiment_name", "earlier", "--lr", "0.5")


@wrong("not-a-run", "exists and is no run folder")
def folder_of_something_else(world):
    (world.out / NAME).mkdir()
    (world.out / NAME / "notes.txt").write_text("mine")
    return world.typed("--overwrite")


@wrong("no-run", "holds no run to resume")
def resume_of_no_run(world):
    return ["--resume", world.tmp]


@wrong("other-config", "other flags differ from it")
def resume_with_other_flags(world):
    (world.run_folder() / rundir.RESULTS).unlink()
    return ["--resume", world.out / NAME, "--r", "4"]


# ---- on the way -----------------------------------------------------------------------------------------------------


def failing(world: World, place: str, error: BaseException) -> list[object]:
    """Let the function at `place` raise."""

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    world.patch.setattr(place, fail)
    return world.typed()


@wrong("disk-full", "no space left while writing to", begins=True)
def disk_full_while_saving_the_adapter(world):
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    return failing(world, "peft.peft_model.safe_save_file", error)


@wrong("disk-full", "no space left while writing to", begins=True)
def disk_full_while_saving_the_optimizer(world):
    error = RuntimeError("[enforce fail at inline_container.cc:626] . PytorchStreamWriter failed writing file data/0")
    return failing(world, "torch.save", error)


@wrong("disk-full", "no space left while writing to", begins=True)
def disk_full_while_saving_the_trainers_state(world):
    error = OSError(errno.ENOSPC, "No space left on device")
    return failing(world, "transformers.trainer.TrainerState.save_to_json", error)


@wrong("disk-full", "no space left while writing to", begins=True)
def disk_full_while_measuring(world):
    return failing(world, "lorascope.measure.journal.os.write", OSError(errno.ENOSPC, "No space left on device"))


@wrong("disk-full", "no space left while writing to")
def disk_full_before_the_run_begins(world):
    return failing(world, "pathlib.Path.mkdir", OSError(errno.ENOSPC, "No space left on device"))


@wrong("nan-loss", "last good checkpoint", begins=True)
def learning_rate_that_explodes(world):
    return world.typed("--lr", "1e30")


@wrong("out-of-memory", "out of memory with batches of 2 rows", begins=True)
def memory_of_the_gpu(world):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")
    return failing(world, "transformers.Trainer.training_step", error)


@wrong("out-of-memory", "out of memory with batches of 2 rows", begins=True)
def memory_of_the_machine(world):
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory")
    return failing(world, "transformers.Trainer.training_step", error)


@wrong("out-of-memory", "the evaluation did not fit into memory with 8,192 tokens at a time", begins=True)
def memory_of_the_evaluation(world):
    return failing(world, "transformers.generation.GenerationMixin.generate", torch.OutOfMemoryError("out of memory"))
