"""Each metric against a hand-worked case and against the library it names."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from lorascope.errors import ConfigError, DataError
from lorascope.evaluation.metrics import METRICS
from lorascope.evaluation.metrics.accuracy import accuracy, label_of
from lorascope.evaluation.metrics.base import Tally, bootstrap_ci, mean
from lorascope.evaluation.metrics.bleu import bleu
from lorascope.evaluation.metrics.exact_match import exact_match
from lorascope.evaluation.metrics.meteor import find_wordnet, meteor
from lorascope.evaluation.metrics.rouge import TYPES, rouge, sentences
from lorascope.tasks.base import Example
from lorascope.tasks.multi_nli import TASK

WORDS = [
    *("the", "a", "red", "blue", "cat", "dogs", "runs", "running", "sat", "on", "mat", "cheap", "near", "river"),
    *(",", ".", "family-friendly"),
]


TABLE = {"header": ["a"], "types": ["text"], "rows": [["x"]], "sql": {"sel": 0, "agg": 0, "conds": []}}


def example(*references: str, number: int = 0) -> Example:
    return Example(id=str(number), prompt="p\n", target=references[0], references=references, group="", meta=TABLE)


def corpus(n: int = 40, seed: int = 0) -> tuple[list[str], list[Example]]:
    """Predictions near their references, with one to four references each."""
    rng = np.random.default_rng(seed)
    predictions, examples = [], []
    for i in range(n):
        words = [str(w) for w in rng.choice(WORDS, size=rng.integers(4, 20))]
        references = [" ".join(w for w in words if rng.random() > 0.2) or "the" for _ in range(rng.integers(1, 5))]
        predictions.append(" ".join(w if rng.random() > 0.15 else str(rng.choice(WORDS)) for w in words))
        examples.append(example(*references, number=i))
    return predictions, examples


def streams(examples: list[Example]) -> list[list[str | None]]:
    """References as sacrebleu wants them: one list per reference number, None where there is none."""
    most = max(len(e.references) for e in examples)
    return [[e.references[i] if i < len(e.references) else None for e in examples] for i in range(most)]


def one(tallies: list[Tally]) -> Tally:
    assert len(tallies) == 1
    return tallies[0]


# BLEU


def test_bleu_by_hand():
    # n-grams 4, 3, 2, 1; matched 3, 2, 1, 0; the unmatched order counts as a half. No brevity penalty.
    tally = one(bleu(["a b c d"], [example("a b c e")], TASK))
    assert tally.statistics.tolist() == [[4, 4, 3, 2, 1, 0, 4, 3, 2, 1]]
    assert tally.value == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)


def test_bleu_brevity_penalty_by_hand():
    assert one(bleu(["a b c d"], [example("a b c d e f")], TASK)).value == pytest.approx(100 * np.exp(1 - 6 / 4))


def test_bleu_takes_the_closest_of_several_references_for_length():
    assert one(bleu(["a b c d"], [example("a b c d e f g h", "a b c x")], TASK)).statistics[0, 1] == 4


@pytest.mark.parametrize("seed", range(5))
def test_bleu_equals_sacrebleu(seed):
    predictions, examples = corpus(seed=seed)
    expected = sacrebleu.corpus_bleu(predictions, streams(examples))
    assert one(bleu(predictions, examples, TASK)).value == pytest.approx(expected.score, rel=1e-12)


@pytest.mark.parametrize(
    "predictions", [["", ""], ["x y", "z"], ["the", "cat"], ["the cat sat on", ""], ["on it sat the", "x"]]
)
def test_bleu_equals_sacrebleu_where_little_or_nothing_matches(predictions):
    examples = [example("the cat sat on it"), example("cat")]
    expected = sacrebleu.corpus_bleu(predictions, streams(examples)).score
    tally = one(bleu(predictions, examples, TASK))
    assert tally.value == pytest.approx(expected, rel=1e-12)
    each = [sacrebleu.sentence_bleu(p, list(e.references)).score for p, e in zip(predictions, examples, strict=True)]
    assert tally.per_example.tolist() == each


def test_bleu_signature_is_sacrebleus():
    predictions, examples = corpus()
    metric = sacrebleu.BLEU()
    for some in (examples, [example("a", "b")] * len(predictions)):
        metric.corpus_score(predictions, streams(some))
        assert one(bleu(predictions, some, TASK)).settings["signature"] == str(metric.get_signature())


# ROUGE


def test_rouge_by_hand():
    values = {t.name: t.value for t in rouge(["the cat sat"], [example("the cat ran")], TASK)}
    assert values == pytest.approx({"rouge1": 200 / 3, "rouge2": 50, "rougeL": 200 / 3, "rougeLsum": 200 / 3})


def test_rouge_stems():
    assert rouge(["running dogs"], [example("runs dog")], TASK)[0].value == 100


@pytest.mark.parametrize("seed", range(3))
def test_rouge_equals_rouge_score_with_the_best_reference(seed):
    predictions, examples = corpus(seed=seed)
    predictions[0] = "the cat .\nsat on the mat"
    scorer = RougeScorer(list(TYPES), use_stemmer=True)
    for tally in rouge(predictions, examples, TASK):
        best = [
            max(scorer.score(ref, text)[tally.name].fmeasure for ref in e.references)
            for text, e in zip(predictions, examples, strict=True)
        ]
        np.testing.assert_array_equal(tally.per_example, 100 * np.array(best))
        assert tally.value == pytest.approx(100 * np.mean(best), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Ann is late. Bob waits!", ["Ann is late.", "Bob waits!"]),
        ("Mr. Hill met J. Stone at 5 p.m. and left.", ["Mr. Hill met J. Stone at 5 p.m. and left."]),
        ("One line\nand. another", ["One line", "and. another"]),
        ("", []),
    ],
)
def test_sentences(text, parts):
    assert sentences(text) == parts


def test_rouge_lsum_goes_by_sentences_whatever_their_order():
    text, reference = "Bob waits there. Ann is late.", "Ann is late. Bob waits there."
    values = {t.name: t.value for t in rouge([text], [example(reference)], TASK)}
    assert values["rougeLsum"] == 100
    assert values["rougeL"] == pytest.approx(50)
    by_hand = RougeScorer(["rougeLsum"], use_stemmer=True).score(reference.replace(". ", ".\n"), "Bob waits there.\n.")
    half = {t.name: t.value for t in rouge(["Bob waits there. ."], [example(reference)], TASK)}
    assert half["rougeLsum"] == 100 * by_hand["rougeLsum"].fmeasure


# METEOR


def test_meteor_of_a_perfect_answer_keeps_its_fragmentation_penalty():
    tally = one(meteor(["two words", "a b c"], [example("Two words"), example("a b c")], TASK))
    np.testing.assert_allclose(tally.per_example, [100 * (1 - 0.5 / 8), 100 * (1 - 0.5 / 27)])


def test_meteor_by_hand():
    # 2 of 3 words match, in one chunk: P = R = 2/3, penalty 0.5 (1/2)^3
    tally = one(meteor(["the cat sat"], [example("the cat ran")], TASK))
    assert tally.value == pytest.approx(100 * 2 / 3 * (1 - 1 / 16))


def test_meteor_equals_nltk_without_synonyms(without_wordnet):
    predictions, examples = corpus()

    class Nothing:
        def synsets(self, word):
            return []

    cut = Tokenizer13a()
    expected = [
        100 * meteor_score([cut(r).split() for r in e.references], cut(text).split(), wordnet=Nothing())
        for text, e in zip(predictions, examples, strict=True)
    ]
    tally = one(meteor(predictions, examples, TASK))
    np.testing.assert_array_equal(tally.per_example, expected)
    assert tally.name == "meteor_exact_stem"
    assert "not comparable" in tally.settings["note"]


@pytest.fixture
def without_wordnet(monkeypatch, tmp_path):
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])


def tiny_wordnet(folder: Path) -> None:
    """A WordNet of one noun synset, {car, auto}, in the format of the real files (wndb(5WN))."""
    folder.mkdir(parents=True)
    header = "  1 WordNet 3.0 Copyright 2006 by nobody\n"
    offset = len(header)
    for pos in ("noun", "verb", "adj", "adv"):
        noun = pos == "noun"
        synset = f"{offset:08d} 06 n 02 car 0 auto 0 000 | a machine  \n" if noun else ""
        index = "".join(f"{word} n 1 0 1 0 {offset:08d}  \n" for word in ("auto", "car")) if noun else ""
        (folder / f"data.{pos}").write_text(header + synset)
        (folder / f"index.{pos}").write_text(header + index)
        (folder / f"{pos}.exc").write_text("")
    (folder / "lexnames").write_text("".join(f"{i:02d}\tname{i}\t1\n" for i in range(45)))
    (folder / "index.sense").write_text("".join(f"{word}%1:06:00:: {offset:08d} 1 0\n" for word in ("auto", "car")))


def test_meteor_takes_synonyms_and_its_name_where_wordnet_is(monkeypatch, tmp_path):
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    tiny_wordnet(tmp_path / "corpora" / "wordnet")
    tally = one(meteor(["a red car"], [example("a red auto")], TASK))
    assert tally.name == "meteor"
    assert tally.value == pytest.approx(100 * (1 - 0.5 / 27))
    assert "wordnet-3.0" in tally.settings["signature"]


def test_a_wordnet_that_is_not_whole_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    tiny_wordnet(tmp_path / "corpora" / "wordnet")
    (tmp_path / "corpora" / "wordnet" / "lexnames").unlink()
    assert find_wordnet() is None
    assert one(meteor(["a red car"], [example("a red auto")], TASK)).name == "meteor_exact_stem"


# Exact match and accuracy


def test_exact_match_by_hand():
    asked = [example("SELECT a", "select a"), example("b"), example("c"), example("d d")]
    tally = one(exact_match([" select a\n", "B", "c;", "d d"], asked, TASK))
    assert tally.per_example.tolist() == [100, 0, 0, 100]
    assert tally.value == 50


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("neutral", "neutral"),
        (" Neutral. ", "neutral"),
        ('"ENTAILMENT"', "entailment"),
        ("", None),
        ("neutral or so", None),
        ("neutra", None),
    ],
)
def test_a_label_is_the_whole_answer(text, label):
    assert label_of(text, TASK.labels) == label


def test_accuracy_by_hand():
    asked = [example("neutral"), example("neutral"), example("entailment"), example("contradiction")]
    tally = one(accuracy(["neutral", "entailment", "Entailment.", "I think so"], asked, TASK))
    assert tally.per_example.tolist() == [100, 0, 100, 0]
    assert (tally.value, tally.settings["answers_without_label"]) == (50, 1)
    assert tally.settings["confusion"] == {
        "entailment": {"entailment": 1},
        "neutral": {"entailment": 1, "neutral": 1},
        "contradiction": {"(other)": 1},
    }
    assert tally.settings["per_label"] == {
        "entailment": {"examples": 1, "right": 1},
        "neutral": {"examples": 2, "right": 1},
        "contradiction": {"examples": 1, "right": 0},
    }


def test_accuracy_needs_labels():
    with pytest.raises(ConfigError, match="no-labels"):
        accuracy(["a"], [example("a")], replace(TASK, labels=()))


# Bootstrap


def test_bootstrap_equals_resampling_through_sacrebleu():
    predictions, examples = corpus(12)
    tally = one(bleu(predictions, examples, TASK))
    low, high = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(7), n_boot=50)
    drawn = np.random.default_rng(7).integers(12, size=(50, 12))
    scores = [
        sacrebleu.corpus_bleu([predictions[i] for i in row], streams([examples[i] for i in row])).score for row in drawn
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])), rel=1e-9)


def test_bootstrap_of_a_mean_is_close_to_its_normal_interval():
    values = np.random.default_rng(0).normal(5, 2, size=(400, 1))
    low, high = bootstrap_ci(values, mean, rng=np.random.default_rng(1), n_boot=4000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_repeats_and_does_not_depend_on_its_blocks(monkeypatch):
    predictions, examples = corpus()
    tally = one(bleu(predictions, examples, TASK))
    whole = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(0))
    monkeypatch.setattr("lorascope.evaluation.metrics.base.DRAWS_AT_ONCE", 400)
    assert bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(0)) == pytest.approx(whole, rel=1e-12)


def test_one_example_has_no_interval():
    assert np.isnan(bootstrap_ci(np.ones((1, 1)), mean, rng=np.random.default_rng(0))).all()


# What holds for all

OF_TEXTS = sorted(set(METRICS) - {"accuracy", "logical_form", "execution"})
"""Metrics that lay an answer beside its references."""
WITH_A_MAXIMUM = sorted(set(OF_TEXTS) - {"nist_e2e", "cider"})
"""Whatever the references of the other examples are; the two others have tests of their own."""
LONG = ["\U0001f600" * 20, "y" * 10_000, "a " * 5_000]
ANYTHING = st.one_of(
    st.text(max_size=60), st.sampled_from(["", " ", "\n\n", "\ud800", "\0", "%s {x} \\d", "- . ,", *LONG])
)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(ANYTHING, st.lists(st.text(max_size=40), min_size=1, max_size=3)), min_size=1, max_size=4))
def test_no_prediction_crashes_a_metric(name, pairs):
    examples = [example(*refs, number=i) for i, (_, refs) in enumerate(pairs)]
    for tally in METRICS[name]([text for text, _ in pairs], examples, TASK):
        low, high = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(0), n_boot=20)
        assert np.isfinite([tally.value, *tally.per_example]).all()
        assert -1e-9 <= tally.value <= 100 + 1e-9
        assert len(pairs) == 1 or low <= high


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.randoms(use_true_random=False))
def test_order_does_not_matter(name, random):
    predictions, examples = corpus(10)
    order = list(range(10))
    random.shuffle(order)
    straight = METRICS[name](predictions, examples, TASK)
    mixed = METRICS[name]([predictions[i] for i in order], [examples[i] for i in order], TASK)
    for one_way, other in zip(straight, mixed, strict=True):
        assert other.value == pytest.approx(one_way.value, rel=1e-12)
        np.testing.assert_array_equal(other.per_example, one_way.per_example[order])


SENTENCE = st.lists(st.sampled_from(WORDS[:14]), min_size=4, max_size=12).map(" ".join)


@pytest.mark.parametrize("name", WITH_A_MAXIMUM)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(SENTENCE, min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_an_answer_that_equals_a_reference_has_the_maximum(name, references, data):
    examples = [example(*refs, number=i) for i, refs in enumerate(references)]
    predictions = [data.draw(st.sampled_from(refs)) for refs in references]
    for tally in METRICS[name](predictions, examples, TASK):
        best = 100 * np.mean([1 - 0.5 / len(p.split()) ** 3 for p in predictions]) if name == "meteor" else 100
        # METEOR's other references cannot score above the one that is equal
        assert tally.value == pytest.approx(best, rel=1e-9)


def test_a_right_label_has_the_maximum():
    assert one(accuracy(list(TASK.labels), [example(label) for label in TASK.labels], TASK)).value == 100


@pytest.mark.parametrize("name", OF_TEXTS)
def test_an_example_without_references_is_named(name):
    nothing = Example(id="7", prompt="p", target="t", references=(), group="")
    with pytest.raises(DataError, match="example 7 has no reference"):
        METRICS[name](["a"], [nothing], TASK)


def test_metrics_load_neither_torch_nor_their_libraries():
    code = (
        "import sys, lorascope.evaluation.predictions; "
        "print({'torch', 'nltk', 'sacrebleu', 'rouge_score'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
