"""What a run is: eight frozen dataclasses, EvaluationConfig among them in a file of its own.

A string under a field tells its meaning, its unit and why its default; it is also the field's help at the command line.
Field names are the names of the flags; the few that differ stand in `FLAG_NAMES`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from lorascope.config.budget import parse_budget
from lorascope.config.checks import floats, one_of, positive, require
from lorascope.config.evaluation import EvaluationConfig as EvaluationConfig  # one of the eight
from lorascope.config.phases import STRATEGIES, Inactive, OnThaw, Phase, check_dynamic, read_phases
from lorascope.errors import ConfigError

Target = Literal["attention_only", "attention_qv", "mlp_only", "both", "all"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DataSource = Literal["auto", "hub", "local", "builtin"]

TARGETS: tuple[Target, ...] = get_args(Target)
TARGET_MODULES: dict[str, tuple[str, ...]] = {
    "attention_only": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "attention_qv": ("q_proj", "v_proj"),
    "mlp_only": ("gate_proj", "up_proj", "down_proj"),
    "both": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "all": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head"),
}
"""The groups in the names of Llama's modules. Other architectures are matched by role, not by these names."""

FLAG_NAMES: dict[tuple[str, str], str] = {
    ("model", "model_id"): "model",
    ("evaluation", "enabled"): "eval",
    ("evaluation", "base"): "eval_base",
    ("dynamic_lora", "enabled"): "dynamic_lora",
}
"""(section, field) -> flag, for the fields whose flag has another name."""


class DatasetType(StrEnum):
    """The four standard tasks."""

    E2E_NLG = "e2e_nlg"
    SAMSUM = "samsum"
    WIKISQL = "wikisql"
    MULTI_NLI = "multi_nli"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The base model."""

    model_id: str = "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"
    """Hub id or local folder of a causal language model, or embedded, the tiny Llama inside lorascope [the study's]."""
    dtype: Dtype = "auto"
    """Number format of the base weights [auto: float32 on the CPU, bfloat16 on a GPU]."""
    device_map: str | None = None
    """Placement of a model that is too large for one device, as in Transformers [none: one device]."""
    attn_implementation: str | None = None
    """Attention kernel, as in Transformers: eager, sdpa, flash_attention_2 [none: what Transformers chooses]."""
    trust_remote_code: bool = False
    """Run Python code that comes with the checkpoint [off: such code can do anything]."""

    def __post_init__(self) -> None:
        require(bool(self.model_id.strip()), "model", "a hub id or a folder", self.model_id)
        one_of(self, "dtype", get_args(Dtype))


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """The adapters."""

    target: Target = "attention_only"
    """Modules that get an adapter: attention_only is q,k,v,o; attention_qv is q,v; mlp_only is gate,up,down; both is
    the two together; all adds embedding and head [the study's Group A]."""
    r: int = 8
    """Rank of every adapter. Parameters grow as r * (in + out) [the seed's]."""
    lora_alpha: float = 32
    """The update is scaled by lora_alpha / r; raw gradient norms grow in proportion [the seed's]."""
    lora_dropout: float = 0.1
    """Dropout on the adapters' input, a share [the seed's; comparisons are cleaner with 0]."""
    budget: str | None = None
    """Trained parameters to use, instead of one rank for all: params=2.25M, r=8, like=attention_only:r=8 (+ between
    targets: what all can use up) or 0.2% of the model. Ranks are as even as the smallest gap below it allows; alpha /
    rank stays lora_alpha / r."""
    allocation: str | None = None
    """File with a rank and an alpha for every module, an allocation.json; target, r and lora_alpha do nothing then."""

    def __post_init__(self) -> None:
        floats(self)
        one_of(self, "target", TARGETS)
        if self.allocation is not None:
            require(bool(re.search(r"\w$", self.allocation)), "allocation", "a file", self.allocation)
        if self.budget is not None:
            parse_budget(self.budget, TARGETS)
            if self.allocation is not None:
                what = "budget and allocation exclude each other: an allocation has a budget of its own"
                raise ConfigError("flags-exclude", what, "leave one of them out")
        positive(self, "r")
        require(math.isfinite(self.lora_alpha) and self.lora_alpha > 0, "lora_alpha", "positive", self.lora_alpha)
        require(0 <= self.lora_dropout < 1, "lora_dropout", "at least 0 and below 1", self.lora_dropout)

    @property
    def words(self) -> str:
        """Which adapters, in a few words: "mlp_only r=8", "mlp_only params=2.25M", "allocation FILE"."""
        if self.allocation is not None:
            return f"allocation {self.allocation}"
        return f"{self.target} {f'r={self.r}' if self.budget is None else self.budget.strip()}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimisation."""

    batch_size: int = 4
    """Rows per device and micro-batch [the seed's]."""
    grad_accum: int = 4
    """Micro-batches per optimizer step [the seed's; 4 x 4 = 16 rows a step]."""
    max_steps: int = 100
    """Optimizer steps [the seed's: enough for early gradient norms]."""
    lr: float = 2e-4
    """Peak learning rate [the seed's; models below 100 M parameters want more]."""
    lr_scheduler: str = "cosine"
    """Learning-rate schedule, as in Transformers [the seed's]."""
    warmup_steps: int | None = None
    """Steps of linear warm-up [a tenth of max_steps]."""
    optim: str = "adamw_torch_fused"
    """Optimizer, as in Transformers [its default]."""
    weight_decay: float = 0.01
    """Decoupled weight decay of the adapters [the seed's]."""
    max_grad_norm: float = 1.0
    """Clip the gradient to this norm; 0 is off. Norms are measured before clipping [Transformers' default]."""
    seed: int = 42
    """Seed of initialisation, batch order and dropout; the unit of replication [the seed's]."""
    activation_checkpointing: bool = False
    """Trade time for memory in the backward pass."""
    eval_every: int | None = None
    """Steps between two validation losses [a tenth of max_steps]."""
    save_every: int | None = None
    """Steps between two checkpoints [eval_every]; a multiple of it."""
    report_to: str = "none"
    """Experiment tracker, as in Transformers: tensorboard, wandb, trackio. Four curves of ours at most."""

    def __post_init__(self) -> None:
        floats(self)
        positive(self, "batch_size", "grad_accum", "max_steps")
        for name in ("eval_every", "save_every"):
            if getattr(self, name) is not None:
                positive(self, name)
        require(math.isfinite(self.lr) and self.lr > 0, "lr", "positive", self.lr)
        require(0 <= self.seed < 2**32, "seed", "between 0 and 2^32 - 1", self.seed)
        require(0 <= self.warm_up <= self.max_steps, "warmup_steps", "between 0 and max_steps", self.warmup_steps)
        require(
            math.isfinite(self.weight_decay) and self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay
        )
        if self.max_grad_norm is None:  # YAML's null; Transformers would crash at the first step
            raise ConfigError(
                "config-value", "max_grad_norm must be a number, got none", "--max_grad_norm 0   (no clipping)"
            )
        require(
            math.isfinite(self.max_grad_norm) and self.max_grad_norm >= 0,
            "max_grad_norm",
            "at least 0",
            self.max_grad_norm,
        )
        require(
            self.checkpoint_every % self.validate_every == 0,
            "save_every",
            "a multiple of eval_every",
            self.checkpoint_every,
        )

    @property
    def warm_up(self) -> int:
        """Steps of linear warm-up."""
        return self.max_steps // 10 if self.warmup_steps is None else self.warmup_steps

    @property
    def validate_every(self) -> int:
        """Steps between two validation losses."""
        return self.eval_every or max(1, self.max_steps // 10)

    @property
    def checkpoint_every(self) -> int:
        """Steps between two checkpoints."""
        return self.save_every or self.validate_every


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The task and its rows."""

    dataset: str = DatasetType.E2E_NLG.value
    """Task: e2e_nlg, samsum, wikisql or multi_nli; or data of your own: a .jsonl, .csv, .tsv or .parquet file, a folder
    with train, validation and test files, or a hub id [the study's first]."""
    data_source: DataSource = "auto"
    """Where a task's rows come from: local is --data_dir, hub the data set's repository, builtin a generator; auto is
    --data_dir if given, else the hub."""
    data_revision: str | None = None
    """Commit, branch or tag of the data set on the hub [its newest; the commit is recorded]."""
    data_dir: str | None = None
    """Folder with the task's official files, or with a folder of the task's name that holds them."""
    prompt_column: str | None = None
    """Column of your own data that is asked [prompt]."""
    target_column: str | None = None
    """Column of your own data that is answered; a list is several right answers [target]."""
    prompt_template: str | None = None
    """Text around the columns of your own data, named in braces: "Question: {question} Answer:" [the prompt alone]."""
    drop_duplicates: bool = False
    """Drop training rows that repeat another one, or that the evaluated split holds too; both are counted anyway."""
    num_samples: int = 2000
    """Training rows drawn before the validation split; 0 is all [the default 100 steps see no row twice]."""
    validation_split: float = 0.1
    """Share of the drawn rows kept for the validation loss during training. It is not the evaluation after training:
    that takes --eval_samples rows of the test split."""
    max_length: int | None = None
    """Most tokens of prompt and answer together; a longer prompt is cut at its start, an answer never [the task's]."""
    data_seed: int = 0
    """Seed of the draw and of the split, apart from --seed, so that runs with other seeds see the same rows."""
    loss_on: Literal["answer", "all"] = "answer"
    """Tokens that carry the loss: the answer with its end of sequence, or the prompt as well."""

    def __post_init__(self) -> None:
        if isinstance(self.dataset, DatasetType):
            object.__setattr__(self, "dataset", self.dataset.value)
        require(bool(re.search(r"\w", self.dataset)), "dataset", "a task, a file, a folder or a hub id", self.dataset)
        floats(self)
        for name in ("prompt_column", "target_column", "prompt_template", "data_revision"):
            require(getattr(self, name) != "", name, "a text, or left out", getattr(self, name))
        if self.prompt_template is not None and self.prompt_column is not None:
            what = "prompt_template names its columns itself, and prompt_column would do nothing beside it"
            raise ConfigError("flags-exclude", what, "leave one of them out")
        one_of(self, "data_source", get_args(DataSource))
        one_of(self, "loss_on", ("answer", "all"))
        require(self.num_samples >= 0, "num_samples", "at least 0 (0 is all)", self.num_samples)
        require(self.data_seed >= 0, "data_seed", "at least 0", self.data_seed)
        require(0 < self.validation_split < 1, "validation_split", "above 0 and below 1", self.validation_split)
        if self.max_length is not None:
            positive(self, "max_length")

    @property
    def task_name(self) -> str:
        """The dataset's name in file names: "support" for data/support.jsonl, "owner_name" for owner/name."""
        *folders, last = [part for part in re.split(r"[/\\]", self.dataset) if part not in ("", ".", "..", "~")]
        stem = re.sub(r"(\.(jsonl|json|csv|tsv|parquet))?(\.gz)?$", "", last) or last
        words = [*folders, stem] if len(folders) == 1 and stem == last else [stem]
        return re.sub(r"\W+", "_", "_".join(words)).strip("_")


@dataclass(frozen=True, kw_only=True)
class GradientAnalysisConfig:
    """What is measured during training."""

    log_frequency: int = 1
    """Steps between two gradient measurements [every step: it costs below 1 % of a step]."""
    layer_norm: bool = True
    """Write the view by layer (gradient_analysis.layer_norms.csv and its plots)."""
    weight_every: int = 10
    """Steps between two measurements of the weight side: |A|, |B|, |dW|, |dW|/|W|; 0 is only at the end."""

    def __post_init__(self) -> None:
        positive(self, "log_frequency")
        require(self.weight_every >= 0, "weight_every", "at least 0", self.weight_every)


@dataclass(frozen=True, kw_only=True)
class DynamicLoRAConfig:
    """Phases that switch modules on and off during training."""

    enabled: bool = False
    """Train in phases."""
    phase_strategy: str | None = None
    """attn-mlp-both, both-mlp-attn, both-mlp-both, early-late, late-early, lisa or sensitivity (arrows work too, in
    quotes) [with --dynamic_lora: both-mlp-attn, the seed's recommendation]."""
    phase1_end: int | None = None
    """Updates done when phase 1 ends [max_steps divided evenly]."""
    phase2_end: int | None = None
    """Updates done when phase 2 ends [max_steps divided evenly]."""
    phase_every: int | None = None
    """lisa, sensitivity: updates between two choices of what trains [a tenth of max_steps]."""
    phase_layers: int | None = None
    """lisa: random layers that train at a time [2, LISA's own]."""
    phase_budget: float | None = None
    """sensitivity: share of the adapters' parameters that may train at a time [0.5]."""
    phase_explore: float | None = None
    """sensitivity: share of that budget for modules at random, so that what is off is seen again [0.1]."""
    inactive: Inactive = "freeze"
    """What is off: freeze computes no gradient and saves its time; measure computes and records it, without a step."""
    on_thaw: OnThaw = "keep"
    """The optimizer's state of what is switched on again: keep it, zero_m (forget its mean gradient), or reset
    [nothing measurable is gained by the others]."""
    phase_warmup: int | None = None
    """Steps in which the learning rate of what is switched on rises to its value [none]."""
    phase_configs: tuple[Phase, ...] = ()
    """Phases of one's own instead of a strategy, in files and in Python: a list of start_step, end_step, active_modules
    (attention, mlp, embed, lm_head) and layer_range (first and last layer) or layers (their numbers)."""

    def __post_init__(self) -> None:
        floats(self)
        if self.phase_strategy is not None:
            object.__setattr__(self, "phase_strategy", self.phase_strategy.replace("->", "-"))
        object.__setattr__(self, "phase_configs", read_phases(self.phase_configs))
        check_dynamic(self)
        if self.enabled and not self.phase_configs and self.phase_strategy is None:
            object.__setattr__(self, "phase_strategy", STRATEGIES[0])


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One run, whole."""

    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoRAConfig = field(default_factory=LoRAConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    gradient_analysis: GradientAnalysisConfig = field(default_factory=GradientAnalysisConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    dynamic_lora: DynamicLoRAConfig = field(default_factory=DynamicLoRAConfig)
    experiment_name: str | None = None
    """Name of the run's folder [{dataset}_{target}_r{r}[_{strategy}]_s{seed}; the budget, or the allocation's name,
    instead of r]."""
    output_dir: str = "results"
    """Folder that holds the runs' folders."""

    def __post_init__(self) -> None:
        name = self.experiment_name
        if name is not None and (not name.strip() or name in (".", "..") or any(c in name for c in "/\\\0")):
            raise ConfigError(
                "config-value",
                f"experiment_name must be a plain folder name, got {name!r}",
                "--output_dir FOLDER --experiment_name NAME",
            )
        if self.dynamic_lora.enabled and self.lora.allocation is not None:
            what = "allocation and dynamic_lora exclude each other: phases go by the groups of a target"
            raise ConfigError("flags-exclude", what, "leave one of them out", "--target both --budget params=N")

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        if self.experiment_name:
            return self.experiment_name
        phases = f"_{self.dynamic_lora.phase_strategy or 'phases'}" if self.dynamic_lora.enabled else ""
        which = f"{self.lora.target}_r{self.lora.r}"
        if self.lora.budget is not None:
            which = f"{self.lora.target}_{_plain(self.lora.budget.replace('%', ' percent'))}"
        elif self.lora.allocation is not None:
            *folders, file = [part for part in re.split(r"[/\\]", self.lora.allocation) if part]
            name = file.removesuffix(".json")
            which = _plain(f"{folders[-1]}_{name}" if folders and name == "allocation" else name)
        return f"{self.data.task_name}_{which}{phases}_s{self.training.seed}"

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dictionary, as written to config.json."""
        plain = asdict(self)
        plain["dynamic_lora"]["phase_configs"] = [phase.to_dict() for phase in self.dynamic_lora.phase_configs]
        return plain

    @property
    def hash(self) -> str:
        """Sixteen hex digits over everything that can change a result: not the names of folders, not the tracker."""
        kept = self.to_dict()
        del kept["experiment_name"], kept["output_dir"], kept["training"]["report_to"]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _plain(text: str) -> str:
    """A text as a part of a folder's name: "like=attention_only:r=8" is like_attention_only_r_8."""
    return re.sub(r"[^\w.-]+", "_", text.strip()).strip("_.")
