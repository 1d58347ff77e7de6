"""Constrained decoding: tokens as bytes, what is allowed, and that a random model writes nothing but queries."""

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lorascope.config.experiment import DataConfig, EvaluationConfig, ModelConfig
from lorascope.errors import ConfigError
from lorascope.evaluation.constrained import Constraint, grammars_of, token_bytes
from lorascope.evaluation.generate import generate
from lorascope.evaluation.judge import evaluate_examples
from lorascope.evaluation.metrics import as_asked
from lorascope.evaluation.metrics.sql import parse
from lorascope.models.base import load_base
from lorascope.models.embedded import folder_of
from lorascope.tasks import TASKS
from lorascope.tasks.split import EvaluationData, load_evaluation
from lorascope.tasks.wikisql import TASK, to_examples
from tokenizers_of import chat_tokenizer, llama_tokenizer
from toy import toy_model, toy_tokenizer

CONSTRAINED = EvaluationConfig(constrained=True)


class Words:
    """A grammar of some words."""

    def __init__(self, *words):
        self.words = [word.encode() for word in words]

    def begins(self, text):
        return any(word.startswith(text) for word in self.words)

    def accepts(self, text):
        return text in self.words


def constraint(*words, stop="\n", tokenizer=None):
    return Constraint([Words(*words)], tokenizer or toy_tokenizer(), stop=stop, ends=[2])


def ids(text, tokenizer=None):
    return (tokenizer or toy_tokenizer())(text, add_special_tokens=False)["input_ids"]


# tokens as bytes


def embedded_tokenizer():
    return load_base(ModelConfig(model_id=str(folder_of("embedded"))), device=torch.device("cpu")).tokenizer


def lab_tokenizer(lab, kind):
    if kind == "llama":
        return llama_tokenizer(lab / "llama_tokenizer" / "tokenizer.bin")
    return load_base(ModelConfig(model_id=str(lab / "base")), device=torch.device("cpu")).tokenizer


SAMPLES = ["SELECT MAX caf\u00e9 FROM table", '\u00bd \u4e2d \U0001f600 "x" <0x41>', "a\nb\tc", "No."]


@pytest.mark.parametrize("make", [toy_tokenizer, embedded_tokenizer, lambda: chat_tokenizer("metaspace", None)])
def test_tokens_write_the_text_that_they_are_cut_from(make):
    tokenizer = make()
    pieces = token_bytes(tokenizer)
    for text in SAMPLES:
        written = b"".join(pieces[i] for i in ids(text, tokenizer))
        assert written.removeprefix(b" ") == text.encode()


@pytest.mark.parametrize("kind", ["base", "llama"])
def test_tokens_of_real_vocabularies_write_what_decoding_gives(lab, kind):
    tokenizer = lab_tokenizer(lab, kind)
    pieces = token_bytes(tokenizer)
    assert len(pieces) == len(tokenizer)
    assert [i for i, piece in enumerate(pieces) if piece is None] == [0, 1, 2]
    before = ids("a", tokenizer)
    alone = tokenizer.decode(before)
    for i in range(3, len(tokenizer), 7):
        whole = tokenizer.decode([*before, i], clean_up_tokenization_spaces=False)
        assert pieces[i].decode(errors="replace") == whole.removeprefix(alone), tokenizer.convert_ids_to_tokens(i)


def test_special_tokens_write_nothing_and_other_added_ones_their_name():
    own = Tokenizer.from_str(toy_tokenizer().backend_tokenizer.to_str())  # the toy's is shared
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="</s>")
    tokenizer.add_tokens(["\u0120<unit>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    pieces = token_bytes(tokenizer)
    assert pieces[259] == "\u0120<unit>".encode()
    assert pieces[260] is None
    assert pieces[2] is None


def test_a_vocabulary_that_is_not_understood_is_refused():
    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "SELECT": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
    with pytest.raises(ConfigError, match="constrained-tokenizer"):
        token_bytes(tokenizer)


# what is allowed


def allowed(held, said):
    answer = ids(said) if said else []
    one_by_one = [i for i in range(259) if held.allows(0, answer, i)]
    assert sorted(held.allowed(0, answer)) == one_by_one
    return one_by_one


def test_what_may_follow_by_hand():
    held = constraint("ab", "abc", "x")
    assert allowed(held, "") == sorted(ids("a") + ids("x") + ids(" "))  # one space may stand in front
    assert allowed(held, " ") == sorted(ids("a") + ids("x"))
    assert allowed(held, "a") == ids("b")
    assert allowed(held, "ab") == sorted([2, *ids("c"), *ids("\n")])  # an end, or the stop text
    assert allowed(held, "abc") == sorted([2, *ids("\n")])


def test_without_a_stop_text_a_line_end_is_a_letter_like_others():
    assert allowed(constraint("a", "a\nb", stop=None), "a") == sorted([2, *ids("\n")])
    assert allowed(constraint("a", "ab", stop=None), "a") == sorted([2, *ids("b")])


def test_a_longer_stop_text_may_come_in_pieces():
    held = constraint("ab", stop="##")
    assert allowed(held, "ab") == sorted([2, *ids("#")])
    assert allowed(held, "ab#") == ids("#")
    assert not held.has_ended(ids("ab#"))
    assert held.has_ended(ids("ab##"))


def test_a_token_that_crosses_the_stop_text_ends_the_answer():
    tokenizer = chat_tokenizer("bytes", None)  # has a token of two line ends
    held = constraint("ab", tokenizer=tokenizer)
    double = ids("\n\n", tokenizer)
    assert len(double) == 1
    assert held.allows(0, ids("ab", tokenizer), double[0])
    assert not held.allows(0, ids("a", tokenizer), double[0])
    assert held.has_ended([*ids("ab", tokenizer), *double])


def test_the_best_allowed_token_is_chosen():
    held, scores = constraint("ab", "cd"), torch.arange(259.0)
    assert held.choose(0, [], -scores) == ids("a")[0]
    assert held.choose(0, ids(" "), scores) == ids("c")[0]
    assert held.choose(0, ids("a"), scores) == ids("b")[0]
    assert held.choose(0, ids("ab"), -scores) == 2


def test_an_answer_that_cannot_go_on_is_ended_and_named():
    class Nowhere(Words):
        def begins(self, text):
            return text in (b"", b"a")

    held = Constraint([Words("a"), Nowhere("z")], toy_tokenizer(), stop=None, ends=[2])
    assert held.choose(1, ids("a"), torch.zeros(259)) == 2
    assert held.stuck == {1}


def test_only_the_chosen_token_is_left_and_ended_rows_are_not_touched():
    held = Constraint([Words("ef"), Words("ab"), Words("x")], toy_tokenizer(), stop="\n", ends=[2])
    rows = [[1, 7, *ids(" a")], [1, 7, 8, 2], [1, 7, *ids("x\n")]]
    scores = torch.zeros(3, 300)  # a model may have more rows in its head than the tokenizer tokens
    left = held.processor([1, 0, 2], 2)(torch.tensor(rows), scores)
    assert (left[0] > -torch.inf).nonzero().flatten().tolist() == ids("b")
    assert torch.equal(left[1], scores[1])
    assert torch.equal(left[2], scores[2])


# queries

TABLE = {
    "header": ["Player", "No.", "caf\u00e9 (\u00bd)", "Years  in Toronto", ""],
    "types": ["text"] * 5,
    "rows": [["Ann", "1", "x", "2001-02", ""]],
}


def questions(n=6):
    queries = [
        {"sel": i % 5, "agg": i % 6, "conds": [[i % 4, i % 3, f"value {i}"], [1, 0, "\u4e2d AND"]][: i % 3]}
        for i in range(n)
    ]
    return to_examples(
        [{"id": str(i), "table_id": "t", "question": "?", "sql": q, "table": TABLE} for i, q in enumerate(queries)]
    )


def held_to(examples, tokenizer):
    return Constraint(grammars_of(TASK, examples), tokenizer, stop=TASK.stop, ends=[tokenizer.eos_token_id])


def assert_reachable(examples, tokenizer):
    held = held_to(examples, tokenizer)
    for i, example in enumerate(examples):
        answer = [*ids(example.target, tokenizer), tokenizer.eos_token_id]
        for end, token in enumerate(answer):
            assert held.allows(i, answer[:end], token), (example.target, tokenizer.decode(answer[:end]))


@pytest.mark.parametrize("make", [toy_tokenizer, embedded_tokenizer, lambda: chat_tokenizer("metaspace", None)])
def test_right_queries_are_reachable_token_by_token(make):
    assert_reachable(questions(30), make())
    assert_reachable(to_examples(TASK.builtin("test"))[:60], make())


@pytest.mark.parametrize("kind", ["base", "llama"])
def test_right_queries_of_the_lab_are_reachable_token_by_token(lab, kind):
    data = DataConfig(dataset="wikisql", data_dir=str(lab / "data" / "wikisql"))
    assert_reachable(load_evaluation(TASK, data, 400).examples, lab_tokenizer(lab, kind))


@pytest.mark.parametrize("seed", range(2))
def test_a_random_model_writes_nothing_but_queries(seed):
    tokenizer, model, examples = toy_tokenizer(), toy_model(seed=seed), questions(5)
    prompts = [f"{i} {e.prompt}" for i, e in enumerate(examples)]
    held = held_to(examples, tokenizer)
    said = generate(model, tokenizer, prompts, max_new_tokens=120, batch_size=3, constraint=held)
    assert all(parse(text, TABLE["header"]) for text in said), said
    assert not held.stuck
    free = generate(model, tokenizer, prompts, max_new_tokens=120)
    assert not any(parse(text, TABLE["header"]) for text in free)
    one_by_one = [
        generate(model, tokenizer, [prompt], max_new_tokens=120, constraint=held_to([example], tokenizer))[0]
        for prompt, example in zip(prompts, examples, strict=True)
    ]
    assert said == one_by_one


@pytest.mark.parametrize("make", [toy_tokenizer, lambda: chat_tokenizer("metaspace", None)])
def test_random_scores_write_nothing_but_queries(make):
    tokenizer, examples = make(), questions(12)
    held, end = held_to(examples, tokenizer), tokenizer.eos_token_id
    generator = torch.Generator().manual_seed(0)
    for i in range(len(examples)):
        answer = []
        while not held.has_ended(answer):
            scores = torch.randn(len(tokenizer), generator=generator)
            scores[end] += 2  # sooner than once in 259 tokens
            answer.append(held.choose(i, answer, scores))
        text = tokenizer.decode(answer, skip_special_tokens=True).split("\n")[0]
        assert parse(text, TABLE["header"]) is not None, text
    assert not held.stuck


def test_an_answer_that_is_right_anyway_stays_as_it_is():
    examples, tokenizer = questions(4), toy_tokenizer()
    wanted = [[*ids(e.target), 2] for e in examples]
    held = held_to(examples, tokenizer)
    for i, answer in enumerate(wanted):
        for end, token in enumerate(answer):
            scores = torch.zeros(259)
            scores[token] = 1
            assert held.choose(i, answer[:end], scores) == token


def data(examples):
    return EvaluationData(examples=examples, split="test", total=9, chosen="all", notes=(), provenance={})


def test_an_evaluation_says_that_it_was_constrained_and_its_scores_have_their_own_names():
    model, tokenizer, task = toy_model(), toy_tokenizer(), replace(TASK, max_new_tokens=120)
    free = evaluate_examples(model, tokenizer, task, data(questions()))
    held = evaluate_examples(model, tokenizer, task, data(questions()), CONSTRAINED)
    names = ["logical_form", "logical_form_ordered", "unparsed", "execution", "exact_match"]
    assert list(free.metrics) == [*names, "answer_loss"]
    assert list(held.metrics) == [*(f"{name}_constrained" for name in names), "answer_loss"]
    assert list(held.settings["metrics"]) == list(held.metrics) == list(held.samples[0]["scores"])
    assert (free.metrics["unparsed"].value, held.metrics["unparsed_constrained"].value) == (100, 0)
    assert not held.metrics["unparsed_constrained"].higher_is_better
    assert free.metrics["answer_loss"] == held.metrics["answer_loss"]
    assert "constrained" not in free.settings["decoding"]
    assert held.settings["decoding"]["constrained"] is True
    assert held.settings["decoding"]["stuck"] == []
    assert held.settings["decoding"]["method"] == "greedy"


def test_tasks_without_a_grammar_and_sampling_are_refused():
    with pytest.raises(ConfigError, match=r"no-grammar.*samsum"):
        as_asked(TASKS["samsum"], CONSTRAINED)
    with pytest.raises(ConfigError, match="no-grammar"):
        evaluate_examples(toy_model(), toy_tokenizer(), TASKS["multi_nli"], data(questions()), CONSTRAINED)
    with pytest.raises(ConfigError, match="constrained decoding is greedy"):
        EvaluationConfig(constrained=True, temperature=0.5)
    assert as_asked(TASK, CONSTRAINED).metrics == TASK.metrics
    assert [c.decoding for c in (EvaluationConfig(), CONSTRAINED, EvaluationConfig(temperature=0.5))] == [
        "greedy",
        "greedy, constrained to the task's grammar",
        "sampled at temperature 0.5",
    ]


@pytest.mark.slow
def test_a_real_model_that_knows_no_queries_writes_nothing_else(lab):
    base = load_base(ModelConfig(model_id=str(lab / "base"), dtype="float32"), device=torch.device("cpu"))
    held_out = load_evaluation(TASK, DataConfig(dataset="wikisql", data_dir=str(lab / "data" / "wikisql")), 60)
    result = evaluate_examples(base.model, base.tokenizer, TASK, held_out, CONSTRAINED)
    said = [(s["prediction"], e.meta["header"]) for s, e in zip(result.samples, held_out.examples, strict=True)]
    assert all(parse(text, header) for text, header in said), [t for t, h in said if not parse(t, h)]
    assert result.metrics["unparsed_constrained"].value == 0
