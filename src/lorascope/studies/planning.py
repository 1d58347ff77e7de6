"""What a study would do: its grid, budgets, time, disk, and the differences that its seeds can see. Nothing starts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lorascope.analysis import paired
from lorascope.analysis.hypotheses import Hypothesis
from lorascope.config.experiment import ExperimentConfig
from lorascope.models import embedded
from lorascope.report.terminal import Console, short
from lorascope.runs import rundir
from lorascope.runs.plan import model_line
from lorascope.studies import results
from lorascope.studies.design import Choices, Study, Trial, jobs_of, main_trials, tuning_trials
from lorascope.studies.like_lengths import rows_there
from lorascope.studies.whole import done
from lorascope.tasks import find_task

FIXED_SECONDS = 5.0
"""Of a run beside its training: loading, pictures, saving."""
FIXED_BYTES = 2_000_000
"""Of a run folder beside adapters and checkpoints: pictures, page, tables."""
EFFICIENCY = 0.5
"""Share of a plain matrix product's speed that training reaches; rough."""
TESTS = 2
"""Times that test rows are read: with the adapters, and without some or all of them."""


def plan_study(study: Study, folder: Path, jobs: int, console: Console) -> dict[str, Any]:
    """Print the plan; returns it."""
    rows = rows_there(folder)
    tuning = tuning_trials(study, folder, rows)
    pending = Choices(rows=rows, allocations=dict.fromkeys(study.cells, "allocation_from_the_tuning_runs.json"))
    main = main_trials(study, folder, pending)
    runs = [*jobs_of(tuning), *jobs_of(main)]
    there = [trial for trial in runs if done(trial.folder)]
    console.out(f"{study.name}: {study.title}", f"  {_grid(study, tuning, main)}")
    budgets = _budgets(study, main, console)
    seconds, basis = _seconds(runs, there, jobs)
    left = len(runs) - len(there)
    wall = seconds * math.ceil(left / jobs)
    size = sum(_bytes(trial.config, budgets.get(trial.arm) or 0) for trial in runs)
    console.out(
        f"  {left} of {len(runs)} runs are left; {jobs} at a time: about {_time(wall)} ({basis})",
        f"  about {size / 1e9:.1f} GB in {folder}",
    )
    visible = _visible(study, folder, [*tuning, *main], console)
    console.out("Nothing was started.")
    return {
        "study": study.to_dict(), "folder": str(folder), "runs": len(runs), "finished": len(there), "jobs": jobs,
        "parameters": budgets, "seconds": round(wall), "bytes": size, "smallest_visible": visible,
    }  # fmt: skip


def _grid(study: Study, tuning: Sequence[Trial], main: Sequence[Trial]) -> str:
    cells = f"{len(study.tasks)} tasks x {len(study.arms)} arms"
    if study.left_out:
        cells = f"({cells} - {len(study.left_out)} cells left out)"
    text = f"{len(main)} runs = {cells} x {len(study.seeds)} seeds"
    if shared := len(main) - len(list(jobs_of(list(main)))):
        text += f", {shared} of them the same as others"
    if study.early_only:
        ended = ", ".join(task for task in study.tasks if task in study.early_only)
        text += f"; runs of {ended} end with the early window"
    if tuning:
        why = f"learning rates {', '.join(study.lrs)}" if study.lrs else "weight norms"
        text += f"; {len(list(jobs_of(list(tuning))))} runs before them for {why}"
    return text


def _budgets(study: Study, main: Sequence[Trial], console: Console) -> dict[str, int | None]:
    """Trained parameters of each arm, on the empty model where its checkpoint lies here; printed beside its budget."""
    first = {trial.arm: trial.config for trial in reversed(main)}
    model = next(iter(first.values())).model
    console.out(f"  model {model_line(model.model_id)}")
    counts: dict[str, int | None] = dict.fromkeys(study.arms)
    asked: dict[str, list[int | None]] = {arm: [None, None] for arm in study.arms}
    if (embedded.folder_of(model.model_id) / "config.json").is_file():
        from lorascope.models.adapters import parameter_counts, wrap  # torch, but only here
        from lorascope.models.base import load_config_only
        from lorascope.runs.adapting import choose

        for arm, config in first.items():
            if study.pilot(arm) is None:
                base = load_config_only(config.model)
                chosen = choose(base, config.lora)
                adapted = wrap(base, config.lora, chosen.targets, seed=0, allocation=chosen.allocation)
                counts[arm] = parameter_counts(adapted.model)["trained"]
                facts = chosen.facts(counts[arm] or 0)
                asked[arm] = [facts["asked"], facts["used"]] if facts else [None, None]
        for arm in first:
            if pilot := study.pilot(arm):
                counts[arm] = counts[pilot]
    rows = [
        [
            f"  {arm}",
            f"as {study.pilot(arm)} trained" if study.pilot(arm) else first[arm].lora.words,
            *asked[arm],
            counts[arm],
        ]
        for arm in study.arms
        if arm in first
    ]
    console.table(["  arm", "adapters", "parameters asked", "used", "trained"], rows)
    return counts


def _seconds(runs: Sequence[Trial], there: Sequence[Trial], jobs: int) -> tuple[float, str]:
    """(seconds of a run, where that comes from)."""
    if there:
        took = [rundir.read_json(trial.folder / rundir.RESULTS)["seconds"]["total"] for trial in there]
        return fmean(took), f"the {len(there)} finished ones took {fmean(took):.0f} s each"
    speed = _speed() * max(1, len(os.sched_getaffinity(0)) // jobs)
    each = [FIXED_SECONDS + _flops(trial.config) / speed for trial in runs]
    return fmean(each), "rough, from tokens and parameters on this processor; a GPU is faster"


def _flops(config: ExperimentConfig) -> float:
    """Of a run's forward passes, 2 per parameter and token, and of its backward passes, as many, since frozen weights
    have no gradient of their own. Prompts and answers are taken as half as long as they may be.
    """
    line = model_line(config.model.model_id)
    size = float(line.rpartition(", ")[2].split()[0].replace(",", "")) if line.endswith("parameters") else 1e9
    t = config.training
    tokens = (config.data.max_length or find_task(config.data).max_length) / 2
    trained = t.max_steps * t.batch_size * t.grad_accum
    validated = config.data.num_samples * config.data.validation_split * (1 + t.max_steps // t.validate_every)
    return size * tokens * (4 * trained + 2 * validated + 2 * TESTS * config.evaluation.eval_samples)


def _speed() -> float:
    """Operations that training can count on for a second of one core, from one matrix product.

    Seconds of the processor, so that it is no slower on a machine that is busy with something else.
    """
    import numpy as np

    a = np.ones((512, 512), dtype=np.float32)
    a @ a
    begun = time.process_time()
    for _ in range(20):
        a @ a
    return EFFICIENCY * 20 * 2 * 512**3 / (time.process_time() - begun)


def _bytes(config: ExperimentConfig, parameters: int) -> int:
    """Adapter and, at every checkpoint, adapter and two moments; float32."""
    checkpoints = config.training.max_steps // config.training.checkpoint_every
    return FIXED_BYTES + parameters * 4 * (1 + 3 * checkpoints)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(1, minutes)} min"


def _visible(study: Study, folder: Path, trials: Sequence[Trial], console: Console) -> list[dict[str, Any]]:
    """The smallest difference that the seeds can see, for each hypothesis; in its unit once runs tell the spread."""
    n = len(study.seeds)
    known = results.values(results.collect([trial for trial in trials if done(trial.folder)]))
    out = []
    for hypothesis in study.hypotheses:
        m = len(hypothesis.contrasts)
        effect = paired.smallest_visible(n, paired.ALPHA / m)
        spread = _spread(hypothesis, known)
        words = "no difference, however large" if math.isinf(effect) else f"a difference of {short(effect)} times the"
        tail = "" if math.isinf(effect) else " standard deviation of the paired differences"
        if spread is not None and not math.isinf(effect):
            tail += f", {short(effect * spread[0])} {spread[1]} by the runs so far"
        console.out(
            f"  {hypothesis.name}: {n} seeds can see {words}{tail} ({paired.test_of(n)}, Holm over {m}, power "
            f"{paired.POWER:.0%})"
        )
        out.append({"hypothesis": hypothesis.name, "n": n, "contrasts": m, "in_sd": effect,
                    "test": paired.test_of(n), "sd": spread[0] if spread else None})  # fmt: skip
    return out


def _spread(hypothesis: Hypothesis, known: Any) -> tuple[float, str] | None:
    """(largest standard deviation of a contrast's differences, its unit), of those with two seeds or more."""
    import numpy as np

    found = []
    for contrast in hypothesis.contrasts:
        d = list(contrast.differences(known).values())
        if len(d) > 1:
            found.append((float(np.std(d, ddof=1)), contrast.unit))
    return max(found) if found else None
