"""The probe of a configuration: model and data loaded, the profile's folder written, pictures included."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from lorascope.analysis.sensitivity import SensitivityProfile
from lorascope.config.experiment import ExperimentConfig
from lorascope.errors import RunError
from lorascope.measure.probing.collect import ProbeSettings
from lorascope.models.adapters import select, wrap
from lorascope.models.base import BaseModel, default_device, load_base
from lorascope.models.modules import find_modules
from lorascope.report.page import page_of_profile
from lorascope.report.profile_plots import draw_profile
from lorascope.report.terminal import Console
from lorascope.runs import rundir
from lorascope.runs.length_matching import match_lengths
from lorascope.runs.logs import Captured, captured
from lorascope.runs.probe import ProbeOptions, probe_examples
from lorascope.tasks import find_task
from lorascope.tasks.split import TrainingData, load_training, split
from lorascope.training.run import build_trainer, prepare


def probe_config(
    config: ExperimentConfig,
    options: ProbeOptions,
    folder: Path,
    *,
    after: int = 0,
    overwrite: bool = False,
    beside: Sequence[ExperimentConfig] = (),
    console: Console | None = None,
) -> SensitivityProfile:
    """Probe the model and the task of a configuration and write the profile into `folder`.

    `options` says how much is looked at; its scores' r, alpha and learning rate are the configuration's. With `after`,
    uniform adapters on the target are trained for so many steps first, on half of the rows, and the gradients of the
    other half are taken where they have come to. With `beside`, the rows are such whose lengths the tasks of these
    configurations have as well. A profile of the same configuration is only loaded. Errors: LorascopeErrors.
    """
    console = console or Console()
    # On a machine without accelerator it joins several processes only if it is told so.
    state = PartialState(cpu=default_device().type == "cpu")
    options = complete(config, options)
    key = fingerprint(config, options, after, beside)
    there = _there(folder, key, overwrite=overwrite)
    state.wait_for_everyone()  # every process looks before the first one writes
    if there:
        console.out(f"{folder} holds this profile already; nothing was changed")
        return SensitivityProfile.load(folder)
    with rundir.locked(folder, only=state.is_main_process), captured(verbose=console.verbose) as caught:
        task = find_task(config.data)
        training = load_training(task, config.data)
        console.note(training.describe())
        base = load_base(config.model)
        console.note(*(f"  note      {note}" for note in base.notes))
        model: Any = base.model
        examples, length = training.train, config.data.max_length or task.max_length
        if after:  # a row that was trained on is no longer like the same prompt with another answer
            taught, examples = split(examples, 0.5, options.settings.seed)
            model = _trained(config, base, replace(training, train=taught), after, console)
        if beside:
            others = [(find_task(other.data), other.data) for other in beside]
            length = min(length, *(data.max_length or other.max_length for other, data in others))
            several = [examples, *(load_training(other, data).train for other, data in others)]
            seed = options.settings.seed
            examples = match_lengths(several, base.tokenizer, max_length=length, loss_on=options.loss_on, seed=seed)[0]
        about = {
            "model": base.model_id,
            "revision": base.revision,
            "dataset": config.data.dataset,
            "data": training.provenance,
            "after": after,
            "lengths_matched_with": [other.data.dataset for other in beside],
            "fingerprint": key,
            "notes": [*base.notes, *training.notes],
        }
        profile = probe_examples(
            model, base.tokenizer, examples, replace(options, max_length=length), about=about, console=console
        )
        if state.is_main_process:
            _write(profile, folder, f"{config.data.task_name} on {Path(config.model.model_id).name}", caught)
    return profile


def _write(profile: SensitivityProfile, folder: Path, title: str, caught: Captured) -> None:
    """The folder, in place of what was there."""
    if folder.exists():
        rundir.remove(folder)
    with rundir.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        caught.write_to(folder / rundir.LOG)
        for name, figure in draw_profile(profile, title=title).items():
            figure.savefig(folder / f"{name}.png")
        rundir.write_text(folder / rundir.REPORT, page_of_profile(folder, profile))
    profile.save(folder)


def complete(config: ExperimentConfig, options: ProbeOptions) -> ProbeOptions:
    """The options with what the configuration says of the adapter, the rows and the seed."""
    lora, training = config.lora, config.training
    settings: ProbeSettings = replace(
        options.settings,
        r=lora.r,
        alpha=lora.lora_alpha,
        lr=training.lr,
        seed=training.seed,
        checkpointing=training.activation_checkpointing,
    )
    return replace(options, target=lora.target, loss_on=config.data.loss_on, settings=settings)


def fingerprint(
    config: ExperimentConfig, options: ProbeOptions, after: int = 0, beside: Sequence[ExperimentConfig] = ()
) -> str:
    """Sixteen hex digits over everything that can change a profile."""
    kept = {name: asdict(getattr(config, name)) for name in ("model", "data")}
    if after:  # what is trained first depends on the rest of it, too
        kept |= {name: asdict(getattr(config, name)) for name in ("lora", "training")}
    text = json.dumps([kept, asdict(options), after, [asdict(other.data) for other in beside]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _there(folder: Path, key: str, *, overwrite: bool) -> bool:
    """Whether the folder holds this very profile; refuses one that holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / rundir.PROFILE).is_file():
        raise RunError(
            "not-a-run", f"{folder} exists and holds no profile", "--experiment_name OTHER", "--output_dir FOLDER"
        )
    if overwrite:
        return False
    found = rundir.read_json(folder / rundir.PROFILE)
    if found.get("about", {}).get("fingerprint") == key:
        return True
    raise RunError(
        "other-run",
        f"{folder} holds a profile with another configuration",
        "--experiment_name OTHER",
        "--overwrite   (replace it)",
    )


def _trained(config: ExperimentConfig, base: BaseModel, training: TrainingData, steps: int, console: Console) -> Any:
    """The model with uniform adapters after some steps of training, as a run would make them; nothing is kept."""
    at = replace(config.training, max_steps=steps, warmup_steps=None, eval_every=steps, save_every=steps)
    config = replace(config, training=at, evaluation=replace(config.evaluation, enabled=False))
    modules = find_modules(base.model)
    targets = select(modules, config.lora.target, tied=base.tied, model_id=base.model_id)
    adapted = wrap(base, config.lora, targets, seed=at.seed)
    rows = prepare(config, find_task(config.data), base, training.train, training.validation, console=console)
    with tempfile.TemporaryDirectory() as place:
        trainer, _ = build_trainer(config, adapted, rows, Path(place), Path(place) / rundir.CHECKPOINTS, resumed=False)
        console.note(
            f"  training  uniform adapters of rank {config.lora.r} for {steps} steps first, on half of the rows"
        )
        trainer.train()
    return adapted.model
