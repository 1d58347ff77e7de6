import families
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LogitsProcessor

from lorascope.evaluation.decode import StopText, decode, decoded, pad_left
from tokenizers_of import llama_tokenizer
from toy import toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")


def greedy(most: int, ends=(2,), **more) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=most, do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=list(ends) or None, **more
    )


def said(model, rows, batches=None, *, most=12, ends=(2,), **more) -> list[list[int]]:
    """The new ids of all rows, in the rows' order."""
    batches = [list(range(len(rows)))] if batches is None else batches
    found = {}
    with torch.no_grad():
        for batch, new in decode(model, rows, batches, greedy(most, ends), pad_id=0, final=ends, **more):
            found |= dict(zip(batch, new, strict=True))
    return [found[i] for i in range(len(rows))]


def counting_down():
    """A toy that says after token n: n - 1, down to 2, which is the end; `.shapes` lists its forward passes."""
    model = toy_model()
    model.shapes = []

    def speak(module, args, kwargs, output):
        ids = kwargs["input_ids"]
        model.shapes.append(tuple(ids.shape))
        output.logits = torch.zeros_like(output.logits)
        rows = torch.arange(len(ids))
        output.logits[rows, -1, (ids[:, -1] - 1).clamp(min=2)] = 1
        return output

    model.register_forward_hook(speak, with_kwargs=True)
    return model


def test_pad_left_puts_padding_first():
    ids, mask = pad_left([[5, 6], [7, 8, 9]], pad_id=0)
    assert ids.tolist() == [[0, 5, 6], [7, 8, 9]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1]]


def test_an_answer_ends_with_what_ends_it():
    rows = [[9, 5], [9, 9, 9, 3], [9, 30]]
    assert said(counting_down(), rows, most=4) == [[4, 3, 2], [2], [29, 28, 27, 26]]


def test_rows_that_have_ended_leave_the_batch_when_they_are_half_of_it():
    model = counting_down()
    said(model, [[9, 2 + n] for n in (1, 2, 3, 10)], most=20)
    assert model.shapes == [(4, 2), (4, 1), (2, 1), *[(1, 1)] * 7]


def test_rows_of_many_lengths_keep_their_own_answers():
    rng = np.random.default_rng(0)
    rows = [[*rng.integers(3, 90, size=rng.integers(0, 9)).tolist(), int(rng.integers(3, 40))] for _ in range(50)]
    batches = [range(7), [30], range(7, 30), range(31, 50)]
    expected = [list(range(row[-1] - 1, 1, -1))[:25] for row in rows]
    assert said(counting_down(), rows, batches, most=25) == expected


def test_the_stop_text_ends_an_answer():
    tokenizer = toy_tokenizer()
    model = counting_down()
    start, stop = tokenizer("fcba", add_special_tokens=False)["input_ids"][:2]  # f, then e, d, c
    assert said(model, [[start]], most=20, stop=StopText("c", tokenizer)) == [[start - 1, start - 2, stop]]
    assert len(model.shapes) == 3


CAUSAL = [name for name in families.FAMILIES if name not in ("bart", "t5")]


def random_rows(n: int, vocabulary: int, longest: int) -> list[list[int]]:
    rng = np.random.default_rng(3)
    return [rng.integers(3, vocabulary, size=rng.integers(2, longest)).tolist() for _ in range(n)]


def ends_and_answers(model, rows, most: int) -> tuple[list[int], list[list[int]]]:
    """Ids that end the rows at different times, and what each row says alone until then."""
    free = [said(model, [row], most=most, ends=())[0] for row in rows]
    ends = sorted({new[i % most] for i, new in enumerate(free) if i % 2})
    stops = [next((n for n, token in enumerate(new, 1) if token in ends), most) for new in free]
    assert len({*stops}) > 1
    return ends, [new[:n] for new, n in zip(free, stops, strict=True)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CAUSAL)
def test_every_family_says_in_a_batch_what_it_says_alone(name):
    model, rows = families.build(name), random_rows(9, families.VOCAB, 20)
    ends, expected = ends_and_answers(model, rows, 16)
    assert said(model, rows, most=16, ends=ends) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_window_shorter_than_the_prompts_slides_on():
    model, rows = families.build("mistral", sliding_window=6), random_rows(8, families.VOCAB, 24)
    ends, expected = ends_and_answers(model, rows, 14)
    assert said(model, rows, most=14, ends=ends) == expected


def test_a_processor_is_told_the_rows_that_are_left():
    told = []

    class Nothing(LogitsProcessor):
        def __call__(self, input_ids, scores):
            return scores

    def processor(rows, prompt):
        told.append((list(rows), prompt))
        return Nothing()

    rows = [[9, 2 + n] for n in (1, 8, 1, 9)]
    said(counting_down(), rows, [[0, 1], [3, 2]], processor=processor)
    assert told == [([0, 1], 2), ([1], 2), ([3, 2], 2), ([3], 2)]


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_keeps_a_state_is_read_again_once_and_then_runs_to_its_ends():
    model, rows, calls = families.build("mamba"), random_rows(12, families.VOCAB, 20), []
    first = {said(model, [row], most=1, ends=())[0][0] for row in rows[:4]}  # most of the first six end at once
    inner = model.generate
    model.generate = lambda **options: calls.append(len(options["input_ids"])) or inner(**options)
    said(model, rows, [range(6), range(6, 12)], most=30, ends=first)
    assert len(calls) == 3
    assert calls[0] == calls[2] == 6
    assert calls[1] <= 2


STOPS = ["\n", "\n\n", "###", "\u00e9", " end", "b "]


def steps_until(stop: str, text: str, tokenizer) -> tuple[int | None, int | None]:
    """At which token the stop text is seen, and where it is there by definition."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    seen = StopText(stop, tokenizer)
    prefixes = range(1, len(ids) + 1)
    asked = (n for n in prefixes if seen.may_end_with(ids[n - 1]) and seen.is_in(ids[:n]))
    there = (n for n in prefixes if stop in decoded(ids[:n], tokenizer))
    return next(asked, None), next(there, None)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "b ", "#", "##", "\n", " ", "end", " end", "\u00e9", "\u00e8", "\U0001f600", "e\u0301"])
    )
)
@pytest.mark.parametrize("stop", STOPS)
def test_the_stop_text_is_seen_at_the_token_that_completes_it(stop, parts):
    seen, there = steps_until(stop, "".join(parts), toy_tokenizer())
    assert seen == there


@pytest.mark.parametrize("stop", STOPS)
def test_it_is_seen_in_sentencepiece_too(lab, stop):
    tokenizer = llama_tokenizer(lab / "llama_tokenizer" / "tokenizer.bin")
    for text in ("one\n\ntwo ### three end b c", "\n\nCaf\u00e9 au\nlait#### b\n", "weekend end\n", "\u00e8\u00e9 b "):
        seen, there = steps_until(stop, text, tokenizer)
        assert seen == there


def test_most_tokens_are_never_decoded_twice():
    tokenizer = toy_tokenizer()
    decodes = []
    inner = tokenizer.decode
    tokenizer.decode = lambda ids, **options: decodes.append(len(ids)) or inner(ids, **options)
    stop = StopText("\n", tokenizer)
    ids = tokenizer("abcabcabc", add_special_tokens=False)["input_ids"]
    assert not any(stop.may_end_with(token) for token in ids)
    assert decodes == [1, 1, 1]
