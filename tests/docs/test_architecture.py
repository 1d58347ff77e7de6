"""The page of the architecture, and the tree in the README, describe the files, rules and names that there are."""

from __future__ import annotations

import re

import pytest
from pages import ARCHITECTURE, README, ROOT, SOURCE, blocks, in_ticks, outside_blocks, rows

import lorascope
from test_rooms import ALLOWED

MODULES = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}


def tree(text):
    """Paths below src/lorascope in the tree of ARCHITECTURE.md."""
    block = next(block for block in blocks(text, "") if block.startswith("src/lorascope/\n"))
    found, room = [], ""
    for line in block.splitlines()[1:]:
        if not line.strip():
            continue
        name = line.split()[0]
        if line.startswith("    "):
            found.append(room + name)
        elif name.endswith("/"):
            room = name
        else:
            found.append(name)
    return found


def test_the_tree_has_a_line_for_every_file_and_no_other():
    lines = tree(ARCHITECTURE)
    assert len(lines) == len(set(lines))
    assert set(lines) == {name for name in MODULES if name == "__init__.py" or not name.endswith("/__init__.py")}


def test_files_that_the_architecture_calls_by_their_room_exist():
    spans = in_ticks(outside_blocks(ARCHITECTURE).split("## 5.")[0])
    named = [span for span in spans if re.fullmatch(r"[a-z]+/[\w/]+\.py", span) and not span.startswith("tests/")]
    assert named
    assert all((SOURCE / name).is_file() or (ROOT / name).is_file() for name in named), named


def test_the_rooms_may_import_what_the_architecture_says():
    told = {}
    for names, allowed in rows(ARCHITECTURE, "## 3. Who may import whom")[1:]:
        for name in in_ticks(names):
            told[name] = {span.removesuffix(".py").replace("/", ".") for span in in_ticks(allowed)}
    for room, allowed in ALLOWED.items():
        assert told[room] == allowed - {room}, room
    assert set(told) == set(ALLOWED) | {"runs/rundir.py", "runs", "studies", "cli*"}


STUDY = """
configs/config.py ModelConfig LoRAConfig TrainingConfig DataConfig GradientAnalysisConfig EvaluationConfig
DynamicLoRAConfig ExperimentConfig DatasetType ATTENTION_ONLY MLP_ONLY BOTH ALL src/callbacks/dynamic_lora.py
DynamicLoRACallback phase_configs start_step end_step active_modules layer_range _update_lora_modules attn->mlp->both
both->mlp->attn both->mlp->both early->late src/callbacks/gradient_norm.py GradientMeasuringTrainer
GradientNormCallback GradientNormLog src/data/datasets.py _load_your_dataset src/evaluation.py ModelEvaluator
evaluate_your_dataset src/models/lora_setup.py src/utils/visualization.py run_experiment.py GUIDE.md config.json
final_model/ checkpoints/checkpoint-N/ gradient_analysis.group_norms.csv gradient_analysis.layer_norms.csv
gradient_analysis.summary.json gradient_norms.png layer_heatmap.png layer_comparison.png gradient_evolution.png
training_loss.png results_summary.json {dataset}_evaluation.json --preset --batch --compare experiment.py on_step_end
process_data_e2e experiments Attention_Only MLP_Only results_{exp_name} grad_norm_{dataset_id}.png
GEM/e2e_nlg knkarthick/samsum
"""
"""Every file and name of the study's two documents."""


@pytest.mark.parametrize("name", STUDY.split())
def test_every_name_of_the_study_has_a_place(name):
    left = [cells[0] for cells in rows(ARCHITECTURE, "## 5. The study's files and names")[1:]]
    assert any(name in cell for cell in left)


def test_the_names_that_are_said_to_be_the_same_are_importable():
    same = [cells[0] for cells in rows(ARCHITECTURE, "## 5. The study's files and names")[1:] if "the same" in cells[1]]
    classes = {span for cell in same for span in in_ticks(cell) if re.fullmatch(r"[A-Z]\w*[a-z]\w*", span)}
    assert len(classes) > 10
    assert classes <= set(lorascope.__all__)


def test_the_tree_of_the_readme_has_every_room():
    block = next(block for block in blocks(README, "") if "src/lorascope/" in block)
    named = [line.split()[0] for line in block.splitlines()]
    rooms = {f"{path.name}/" for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(named)
    for name in named:
        assert list(ROOT.glob(name.rstrip("/"))) or list(SOURCE.rglob(name.rstrip("/"))), name
