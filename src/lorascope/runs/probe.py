"""`lorascope.probe`: from a model and examples to a sensitivity profile, with nothing trained."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config import scores as menu
from lorascope.config.experiment import DataConfig, ModelConfig, Target
from lorascope.errors import ConfigError, DataError, Interrupted, ModelError
from lorascope.measure.probing.collect import Enough, ProbeSettings, collect
from lorascope.measure.probing.gradients import Loss
from lorascope.measure.probing.memory import memory, size_text
from lorascope.measure.probing.parts import find_weights, probed
from lorascope.measure.probing.trial import trial
from lorascope.models.base import context_length, load_base
from lorascope.models.modules import bare, embeddings_are_tied, find_modules
from lorascope.report.terminal import Console
from lorascope.runs.environment import describe, peak_memory_bytes
from lorascope.runs.probe_batches import TOO_FEW, draw_batches
from lorascope.runs.profiled import profile_of, tau_of, with_trial
from lorascope.runs.shuffled_answers import shuffle_answers
from lorascope.tasks import find_task
from lorascope.tasks.base import Example
from lorascope.tasks.columns import recognise, to_row
from lorascope.tasks.custom import to_example
from lorascope.tasks.files import Record
from lorascope.tasks.split import load_training

TRIAL_OFF = 0.05
"""A trial's attribution whose sum is further off the measured drop, as a share of it, is warned of."""
MAX_LENGTH = 512
"""Tokens of a row where no task says otherwise."""

STOPPED = "stopped by the user"

Rows = str | Sequence[Example] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """How much a probe looks at."""

    batches: int = 96
    """At most so many; a batch is what an optimizer step would see."""
    batch_size: int = 8
    """Rows of a micro-batch."""
    grad_accum: int = 1
    """Micro-batches of a batch. More than one takes the memory of all gradients once more."""
    tau: float = 0.9
    """Enough batches: halves of them agree on the order of the modules (Kendall's tau). 1 is never reached."""
    time_limit: float | None = None
    """Enough seconds, the control's included."""
    control: bool = True
    """Probe as many batches of the same prompts with each other's answers, which the verdict is held against."""
    max_length: int | None = None
    """Longest row in tokens [the task's; 512 for examples]."""
    loss_on: str = "answer"
    """answer, or all tokens."""
    target: Target = "both"
    """Which modules: attention and MLP, and what is neither (both); embedding and head too (all); or some of them."""
    settings: ProbeSettings = field(default_factory=ProbeSettings)

    def __post_init__(self) -> None:
        for name, least in (("batches", 2), ("batch_size", 1), ("grad_accum", 1)):
            if getattr(self, name) < least:
                raise ConfigError("config-value", f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ConfigError("config-value", f"time_limit must be positive, got {self.time_limit}", "time_limit=600")
        if not 0 < self.tau <= 1:
            raise ConfigError("config-value", f"tau must be above 0 and at most 1, got {self.tau}", "tau=0.9")


def probe(
    model: str | PreTrainedModel | Any,
    tokenizer: Any = None,
    examples: Rows | None = None,
    *,
    r: int = 8,
    alpha: float = 32.0,
    lr: float = 2e-4,
    scores: Sequence[str] = (),
    batches: int = 96,
    batch_size: int = 8,
    grad_accum: int = 1,
    tau: float = 0.9,
    time_limit: float | None = None,
    control: bool = True,
    max_length: int | None = None,
    loss_on: str = "answer",
    target: Target = "both",
    checkpointing: bool = False,
    directions: int = 64,
    trial_steps: int = 30,
    seed: int = 0,
    console: Console | None = None,
) -> SensitivityProfile:
    """How sensitive every module of a model is to a task, before any training: frozen weights, no adapters.

        lorascope.probe("Qwen/Qwen2.5-0.5B", "support.jsonl")
        lorascope.probe(model, tokenizer, examples)

    `model` is a name or folder, or a loaded model, with trained adapters on it or not. Data: the name of a task, a
    file, a hub data set, or rows: {"prompt", "target"}, {"messages"}, {"text"}, or Examples. Training rows only. `r`,
    `alpha` and `lr` are those of the adapter that might be trained; `scores` are scores on request. It stops when the
    ranking of the modules is stable (`tau`), at `time_limit` seconds, or after `batches`; Ctrl-C keeps what there is.
    Then as many batches are probed with each other's answers, the control that the verdict is held against: without it
    nothing is decided, for attention and MLP differ in any model. The model is unchanged afterwards. Raises
    LorascopeErrors.
    """
    if examples is None:
        tokenizer, examples = None, tokenizer
    if examples is None:
        raise ConfigError("no-task", "a probe needs data", "lorascope.probe(model, tokenizer, examples)")
    options = ProbeOptions(
        batches=batches, batch_size=batch_size, grad_accum=grad_accum, tau=tau, time_limit=time_limit, control=control,
        max_length=max_length, loss_on=loss_on, target=target,
        settings=ProbeSettings(
            r=r, alpha=alpha, lr=lr, scores=tuple(scores), directions=directions, trial_steps=trial_steps, seed=seed,
            checkpointing=checkpointing,
        ),
    )  # fmt: skip
    about: dict[str, Any] = {}
    if isinstance(model, str):
        base = load_base(ModelConfig(model_id=model))
        model, tokenizer = base.model, tokenizer or base.tokenizer
        about = {"model": base.model_id, "revision": base.revision, "notes": list(base.notes)}
    if tokenizer is None:
        raise ConfigError(
            "no-tokenizer", "a loaded model needs its tokenizer", "lorascope.probe(model, tokenizer, ...)"
        )
    if isinstance(examples, str):
        task = find_task(DataConfig(dataset=examples))
        training = load_training(task, DataConfig(dataset=examples))
        about |= {"dataset": examples, "data": training.provenance}
        options = replace(options, max_length=options.max_length or task.max_length)
        examples = training.train
    return probe_examples(model, tokenizer, as_examples(examples), options, about=about, console=console)


def as_examples(rows: Sequence[Example] | Sequence[Mapping[str, Any]]) -> list[Example]:
    """Rows as examples: what `--dataset FILE` makes of the same records."""
    if all(isinstance(row, Example) for row in rows):
        return [row for row in rows if isinstance(row, Example)]
    records = [Record(f"example {i + 1}", row) for i, row in enumerate(rows) if isinstance(row, Mapping)]
    if len(records) != len(rows):
        raise DataError(
            "no-column", "examples must all be Examples, or all be mappings", '{"prompt": ..., "target": ...}'
        )
    columns = recognise(records[0], DataConfig())
    found = [to_row(record, columns, str(i)) for i, record in enumerate(records)]
    return [to_example(row, columns) for row in found if row is not None]


def probe_examples(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    options: ProbeOptions,
    *,
    about: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> SensitivityProfile:
    """The probe itself, on a loaded model, and its control. `about` joins what the profile says of itself (model, data,
    notes). A profile without control has a note that says why: texts without prompts, a probe that the user stopped,
    too few rows that fit once each has another one's answer."""
    console = console or Console()
    possible = options.control and not any(example.is_text for example in examples)
    profile = _probe(model, tokenizer, examples, replace(options, control=possible), about or {}, console)
    if not options.control:
        return profile
    why = _no_control(profile, examples)
    if not why:
        console.note("  control   the same prompts with each other's answers")
        settings: ProbeSettings = replace(options.settings, scores=())
        shuffled = shuffle_answers(examples, settings.seed)
        same = replace(options, batches=profile.n, tau=1.0, settings=settings)
        told = {**(about or {}), "answers": "shuffled"}
        try:
            return replace(profile, control=_probe(model, tokenizer, shuffled, same, told, console, name="control"))
        except DataError as error:  # the profile itself is whole by now
            if error.code != TOO_FEW:
                raise
            why = "no control: with each other's answers too few rows fit, so attention against MLP stays undecided"
    console.note(f"  note      {why}")
    return replace(profile, about={**profile.about, "notes": [*profile.about["notes"], why]})


def _no_control(profile: SensitivityProfile, examples: Sequence[Example]) -> str:
    """Why there can be no control, in words; "" where there can."""
    if any(example.is_text for example in examples):
        return "no control: texts without prompts have no answers to exchange, so attention against MLP stays undecided"
    if profile.about["stopped"] == STOPPED:
        return "no control: the probe was stopped before it, so attention against MLP stays undecided"
    return ""


def _probe(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    options: ProbeOptions,
    about: Mapping[str, Any],
    console: Console,
    *,
    name: str = "probe",
) -> SensitivityProfile:
    """One pass over batches of the examples."""
    started = time.monotonic()
    inner: Any = bare(model)
    if inner.config.is_encoder_decoder:
        raise ModelError(
            "encoder-decoder",
            f"{type(inner).__name__} reads prompt and answer in two stacks of layers, and a profile compares one",
            "model, a causal language model such as Llama, Qwen, Gemma, GPT-2",
        )
    modules = find_modules(model)
    model_id = about.get("model") or getattr(inner.config, "_name_or_path", "") or type(inner).__name__
    chosen = probed(modules, options.target, tied=embeddings_are_tied(model), model_id=model_id)
    weights = find_weights(model, chosen)
    drawn = draw_batches(
        examples,
        tokenizer,
        count=options.batches,
        batch_size=options.batch_size,
        grad_accum=options.grad_accum,
        max_length=min(options.max_length or MAX_LENGTH, context_length(inner.config) or sys.maxsize),
        loss_on=options.loss_on,
        seed=options.settings.seed,
    )
    looked_at = {weight.parts[0].module.path for weight in weights}
    needed = memory(model, weights, drawn.batches, options.settings)
    if name == "probe":
        parts = ", ".join(f"{what} {size_text(size)}" for what, size in needed.items())
        console.note(f"  memory    about {size_text(sum(needed.values()))}: {parts}")
        console.note(*(f"  note      {note}" for note in drawn.notes))
    watch = _Watch(options, started)
    with console.progress(len(drawn.batches), name) as bar, watch.on_interrupt(console):

        def progress(done: int, loss: Loss) -> None:
            bar.update(done, loss=loss.mean, **({"tau": watch.tau} if watch.tau == watch.tau else {}))

        found = collect(model, weights, drawn.batches, options.settings, enough=watch.enough, progress=progress)
    facts = {
        "model": model_id,
        "architecture": type(inner).__name__,
        **about,
        "options": asdict(options),
        "stopped": watch.reason(len(found.nats), len(drawn.batches)),
        "rows": len(found.nats) * options.batch_size * options.grad_accum,
        "tokens": int(found.tokens.sum()),
        "tokens_per_row": {"prompt": round(drawn.prompt_tokens, 1), "answer": round(drawn.answer_tokens, 1)},
        "left_out": [module.path for module in modules if module.path not in looked_at],
        "memory_bytes": needed,
        "peak_memory_bytes": peak_memory_bytes(),
        "seconds": round(time.monotonic() - started, 1),
        "environment": describe(str(weights[0].parameter.device)),
    }
    facts["notes"] = [*facts.get("notes", ()), *drawn.notes]
    profile = profile_of(found, facts)
    if set(menu.OF_TRIAL) & set(options.settings.scores):
        profile = _tried(profile, model, weights, drawn.batches, options.settings, console)
    return profile


def _tried(
    profile: SensitivityProfile, model: Any, weights: Any, batches: Any, settings: ProbeSettings, console: Console
) -> SensitivityProfile:
    """The profile with what a trial training says; what it did stands in `about`, a sum that is off in the notes."""
    targets = [weight.parts[0].module for weight in weights if weight.parts[0].module.group != "other"]
    with console.progress(settings.trial_steps, "trial") as bar:
        found = trial(
            model, weights, targets, batches, steps=settings.trial_steps, r=settings.r, alpha=settings.alpha,
            lr=settings.lr, seed=settings.seed, blocks=profile.scores["signal"].blocks,
            checkpointing=settings.checkpointing, progress=bar.update,
        )  # fmt: skip
    said = []
    if found.off > TRIAL_OFF:
        said.append(
            f"the trial's attribution sums to {100 * found.off:.0f} % off the measured drop of {found.drop:.3g} nats "
            "per token: smaller steps (--lr) make it exact"
        )
        console.note(f"  note      {said[0]}")
    about = {
        **profile.about,
        "trial": {"steps": found.steps, "held_out_rows": found.rows, "drop": found.drop, "off": found.off},
        "notes": [*profile.about["notes"], *said],
    }
    return with_trial(replace(profile, about=about), found)


# ---- when it is enough -----------------------------------------------------------------------------------------------


class _Watch:
    """Looks at the clock, the ranking and the keyboard."""

    def __init__(self, options: ProbeOptions, started: float) -> None:
        self.options = options
        self.started = started
        self.interrupted = False
        self.tau = math.nan
        self._why = ""
        self.enough: Enough = self._enough

    def _enough(self, done: int, look: Any) -> bool:
        blocks, limit = self.options.settings.blocks, self.options.time_limit
        mine = limit / 2 if limit is not None and self.options.control else limit
        if done % blocks == 0 and done >= 2 * blocks:
            self.tau = tau_of(look())
            if self.tau >= self.options.tau:
                self._why = "ranking stable"
        if self.interrupted and done >= 2:
            self._why = STOPPED
        elif mine is not None and time.monotonic() - self.started > mine and done >= 2:
            self._why = f"time limit of {limit:g} s"
        return bool(self._why)

    def reason(self, done: int, planned: int) -> str:
        """Why it stopped, in words."""
        if not self._why and done < planned:
            return "another process had enough"
        return self._why or "all batches done"

    @contextmanager
    def on_interrupt(self, console: Console) -> Iterator[None]:
        """Let the first Ctrl-C stop after this batch; a second one raises KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            console.note("stopping after this batch (again: now)")

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted("interrupted", "stopped; nothing was saved", "the same command again") from None
        finally:
            signal.signal(signal.SIGINT, before)
