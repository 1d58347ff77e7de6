import logging
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from lorascope.config.experiment import DataConfig, ModelConfig
from lorascope.errors import ConfigError, DataError, TrainingError
from lorascope.evaluation.generate import decoding, end_ids, generate
from lorascope.evaluation.merging import merged
from lorascope.models.base import load_base
from lorascope.tasks import TASKS
from lorascope.tasks.split import load_evaluation
from lorascope.training.encoding import encode_prompts
from toy import toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft reads the old name

ALPHABET = list("abcdefghijklmnopqrstuvwxyz ,.")


def prompts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(ALPHABET, size=rng.integers(1, 60))) + "\n" for _ in range(n)]


@pytest.fixture
def tokenizer():
    return toy_tokenizer()


def brute_force(model, tokenizer, prompt: str, max_new_tokens: int) -> list[int]:
    """Greedy decoding by hand: no cache, no padding, one token at a time."""
    (ids,) = encode_prompts([prompt], tokenizer)
    new: list[int] = []
    for _ in range(max_new_tokens):
        new.append(int(model(torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
    return new


def test_batched_output_equals_one_by_one(tokenizer):
    model, asked = toy_model(), prompts(32)
    batched = generate(model, tokenizer, asked, max_new_tokens=20, batch_tokens=500)
    single = [generate(model, tokenizer, [p], max_new_tokens=20)[0] for p in asked]
    assert batched == single
    assert len(set(batched)) > 16  # the toy does not say the same to everybody


@pytest.mark.parametrize("batch_tokens", [1, 200, 8192])
def test_greedy_output_is_the_argmax_of_every_step(tokenizer, batch_tokens):
    model, asked = toy_model(), prompts(10)
    with torch.no_grad():
        expected = [brute_force(model, tokenizer, p, 12) for p in asked]
    ends = [row.index(2) if 2 in row else len(row) for row in expected]
    texts = [tokenizer.decode(row[:end], skip_special_tokens=True) for row, end in zip(expected, ends, strict=True)]
    assert generate(model, tokenizer, asked, max_new_tokens=12, batch_tokens=batch_tokens) == [
        t.split("\n")[0].strip() for t in texts
    ]


def test_order_of_prompts_does_not_matter(tokenizer):
    model, asked = toy_model(), prompts(20)
    straight = generate(model, tokenizer, asked, max_new_tokens=10, batch_tokens=200)
    assert generate(model, tokenizer, asked[::-1], max_new_tokens=10, batch_tokens=200) == straight[::-1]


def says(text: str, tokenizer, *, stop: str | None = "\n", max_new_tokens: int = 40) -> tuple[str, int]:
    """What generate makes of a model that says `text` and then end-of-sequence, and how many tokens it let it say."""
    script = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    said: list[int] = []
    model = toy_model()

    def speak(module, args, output):
        said.append(script[len(said)])
        output.logits = torch.zeros_like(output.logits)
        output.logits[:, -1, said[-1]] = 1.0
        return output

    model.register_forward_hook(speak)
    answer = generate(model, tokenizer, ["question\n"], max_new_tokens=max_new_tokens, stop=stop)[0]
    return answer, len(said)


def test_an_answer_ends_at_end_of_sequence(tokenizer):
    assert says("yes", tokenizer) == ("yes", 4)


def test_an_answer_ends_before_the_stop_text_and_generation_with_it(tokenizer):
    assert says("yes\nno\nmaybe", tokenizer) == ("yes", 4)


def test_the_newline_that_ends_the_prompt_is_no_stop(tokenizer):
    assert says("a", tokenizer) == ("a", 2)


def test_empty_lines_in_front_are_no_answer(tokenizer):
    assert says("\n \n\nyes\nno", tokenizer) == ("yes", 8)


def test_a_stop_text_of_many_characters_is_found(tokenizer):
    assert says("one ### two", tokenizer, stop="###") == ("one", 7)


def test_without_stop_text_newlines_stay(tokenizer):
    assert says("one\ntwo", tokenizer, stop=None)[0] == "one\ntwo"


def test_an_answer_ends_after_max_new_tokens(tokenizer):
    assert says("abcdefgh", tokenizer, max_new_tokens=3) == ("abc", 3)


def test_white_space_at_the_ends_goes(tokenizer):
    assert says("  two words ", tokenizer)[0] == "two words"


def test_an_answer_of_many_bytes_per_character_survives(tokenizer):
    assert says("caf\u00e9 \U0001f600", tokenizer)[0] == "caf\u00e9 \U0001f600"


def test_the_checkpoints_sampling_flags_do_not_count(tokenizer):
    asked, model = prompts(6), toy_model()
    plain = generate(model, tokenizer, asked, max_new_tokens=15)
    kept = GenerationConfig(
        do_sample=True, temperature=0.1, top_k=3, repetition_penalty=5.0, no_repeat_ngram_size=1, eos_token_id=2
    )
    model.generation_config = kept
    assert generate(model, tokenizer, asked, max_new_tokens=15) == plain
    assert model.generation_config is kept


def test_the_checkpoints_own_ends_count(tokenizer):
    model = toy_model()
    model.generation_config.eos_token_id = [7, 9]
    assert end_ids(model, tokenizer) == [2, 7, 9]


def test_padding_with_the_end_of_sequence_token_changes_nothing(tokenizer):
    model, asked = toy_model(), prompts(12)
    without = toy_tokenizer(pad=False)
    assert generate(model, without, asked, max_new_tokens=10) == generate(model, tokenizer, asked, max_new_tokens=10)


def test_sampling_repeats_with_its_seed_and_leaves_the_global_generator_alone(tokenizer):
    model, asked = toy_model(), prompts(6)
    state = torch.random.get_rng_state()
    one = generate(model, tokenizer, asked, max_new_tokens=15, temperature=1.0, seed=1)
    assert one == generate(model, tokenizer, asked, max_new_tokens=15, temperature=1.0, seed=1)
    assert one != generate(model, tokenizer, asked, max_new_tokens=15, temperature=1.0, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_tiny_nucleus_is_greedy(tokenizer):
    model, asked = toy_model(), prompts(6)
    nucleus = generate(model, tokenizer, asked, max_new_tokens=10, temperature=1.0, top_p=1e-9)
    assert nucleus == generate(model, tokenizer, asked, max_new_tokens=10)


def test_sampling_takes_from_the_whole_distribution(tokenizer):
    assert decoding(toy_model(), tokenizer, max_new_tokens=1, temperature=0.7).top_k == 0


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0}, {"temperature": -1.0}, {"top_p": 0.9}, {"max_new_tokens": 0}, {"batch_size": 0}],
)
def test_wrong_settings_are_named(tokenizer, wrong):
    with pytest.raises(ConfigError, match="config-value"):
        generate(toy_model(), tokenizer, ["a"], **({"max_new_tokens": 4} | wrong))


def test_a_model_in_training_goes_on_as_it_was(tokenizer):
    model = get_peft_model(toy_model(), LoraConfig(target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM"))
    model.train()
    model.get_base_model().model.layers[0].eval()  # a part that somebody keeps out of training
    model.config.use_cache = False
    modes = [m.training for m in model.modules()]
    asked = prompts(4)
    first = generate(model, tokenizer, asked, max_new_tokens=8)
    assert [m.training for m in model.modules()] == modes
    assert model.config.use_cache is False
    assert first == generate(toy_model(), tokenizer, asked, max_new_tokens=8)  # B = 0, no dropout: the base's answers


def test_the_cache_is_on_though_training_turned_it_off(tokenizer):
    model, widths = toy_model(), []
    model.config.use_cache = False
    model.model.embed_tokens.register_forward_hook(lambda m, args, out: widths.append(out.shape[1]))
    generate(model, tokenizer, ["abc\n"], max_new_tokens=4, stop=None)
    assert widths == [5, 1, 1, 1]


def test_a_prompt_that_does_not_fit_is_refused_or_cut(tokenizer):
    model = toy_model()
    long = "x" * 505 + "\n"
    with pytest.raises(ConfigError, match="507 tokens and 8 new ones exceed"):
        generate(model, tokenizer, [long], max_new_tokens=8)
    generate(model, tokenizer, [long], max_new_tokens=5)
    cut = generate(model, tokenizer, [long], max_new_tokens=8, max_prompt_tokens=20)
    assert cut == generate(model, tokenizer, ["x" * 18 + "\n"], max_new_tokens=8)


def test_an_empty_prompt_needs_a_beginning_of_sequence(tokenizer):
    generate(toy_model(), tokenizer, [""], max_new_tokens=2)
    with pytest.raises(DataError, match="empty-prompt"):
        generate(toy_model(), toy_tokenizer(bos=False), ["a", ""], max_new_tokens=2)


def test_a_batch_holds_prompts_and_answers_of_its_budget(tokenizer):
    model, shapes = toy_model(), []
    model.model.embed_tokens.register_forward_hook(lambda m, args, out: shapes.append(tuple(out.shape[:2])))
    asked = ["a" * n + "\n" for n in (3, 30, 3, 12, 10)]  # with <s>, 5, 32, 5, 14 and 12 tokens
    generate(model, tokenizer, asked, max_new_tokens=2, batch_tokens=34, stop=None)
    assert [shape for shape in shapes if shape[1] > 1] == [(1, 32), (2, 14), (2, 5)]


def test_batch_size_bounds_the_prompts_of_a_batch(tokenizer):
    model, rows = toy_model(), []
    model.model.embed_tokens.register_forward_hook(lambda m, args, out: rows.append(out.shape[0]))
    generate(model, tokenizer, ["a\n"] * 5, max_new_tokens=1, batch_size=2)
    assert rows == [2, 2, 1]


def test_no_prompts_no_answers(tokenizer):
    assert generate(toy_model(), tokenizer, [], max_new_tokens=2) == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_names_a_smaller_batch_and_restores_the_model(tokenizer, error):
    model = toy_model().train()
    kept = model.generation_config

    def fail(*args: object) -> None:
        raise error

    model.register_forward_pre_hook(fail)
    with pytest.raises(TrainingError, match=r"out-of-memory.*2,000 tokens at a time(.|\n)*--eval_batch_tokens 500"):
        generate(model, tokenizer, ["a"], max_new_tokens=2, batch_tokens=2000)
    assert model.training
    assert model.generation_config is kept


def test_other_errors_pass(tokenizer):
    model = toy_model()

    def fail(*args: object) -> None:
        raise RuntimeError("shapes differ")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        generate(model, tokenizer, ["a"], max_new_tokens=2)


def test_progress_counts_to_the_end(tokenizer):
    seen: list[tuple[int, int]] = []
    generate(toy_model(), tokenizer, prompts(7), max_new_tokens=2, batch_size=3, progress=lambda *c: seen.append(c))
    assert seen == [(3, 7), (6, 7), (7, 7)]


@pytest.fixture
def transformers_log() -> Iterator[list[str]]:
    messages: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler, logger = Keep(), logging.getLogger("transformers")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_transformers_has_nothing_to_say(tokenizer, transformers_log, temperature):
    model = toy_model()
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9, max_length=4096)
    generate(model, tokenizer, prompts(3), max_new_tokens=4, temperature=temperature)
    adapted = get_peft_model(toy_model(), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    generate(adapted, tokenizer, prompts(3), max_new_tokens=4, temperature=temperature)
    assert transformers_log == []


@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_says_what_plain_generate_says_one_prompt_at_a_time(tokenizer, merge):
    torch.manual_seed(2)
    lora = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    model, asked = get_peft_model(toy_model(), lora).eval(), prompts(24, seed=5)
    expected = []
    for ids in encode_prompts(asked, tokenizer):
        said = model.generate(input_ids=torch.tensor([ids]), do_sample=False, max_new_tokens=30)[0, len(ids) :]
        expected.append(tokenizer.decode(said, skip_special_tokens=True).lstrip().split("\n")[0].rstrip())
    with merged(model, encode_prompts(asked[:2], tokenizer)) if merge else nullcontext():
        assert generate(model, tokenizer, asked, max_new_tokens=30) == expected
    assert len({len(text) for text in expected}) > 3  # they end at different times


@pytest.mark.parametrize("batch_tokens", [300, 8192])
def test_sampling_repeats_though_rows_leave_their_batch(tokenizer, batch_tokens):
    model, asked = toy_model(), prompts(20)
    options = {"max_new_tokens": 30, "temperature": 1.2, "batch_tokens": batch_tokens, "ends": range(40, 60)}
    first = generate(model, tokenizer, asked, seed=3, **options)
    assert first == generate(model, tokenizer, asked, seed=3, **options)
    assert first != generate(model, tokenizer, asked, seed=4, **options)


REAL = {"e2e_nlg": 24, "samsum": 32}


@pytest.mark.slow
@pytest.mark.parametrize("task", REAL)
@pytest.mark.parametrize("where", ["lab", "embedded"])
def test_200_real_prompts_in_batches_say_what_each_says_alone(request, where, task):
    data, model = DataConfig(dataset=task, data_source="builtin"), "embedded"
    if where == "lab":
        home = request.getfixturevalue("lab")
        data, model = DataConfig(dataset=task, data_dir=str(home / "data" / task)), str(home / "base")
    base = load_base(ModelConfig(model_id=model, dtype="float32"), device=torch.device("cpu"))
    asked = [example.prompt for example in load_evaluation(TASKS[task], data, 100).examples]
    options = {"max_new_tokens": REAL[task], "max_prompt_tokens": TASKS[task].max_length}
    alone = [generate(base.model, base.tokenizer, [prompt], **options)[0] for prompt in asked]
    assert len(asked) == 100  # of each of two tasks
    assert generate(base.model, base.tokenizer, asked, **options) == alone
    assert generate(base.model, base.tokenizer, asked[::-1], batch_tokens=3000, **options) == alone[::-1]
    assert sum(map(bool, alone)) > 50
