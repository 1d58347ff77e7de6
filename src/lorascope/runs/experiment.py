"""One experiment: the ten steps of the study, from a configuration to a result folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState

from lorascope.config.experiment import ExperimentConfig
from lorascope.config.load import from_json, to_json
from lorascope.errors import ConfigError, Interrupted, LorascopeError, RunError, TrainingError
from lorascope.evaluation.judge import evaluate_examples
from lorascope.evaluation.metrics import as_asked
from lorascope.evaluation.result import Evaluation
from lorascope.models.adapters import AdaptedModel, wrap
from lorascope.models.base import default_device, load_base
from lorascope.report import style
from lorascope.report.example import show_example
from lorascope.report.page import page_of_run
from lorascope.report.plots import draw_run
from lorascope.report.run_summary import show_rows, show_run
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.adapting import choose, refuse_other_ranks, show_adapters, stored
from lorascope.runs.environment import describe
from lorascope.runs.logs import captured
from lorascope.runs.results import summarise
from lorascope.tasks import find_task
from lorascope.tasks.base import Task
from lorascope.tasks.split import EvaluationData, load_evaluation, load_training
from lorascope.training.checkpoints import drop_after, newest_whole
from lorascope.training.choices import check_choices
from lorascope.training.encoding import pieces
from lorascope.training.phases import depth, draw_phases, outline, plan_phases
from lorascope.training.run import Prepared, ShowProgress, build_trainer, prepare
from lorascope.training.stopping import stop_on_signal
from lorascope.training.trainer import ExperimentTrainer


@dataclass(frozen=True)
class RunRecord:
    """A finished run, read from its folder."""

    folder: Path
    config: ExperimentConfig
    results: dict[str, Any]
    """results_summary.json"""
    gradients: dict[str, Any]
    """gradient_analysis.summary.json"""
    evaluation: dict[str, Any] | None
    """{dataset}_evaluation.json, None without evaluation"""
    base_evaluation: dict[str, Any] | None
    """base_evaluation.json: the same for the base model without adapters, None without --eval_base"""

    @property
    def measurements(self) -> pd.DataFrame:
        """The tidy table of everything that was measured."""
        return pd.read_parquet(self.folder / rundir.GRADIENT_TABLE)


def load(folder: Path | str) -> RunRecord:
    """Read a finished run. Raises RunError for a folder that is none."""
    folder = Path(folder)
    if rundir.state(folder) != "finished":
        raise RunError("no-run", f"{folder} holds no finished run ({rundir.state(folder)})", "lorascope ls runs")
    config = _read_config(folder)
    evaluation = folder / rundir.evaluation_name(config.data.task_name)
    return RunRecord(
        folder=folder,
        config=config,
        results=rundir.read_json(folder / rundir.RESULTS),
        gradients=rundir.read_json(folder / rundir.GRADIENT_SUMMARY),
        evaluation=_read_if_there(evaluation),
        base_evaluation=_read_if_there(folder / rundir.BASE_EVALUATION),
    )


def _read_if_there(file: Path) -> dict[str, Any] | None:
    return rundir.read_json(file) if file.is_file() else None


def run(
    config: ExperimentConfig | None = None,
    *,
    resume: Path | str | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunRecord:
    """Run an experiment, or go on with an unfinished one; a finished one of the same configuration is only loaded.

    Raises a LorascopeError for everything that is recognised, Interrupted after a signal among them. Until model and
    data are there and fit together nothing on disk is touched.
    """
    console = console or Console()
    # The first PartialState decides; on a machine without accelerator it joins several processes only if it is told so.
    PartialState(cpu=default_device().type == "cpu")
    folder, config, found = _open(config, Path(resume) if resume else None, overwrite)
    outline(config)  # phases that do not fit are refused before anything is loaded
    if found == "finished" and not overwrite:
        refuse_other_ranks(config.lora, folder)
        console.out(f"{folder} is finished with this configuration; nothing was changed")
        return load(folder)
    started = time.monotonic()
    main = PartialState().is_main_process
    with rundir.locked(folder, only=main), captured(verbose=console.verbose) as caught, _explained(config, folder):
        task = as_asked(find_task(config.data), config.evaluation)
        training = load_training(task, config.data)
        held_out = None
        if config.evaluation.enabled:
            held_out = load_evaluation(task, config.data, config.evaluation.eval_samples, training=training)
        console.note(*(data.describe() for data in (training, held_out) if data))

        base = load_base(config.model)
        console.note(*(f"  note      {note}" for note in base.notes))
        chosen = choose(base, config.lora, file=stored(folder) if resume else None)
        phases = plan_phases(config, depth(chosen.modules))
        adapted = wrap(base, config.lora, chosen.targets, seed=config.training.seed, allocation=chosen.allocation)
        check_choices(config, adapted)
        rows = prepare(config, task, base, training.train, training.validation, console=console)
        console.note(*(f"  note      {note}" for note in rows.notes))
        budget = show_adapters(chosen, adapted, config.lora, console)
        show_rows(rows, console)
        show_example(pieces(rows.train[0], base.tokenizer, config.data.loss_on), console)
        if phases:
            console.out("phases, by updates done:", *draw_phases(phases, config.training.max_steps))

        checkpoint = _begin(folder, config, resumed=resume is not None, only=main)
        if main:
            caught.write_to(folder / rundir.LOG)
            if chosen.allocation:
                rundir.write_text(folder / rundir.ALLOCATION, chosen.allocation.to_json())
        trainer = _train(config, adapted, rows, folder, checkpoint, console)

        if main:
            with rundir.writing(folder):
                adapted.model.save_pretrained(str(folder / rundir.FINAL_MODEL))
                adapted.tokenizer.save_pretrained(folder / rundir.FINAL_MODEL)
            results = summarise(config, adapted, rows, training, held_out, trainer, checkpoint) | {"budget": budget}
            _draw(folder, config, trainer, results)
            if held_out:
                _evaluate(folder, config, task, adapted, held_out, rows.max_length, console)
            results["seconds"]["total"] = round(time.monotonic() - started, 1)
            results["warnings"] = caught.warnings
            facts = describe(str(base.device)) | {
                "seconds": results["seconds"],
                "peak_memory_bytes": results["peak_memory_bytes"],
            }
            rundir.write_json(folder / rundir.ENVIRONMENT, facts)
            rundir.write_text(folder / rundir.REPORT, page_of_run(folder, results))
            rundir.write_json(folder / rundir.RESULTS, results)
    if not main:  # no barrier: those time out after minutes, and an evaluation may take hours
        rundir.wait(folder)
    record = load(folder)
    if main:
        show_run(folder, record.results, record.gradients, record.evaluation, record.base_evaluation, console)
    return record


def _open(
    config: ExperimentConfig | None, resume: Path | None, overwrite: bool
) -> tuple[Path, ExperimentConfig, rundir.State]:
    """The run's folder, configuration and state; refuses a folder that holds something else."""
    if resume is not None:
        if rundir.state(resume) not in ("unfinished", "finished"):
            raise RunError("no-run", f"{resume} holds no run to resume ({rundir.state(resume)})", "lorascope ls runs")
        stored = _read_config(resume)
        if config is not None:
            # What is generated together may change: a run whose evaluation did not fit into memory goes on.
            together = config.evaluation.eval_batch_tokens
            stored = replace(stored, evaluation=replace(stored.evaluation, eval_batch_tokens=together))
        if config is not None and config.hash != stored.hash:
            raise ConfigError(
                "other-config",
                f"--resume goes on with the configuration in {resume / rundir.CONFIG}; other flags differ from it",
                rundir.resume_command(resume),
            )
        return resume, stored, rundir.state(resume)
    config = config or ExperimentConfig()
    folder = Path(config.output_dir) / config.run_name
    found = rundir.state(folder)
    PartialState().wait_for_everyone()  # every process looks before the first one writes
    if found == "foreign":  # --overwrite replaces runs, never what somebody else keeps there
        raise RunError(
            "not-a-run", f"{folder} exists and is no run folder", "--experiment_name OTHER", "--output_dir FOLDER"
        )
    if overwrite or found == "absent":
        return folder, config, found
    if found == "unfinished":
        with rundir.locked(folder, only=PartialState().is_main_process):
            pass  # somebody who is writing it just now is told so, not offered to resume or to replace it
    try:
        same = _read_config(folder).hash == config.hash
    except LorascopeError as error:
        raise RunError(
            "damaged-run", error.what, "--overwrite   (replace the run)", "--experiment_name OTHER"
        ) from error
    if found == "finished" and same:
        return folder, config, found
    if found == "unfinished" and same:
        raise RunError(
            "unfinished",
            f"{folder} holds this run, unfinished",
            rundir.resume_command(folder),
            "--overwrite   (start again from nothing)",
        )
    raise RunError(
        "other-run",
        f"{folder} holds a run with another configuration ({found})",
        "--experiment_name OTHER",
        "--output_dir FOLDER",
        "--overwrite   (replace it)",
    )


def _read_config(folder: Path) -> ExperimentConfig:
    """The configuration of a run folder."""
    rundir.read_json(folder / rundir.CONFIG)  # a readable message for a damaged file
    return from_json((folder / rundir.CONFIG).read_text(encoding="utf-8"))


def _begin(folder: Path, config: ExperimentConfig, *, resumed: bool, only: bool) -> Path | None:
    """Make the folder ready, replacing what --overwrite replaces; the checkpoint to go on from, None for a new run."""
    checkpoints = folder / rundir.CHECKPOINTS
    whole = newest_whole(checkpoints) if resumed else None
    PartialState().wait_for_everyone()
    if only:
        with rundir.writing(folder):
            if resumed:
                drop_after(checkpoints, whole[0] if whole else 0)
            elif folder.exists():
                rundir.remove(folder)
            folder.mkdir(parents=True, exist_ok=True)
        rundir.write_text(folder / rundir.CONFIG, to_json(config))
    PartialState().wait_for_everyone()
    return whole[1] if whole else None


def _train(
    config: ExperimentConfig,
    adapted: AdaptedModel,
    rows: Prepared,
    folder: Path,
    checkpoint: Path | None,
    console: Console,
) -> ExperimentTrainer:
    """Train to the end, or to the user's stop: then Interrupted, with a whole checkpoint."""
    trainer, flow = build_trainer(
        config, adapted, rows, folder, folder / rundir.CHECKPOINTS, resumed=checkpoint is not None
    )
    with console.progress(config.training.max_steps, "train") as bar, stop_on_signal(flow, console.note):
        trainer.add_callback(ShowProgress(bar, trainer.gradient_callback))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if flow.stopped:
        raise Interrupted(
            "interrupted",
            f"stopped after step {trainer.state.global_step} of {config.training.max_steps}, saved",
            rundir.resume_command(folder),
        )
    return trainer


def _draw(folder: Path, config: ExperimentConfig, trainer: ExperimentTrainer, results: dict[str, Any]) -> None:
    title = f"{config.run_name}: {config.data.dataset} on {Path(config.model.model_id).name}"
    figures = draw_run(
        trainer.gradient_callback.log.table(),
        results,
        title=title,
        layer_norm=config.gradient_analysis.layer_norm,
        phases=[(phase["start_step"], phase["end_step"], phase["name"]) for phase in results["phases"]],
    )
    with rundir.writing(folder):
        for name, figure in figures.items():
            style.save(figure, folder / name)


def _evaluate(
    folder: Path,
    config: ExperimentConfig,
    task: Task,
    adapted: AdaptedModel,
    held_out: EvaluationData,
    max_length: int,
    console: Console,
) -> None:
    def judge(adapter: str | None) -> Evaluation:
        return evaluate_examples(
            adapted.model,
            adapted.tokenizer,
            task,
            held_out,
            config.evaluation,
            max_length=max_length,
            about={"base": config.model.model_id, "adapter": adapter},
            console=console,
        )

    if config.evaluation.base:
        with adapted.model.disable_adapter():
            base = judge(None)
        rundir.write_json(folder / rundir.BASE_EVALUATION, base.to_dict())
    evaluation = judge(rundir.FINAL_MODEL)
    if config.evaluation.samples:
        rundir.write_lines(folder / rundir.SAMPLES, evaluation.samples)
    rundir.write_json(folder / rundir.evaluation_name(config.data.task_name), evaluation.to_dict())


@contextmanager
def _explained(config: ExperimentConfig, folder: Path) -> Iterator[None]:
    """Turn what a run can meet on its way, and what the user can mend, into errors that say how to go on."""
    try:
        with rundir.writing(folder):
            yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted", "stopped; what was saved before is whole", _go_on(folder, config)) from None
    except RunError as error:
        if error.code != "disk-full":
            raise
        raise RunError(error.code, error.what, f"free some space, then: {_go_on(folder, config)}") from error
    except TrainingError as error:
        whole = newest_whole(folder / rundir.CHECKPOINTS)
        last = f"; last good checkpoint: {whole[1]}" if whole else "; no checkpoint was written yet"
        raise TrainingError(error.code, error.what + last, *_tries(error, folder, config)) from error
    except LorascopeError:
        raise
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if _lost_process(error):
            what = "another process of this run has ended or cannot be reached; see what it said"
            raise RunError("process-lost", what, _go_on(folder, config)) from error
        if not _out_of_memory(error):
            raise
        batch, accum = config.training.batch_size, config.training.grad_accum
        smaller = max(rows for rows in range(1, max(1, batch // 4) + 1) if batch % rows == 0)
        same = f"--batch_size {smaller} --grad_accum {accum * batch // smaller}"
        reason = next(iter(str(error).splitlines()), "no memory left")[:160]
        raise TrainingError(
            "out-of-memory",
            f"out of memory with batches of {batch} rows: {reason}",
            *([f"{same}{_replacing(folder)}   (the same rows per step)"] if batch > 1 else []),
            f"--activation_checkpointing{_replacing(folder)}",
        ) from error


def _go_on(folder: Path, config: ExperimentConfig) -> str:
    """What to type after a stop: resume where the folder holds this very run, unfinished."""
    if rundir.state(folder) == "unfinished" and _read_config(folder).hash == config.hash:
        return rundir.resume_command(folder)
    return "the same command again"


def _replacing(folder: Path) -> str:
    """What other flags need beside them where the folder holds a run already."""
    return "" if rundir.state(folder) == "absent" else " --overwrite"


def _tries(error: TrainingError, folder: Path, config: ExperimentConfig) -> tuple[str, ...]:
    """What helps after an error of the training, in flags of this run."""
    if error.code == "nan-loss":
        return (f"--lr {config.training.lr / 10:g}{_replacing(folder)}   (a tenth of what was used)",)
    if error.code == "out-of-memory" and rundir.state(folder) == "unfinished":
        return tuple(
            rundir.resume_command(folder, *text.split()) if text.startswith("--eval_batch_tokens ") else text
            for text in error.tries
        )
    return error.tries


def _lost_process(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, torch.distributed.DistError) or (
        "Connection closed by peer" in text or "Connection reset by peer" in text
    )


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "can't allocate memory" in text
        or "out of memory" in text
    )
