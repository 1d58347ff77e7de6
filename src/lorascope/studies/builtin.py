"""The built-in studies: each a function that returns a whole Study, which runs in minutes on the embedded model.

What is compared and what would decide it is laid down here, before any run. Raw and scale-free gradients stand side by
side wherever a hypothesis speaks of gradients: a raw norm grows with rank, alpha and width (docs/METHODS.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

from lorascope.analysis.hypotheses import Contrast, Hypothesis, Part, Term
from lorascope.studies.design import LIKE, MIXED, Settings, Study

EMBEDDED: Settings = {
    "model": "embedded",
    "data_source": "builtin",
    "max_length": "320",
    "num_samples": "400",
    "batch_size": "8",
    "grad_accum": "1",
    "max_steps": "40",
    "eval_every": "20",
    "lr": "1e-2",
    "r": "8",
    "lora_alpha": "16",
    "lora_dropout": "0",
    "eval": False,
    "eval_samples": "100",
    "weight_every": "0",
    "layer_norm": False,
}
"""Settings on the model inside lorascope; any flag goes over them. eval_samples test rows give the test loss."""

LRS = ("3e-3", "1e-2", "3e-2")
"""For the embedded model: small models want large ones."""
SHARED = "like=attention_only+mlp_only:r=8"
"""The largest number of parameters up to rank 8 that attention and MLP can both train to the last one."""
GROUPS: Mapping[str, Settings] = {
    "attention": {"target": "attention_only", "budget": SHARED},
    "mlp": {"target": "mlp_only", "budget": SHARED},
}
"""The study's Groups A and B at one budget."""
BOTH: Settings = {"target": "both", "budget": SHARED}

EARLY = "the first tenth of the steps"
TEST = "after training, best validation loss, test rows"
FAR, LOCAL = "builtin_far_copy", "builtin_local_map"
"""Two tasks with the same prompts: one copies from afar, one maps word by word."""
ONE_EACH = (
    "one task of a class is n = 1 of it: the verdict is about these tasks, and only several tasks of each class, with "
    "the task as the unit, would decide about classes"
)
RATIO, NATS = "log ratio", "nats/token"
SMALL_RATIO, SMALL_LOSS = 0.1, 0.01


def lora_sensitivity() -> Study:
    """Attention against MLP at equal budget: early gradients, weight updates, knock-out."""
    tasks = ("e2e_nlg", "samsum")
    beside: Mapping[str, Settings] = {
        "wikisql": {},
        "multi_nli": {},
        "e2e_nlg_alike": {"dataset": f"{LIKE}e2e_nlg"},
        "samsum_alike": {"dataset": f"{LIKE}samsum"},
        FAR: {},
        LOCAL: {},
    }
    return Study(
        name="lora_sensitivity",
        title="Do attention and MLP matter differently for structure-heavy and for reasoning-heavy tasks?",
        common=EMBEDDED,
        tasks={**{name: {} for name in tasks}, **beside},
        arms={**GROUPS, "both": BOTH},
        left_out=tuple((task, "both") for task in beside),
        early_only=tuple(beside),
        hypotheses=(
            Hypothesis(
                name="H1",
                claim="MLP modules hold most of what is learnt: their weights move more, and more is lost without them",
                parts=tuple(part for task in tasks for part in _h1(task)),
                estimand="mean over seeds, in the runs that adapt both: log of |dW| / |W|, MLP over attention; rise of "
                "the test loss per thousand trained parameters without the adapters of MLP, minus without attention's",
                window=TEST,
            ),
            Hypothesis(
                name="H2",
                claim="early gradients are larger in MLP for E2E NLG, and in attention for SAMSum",
                parts=(_gradients("e2e_nlg", 1), _gradients("samsum", -1)),
                estimand="mean over seeds of the log of the early gradient in Group B's runs over Group A's, raw norm "
                "and per frozen weight; a part is decided only where both agree",
                window=EARLY,
                note=ONE_EACH,
            ),
            Hypothesis(
                name="H2, other tasks",
                claim="early gradients are larger in MLP for WikiSQL (structure), in attention for MNLI (reasoning)",
                parts=(_gradients("wikisql", 1), _gradients("multi_nli", -1)),
                estimand="as H2",
                window=EARLY,
                note=f"which class a task belongs to is our reading of it; {ONE_EACH}",
            ),
            Hypothesis(
                name="H2, like lengths",
                claim="as H2, on rows of E2E NLG and SAMSum whose prompts and answers are of like length",
                parts=(_gradients("e2e_nlg_alike", 1), _gradients("samsum_alike", -1)),
                estimand="as H2, on as many rows of every bin of prompt and answer tokens from both tasks",
                window=EARLY,
                note="where it differs from H2, H2 is about length and not about the tasks",
            ),
            _controlled(),
        ),
    )  # fmt: skip


def standard_comparison() -> Study:
    """Attention, MLP and both, at equal rank and at equal budget."""
    return Study(
        name="standard_comparison",
        title="Which placement learns most: at equal rank, and at equal budget?",
        common=EMBEDDED,
        tasks={"e2e_nlg": {}},
        arms={
            "attention_r8": {"target": "attention_only"},
            "mlp_r8": {"target": "mlp_only"},
            "both_r8": {"target": "both"},
            "attention_budget": GROUPS["attention"],
            "mlp_budget": GROUPS["mlp"],
            "both_budget": BOTH,
        },
        lrs=LRS,
        hypotheses=(
            _losses("equal budget", "MLP learns more than attention at its budget",
                    ("e2e_nlg", "mlp_budget", "attention_budget"), ("e2e_nlg", "both_budget", "attention_budget")),
            _losses("equal rank", "MLP and both learn more than attention at its rank, with more parameters",
                    ("e2e_nlg", "mlp_r8", "attention_r8"), ("e2e_nlg", "both_r8", "attention_r8")),
        ),
    )  # fmt: skip


def dynamic_sensitivity() -> Study:
    """Phases against training everything all the time."""
    arms = {"static": BOTH}
    for strategy in ("both-mlp-attn", "attn-mlp-both", "sensitivity"):
        arms[strategy.replace("-", "_")] = {**BOTH, "dynamic_lora": True, "phase_strategy": strategy}
    return Study(
        name="dynamic_sensitivity",
        title="Does switching modules on and off during training learn more than training all of them?",
        common=EMBEDDED,
        tasks={"samsum": {}},
        arms=arms,
        lrs=LRS,
        hypotheses=(
            _losses("phases", "every strategy learns more than static training in as many steps",
                    *(("samsum", arm, "static") for arm in arms if arm != "static")),
        ),
    )  # fmt: skip


def rank_comparison() -> Study:
    """Ranks 4, 8, 16, 32 under three rules for alpha; the three meet at rank 8."""
    rules: dict[str, Callable[[int], float]] = {
        "fixed_alpha": lambda r: 16.0,
        "fixed_scaling": lambda r: 2.0 * r,
        "rslora": lambda r: 16.0 * math.sqrt(r / 8),
    }
    arms: dict[str, Settings] = {
        f"{rule}_r{r}": {"target": "both", "r": str(r), "lora_alpha": repr(alpha(r))}
        for rule, alpha in rules.items()
        for r in (4, 8, 16, 32)
    }
    return Study(
        name="rank_comparison",
        title="What does rank buy, and how much of it is only the scaling alpha / r?",
        common=EMBEDDED,
        tasks={"wikisql": {}},
        arms=arms,
        lrs=LRS,
        hypotheses=(
            _losses("rank", "rank 32 learns more than rank 4 under every rule for alpha",
                    *(("wikisql", f"{rule}_r32", f"{rule}_r4") for rule in rules)),
        ),
    )  # fmt: skip


def hypothesis_3() -> Study:
    """Attention or MLP layer by layer, as weight norms say, against simple placements at equal budget."""
    tasks, others = ("e2e_nlg", "samsum"), ("both", "attention", "mlp")
    return Study(
        name="hypothesis_3",
        title="Does mixing MLP and attention layers by weight norm learn more with the same parameters?",
        common=EMBEDDED,
        tasks={name: {} for name in tasks},
        arms={"both": BOTH, **GROUPS, "mixed": {"allocation": f"{MIXED}both"}},
        lrs=LRS,
        hypotheses=(
            _losses("H3", "in every layer the group with the larger update: more is learnt at the same budget",
                    *((task, "mixed", other) for task in tasks for other in others)),
        ),
    )  # fmt: skip


def controlled_pair() -> Study:
    """Two tasks with the same prompts: one copies from afar, one maps word by word."""
    return Study(
        name="controlled_pair",
        title="Does attention get a larger share of the gradient where the answer stands far back in the prompt?",
        common=EMBEDDED,
        tasks={FAR: {}, LOCAL: {}},
        arms=GROUPS,
        hypotheses=(_controlled(),),
    )


STUDIES: dict[str, Callable[[], Study]] = {
    study.__name__: study
    for study in (
        lora_sensitivity,
        standard_comparison,
        dynamic_sensitivity,
        rank_comparison,
        hypothesis_3,
        controlled_pair,
    )
}


def _h1(task: str) -> tuple[Part, Part]:
    def sides(measure: str) -> tuple[Term, Term]:
        return (
            Term(task=task, arm="both", measure=f"{measure}_mlp"),
            Term(task=task, arm="both", measure=f"{measure}_attention", weight=-1.0),
        )

    update = Contrast(
        name=f"{task}: relative update", terms=sides("update"), log=True, expect=1, smallest=SMALL_RATIO, unit=RATIO
    )
    knockout = Contrast(
        name=f"{task}: knock-out", terms=sides("knockout"), log=False, expect=1, smallest=SMALL_LOSS,
        unit=f"{NATS} and thousand parameters",
    )  # fmt: skip
    return Part(name=update.name, contrasts=(update,)), Part(name=knockout.name, contrasts=(knockout,))


def _controlled() -> Hypothesis:
    return Hypothesis(
        name="H2, controlled",
        claim="attention's early gradient over MLP's is larger in far copying than in local mapping",
        parts=(
            Part(name="far copy against local map", contrasts=tuple(
                Contrast(name=f"controlled pair: {scale}", log=True, expect=1, smallest=SMALL_RATIO, unit=RATIO,
                         terms=tuple(
                    Term(task=task, arm=arm, measure=f"early_{scale}_{arm}", weight=of_task * of_arm)
                    for task, of_task in ((FAR, 1.0), (LOCAL, -1.0))
                    for arm, of_arm in (("attention", 1.0), ("mlp", -1.0))
                ))
                for scale in ("raw", "free")
            )),
        ),
        estimand="mean over seeds of the log of (attention / MLP in far copying) / (the same in local mapping)",
        window=EARLY,
        note="prompts, lengths and words are equal by construction, so length and vocabulary are not the cause",
    )  # fmt: skip


def _gradients(task: str, expect: Literal[1, -1]) -> Part:
    """MLP's early gradient against attention's, each in the runs of its own group."""
    contrasts = tuple(
        Contrast(
            name=f"{task}: {scale}", log=True, expect=expect, smallest=SMALL_RATIO, unit=RATIO,
            terms=(
                Term(task=task, arm="mlp", measure=f"early_{scale}_mlp"),
                Term(task=task, arm="attention", measure=f"early_{scale}_attention", weight=-1.0),
            ),
        )
        for scale in ("raw", "free")
    )  # fmt: skip
    return Part(name=f"{task}: {'MLP' if expect > 0 else 'attention'} higher", contrasts=contrasts)


def _losses(name: str, claim: str, *pairs: tuple[str, str, str]) -> Hypothesis:
    """(task, first, second): the test loss with the first is smaller."""
    return Hypothesis(
        name=name,
        claim=claim,
        parts=tuple(
            Part(
                name=f"{task}: {first} against {second}",
                contrasts=(
                    Contrast(
                        name=f"{task}: {first} against {second}", log=False, expect=-1, smallest=SMALL_LOSS, unit=NATS,
                        terms=(
                            Term(task=task, arm=first, measure="test_loss"),
                            Term(task=task, arm=second, measure="test_loss", weight=-1.0),
                        ),
                    ),
                ),
            )
            for task, first, second in pairs
        ),
        estimand="mean over seeds of the difference of test losses; each arm at the rate that validation rows chose",
        window=TEST,
    )  # fmt: skip
