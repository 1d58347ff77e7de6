"""The E2E challenge's metrics: by hand, by brute force, and against what its own scorer gave."""

import itertools
import math
import time
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from lorascope.evaluation.metrics import METRICS
from lorascope.evaluation.metrics.base import bootstrap_ci
from lorascope.evaluation.metrics.bleu_e2e import bleu_e2e
from lorascope.evaluation.metrics.cider import cider
from lorascope.evaluation.metrics.mteval import mteval_tokens
from lorascope.evaluation.metrics.nist_e2e import mteval_nist, nist_e2e
from lorascope.evaluation.metrics.rouge_l_coco import longest_common, rouge_l_coco
from lorascope.tasks.base import Example
from lorascope.tasks.e2e_nlg import TASK, read, to_evaluation

TABLE = {"header": ["a"], "types": ["text"], "rows": [["x"]], "sql": {"sel": 0, "agg": 0, "conds": []}}


def examples(*references):
    return [
        Example(id=str(i), prompt="p\n", target=refs[0], references=tuple(refs), group="", meta=TABLE)
        for i, refs in enumerate(references)
    ]


def value(metric, predictions, *references):
    (tally,) = metric(predictions, examples(*references), TASK)
    return tally.value


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Eagle's pub, \u00a320-25.", "the eagle's pub , \u00a320 - 25 ."),
        ("A 4.5-star (cheap) place/bar: 1,000!", "a 4.5 - star ( cheap ) place / bar : 1,000 !"),
        ("Caf\u00c9 &amp; &quot;Bar&quot;", 'caf\u00c9 & " bar "'),  # only A to Z are lower-cased
        ("kid-friendly  \n well-known", "kid-friendly well-known"),
        ("", ""),
    ],
)
def test_mteval_tokens_by_hand(text, tokens):
    assert mteval_tokens(text) == tuple(tokens.split())


# BLEU


def test_bleu_by_hand():
    # n-grams 4, 3, 2, 1; matched 3, 2, 1, 0; the order without a match counts as a half. No brevity penalty.
    assert value(bleu_e2e, ["A b c d"], ["a b c e"]) == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)


def test_bleu_counts_orders_without_any_ngram_as_right():
    assert value(bleu_e2e, ["two words"], ["Two words"]) == pytest.approx(100)
    assert value(bleu_e2e, ["one"], ["one two"]) == pytest.approx(100 * math.exp(1 - 2))
    assert value(bleu_e2e, [""], ["one two"]) == 0


def test_bleu_halves_what_has_no_match_once_more_each_time():
    # No order has a match: 1/2, 1/4, 1/8, 1/16 of a match in 5, 4, 3, 2 n-grams.
    expected = 100 * (1 / 10 * 1 / 16 * 1 / 24 * 1 / 32) ** 0.25
    assert value(bleu_e2e, ["v w x y z"], ["a b c d e"]) == pytest.approx(expected)


def test_bleu_takes_the_closest_reference_and_of_two_the_shorter():
    (tally,) = bleu_e2e(["a b c d"], examples(["a b c d e", "a b c", "a b c d e f g"]), TASK)
    assert tally.statistics[0, 1] == 3


def test_bleu_equals_sacrebleu_in_lower_case_where_every_order_occurs():
    rng = np.random.default_rng(0)
    words = ["the", "Eagle", "is", "cheap", ",", "near", "river", "(", "5", "star", ")", "."]
    predictions = [" ".join(rng.choice(words, size=12)) for _ in range(40)]
    references = [[" ".join(rng.choice(words, size=rng.integers(8, 16))) for _ in range(3)] for _ in range(40)]
    streams = [[refs[i] for refs in references] for i in range(3)]
    expected = sacrebleu.corpus_bleu(predictions, streams, lowercase=True).score
    assert value(bleu_e2e, predictions, *references) == pytest.approx(expected, rel=1e-12)


# NIST


def test_nist_by_hand():
    # Of two words each is one bit; after "a" there is always "b": no bit. Two bits in two words.
    assert value(nist_e2e, ["a b"], ["a b"]) == pytest.approx(1)


def test_nist_halves_what_has_two_thirds_of_the_length():
    # Three different words: log2 3 bits each; both words of the output match, no pair says anything new.
    assert value(nist_e2e, ["a b"], ["a b c"]) == pytest.approx(math.log2(3) / 2)


def test_nist_of_nothing_is_nothing():
    for text in ("", "x y z"):
        assert value(nist_e2e, [text], ["a b c"]) == 0


def test_nist_averages_lengths_over_all_references_or_by_input():
    (tally,) = nist_e2e(["a b", "c d"], examples(["a b e"], ["c", "d", "c d f g h i j"]), TASK)
    # mteval: 12 words in 4 references of 2 inputs: 6 words; by input: 3 and 9/3, 6 words as well
    assert tally.value == pytest.approx(tally.settings["with_python_option"])
    (tally,) = nist_e2e(["a b", "c d"], examples(["a b e"], ["c", "d", "c d f g h i"]), TASK)
    # mteval: 11/4 * 2 = 5.5 words; by input: 3 + 8/3
    beta = math.log(2) / math.log(1.5) ** 2
    bits = tally.value / math.exp(-beta * math.log(4 / 5.5) ** 2)
    by_input = bits * math.exp(-beta * math.log(4 / (3 + 8 / 3)) ** 2)
    assert tally.settings["with_python_option"] == pytest.approx(by_input)


def nist_by_definition(predictions, references):
    """Doddington's formula, one n-gram after another."""
    said = [p.split() for p in predictions]
    answers = [[r.split() for r in refs] for refs in references]

    def grams(tokens, n):
        return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]

    count = Counter(g for refs in answers for r in refs for n in range(1, 6) for g in grams(r, n))
    count[()] = sum(len(r) for refs in answers for r in refs)
    total = 0.0
    for n in range(1, 6):
        bits = 0.0
        for tokens, refs in zip(said, answers, strict=True):
            for gram, k in Counter(grams(tokens, n)).items():
                k = min(k, max(Counter(grams(r, n))[gram] for r in refs))
                bits += k * math.log2(count[gram[:-1]] / count[gram]) if k else 0
        total += bits / max(1, sum(len(grams(tokens, n)) for tokens in said))
    mean = count[()] / (sum(map(len, answers)) / len(answers))
    ratio = min(1, sum(map(len, said)) / mean)
    return total * math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(ratio) ** 2)


@pytest.mark.parametrize("seed", range(3))
def test_nist_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    predictions = [" ".join(rng.choice(list("abcdef"), size=rng.integers(1, 12))) for _ in range(20)]
    references = [
        [" ".join(rng.choice(list("abcdef"), size=rng.integers(3, 15))) for _ in range(rng.integers(1, 5))]
        for _ in range(20)
    ]
    assert value(nist_e2e, predictions, *references) == pytest.approx(nist_by_definition(predictions, references))


def test_nist_of_resampled_facts_keeps_the_weights():
    (tally,) = nist_e2e(["a b", "c"], examples(["a b", "a c"], ["c d"]), TASK)
    twice_the_first = mteval_nist(2 * tally.statistics[0], 2)
    assert twice_the_first == pytest.approx(tally.per_example[0])
    low, high = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(0))
    ends = sorted(tally.per_example)
    assert ends[0] - 1e-9 <= low <= high <= ends[1] + 1e-9


# ROUGE-L


def test_rouge_l_by_hand():
    # Three of four words in order: precision 3/4 of "a b c d", recall 3/5.
    expected = 100 * (1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)
    assert value(rouge_l_coco, ["a b x d"], ["a b c d e"]) == pytest.approx(expected)


def test_rouge_l_takes_the_best_precision_and_the_best_recall_of_different_references():
    assert value(rouge_l_coco, ["a b"], ["a b c d", "a"]) == pytest.approx(100)


def test_rouge_l_does_not_count_punctuation_and_case():
    assert value(rouge_l_coco, ["The Eagle, is: cheap"], ["the eagle is cheap."]) == 100
    assert value(rouge_l_coco, [""], ["a"]) == 0


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_the_longest_common_subsequence_equals_the_table(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, j in itertools.product(range(len(one)), range(len(other))):
        table[i + 1][j + 1] = table[i][j] + 1 if one[i] == other[j] else max(table[i][j + 1], table[i + 1][j])
    assert longest_common(one, other) == table[-1][-1]


# CIDEr


def test_cider_by_hand():
    # Every n-gram occurs with one of two examples: all have the same weight. Cosines of "a b" with "a b c d": one word
    # 2 / (sqrt 2 * 2), two words 1 / sqrt 3, more 0; two pairs of words fewer than the reference.
    (tally,) = cider(["a b", "e f g h"], examples(["a b c d"], ["e f g h"]), TASK)
    expected = 10 * (2 / (math.sqrt(2) * 2) + 1 / math.sqrt(3)) / 4 * math.exp(-(2**2) / (2 * 6**2))
    np.testing.assert_allclose(tally.per_example, [expected, 10])


def test_cider_clips_what_is_repeated():
    # "a a" is weighted 2 L against the reference's L, of which L counts: L * L / (2 L * L sqrt 4)
    (tally,) = cider(["a a", "x"], examples(["a b c d"], ["e"]), TASK)
    assert tally.per_example[0] == pytest.approx(10 * 1 / (2 * 2) / 4 * math.exp(-(2**2) / (2 * 6**2)))


def test_cider_of_a_single_example_is_nothing_since_no_ngram_is_rare():
    assert value(cider, ["a b c d"], ["a b c d"]) == 0


def test_cider_is_the_mean_over_references_and_its_bootstrap_keeps_the_frequencies():
    (tally,) = cider(["a b c d", "y"], examples(["a b c d", "p q r s"], ["z"]), TASK)
    np.testing.assert_allclose(tally.per_example, [5, 0])
    np.testing.assert_array_equal(tally.statistics[:, 0], tally.per_example)


def test_answers_equal_to_their_only_references_have_ciders_maximum():
    references = [[f"word{i} word{i + 1} word{i + 2} word{i + 3}"] for i in range(9)]
    assert value(cider, [refs[0] for refs in references], *references) == pytest.approx(10)


# The lab


def lab_test_split(lab):
    """Each first reference without every seventh word, to be scored against the other references."""
    split = to_evaluation(read(lab / "data" / "e2e_nlg", "test").rows)
    said, asked = [], []
    for i, example in enumerate(split):
        first, *others = example.references
        said.append(" ".join(word for k, word in enumerate(first.split()) if (i + k) % 7))
        asked.append(others or [first])
    return said, examples(*asked)


def test_the_official_scorers_numbers_come_out(lab):
    said, asked = lab_test_split(lab)
    assert len(asked) == 630
    # BLEU and NIST by mteval-v13a's formulas in Perl, ROUGE-L and CIDEr by pycocoevalcap 1.2 with its Java tokenizer
    expected = {
        bleu_e2e: 44.4960917454,
        nist_e2e: 7.458554600909,
        rouge_l_coco: 59.23159895934692,
        cider: 1.4032915189656008,
    }
    for metric, score in expected.items():
        (tally,) = metric(said, asked, TASK)
        assert tally.value == pytest.approx(score, rel=1e-11), tally.name


@pytest.mark.slow
def test_the_whole_test_split_is_scored_in_twenty_seconds(lab):
    said, asked = lab_test_split(lab)
    begun = time.process_time()  # of this process: others may be at work
    for name in TASK.metrics:
        for tally in METRICS[name](said, asked, TASK):
            low, high = bootstrap_ci(tally.statistics, tally.finish, rng=np.random.default_rng(0), n_boot=1000)
            assert low < tally.value < high
    assert time.process_time() - begun < 20


# Outputs that no reference looks like

MONSTERS = {
    "one word": "y" * 10_000,
    "full stops": "a." * 5_000,
    "commas": "1," * 5_000,
    "hyphens": "a-" * 5_000,
    "accents and stops": "\u00e9." * 5_000,
    "apostrophes": "'" * 10_000,
    "negations": "n't" * 3_333,
    "slashes": "a/" * 5_000,
    "emoji": "\U0001f600" * 10_000,
    "one word again and again": "cheap " * 1_667,
    "many words": " ".join(str(i) for i in range(2_000)),
    "conditions": "SELECT a FROM table WHERE a = 'x" + " AND a = 'x" * 900,
    "open quotes": "SELECT a FROM table WHERE a = " + "'" * 10_000,
}


@pytest.mark.parametrize("text", MONSTERS.values(), ids=MONSTERS)
@pytest.mark.parametrize("name", sorted(set(METRICS) - {"accuracy"}))
def test_an_output_of_ten_thousand_characters_takes_seconds_at_most(name, text):
    begun = time.perf_counter()
    METRICS[name]([text], examples(["The Eagle is a cheap pub near the river.", "Cheap pub."]), TASK)
    assert time.perf_counter() - begun < 20
