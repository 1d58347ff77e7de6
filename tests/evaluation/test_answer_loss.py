import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from lorascope.errors import TrainingError
from lorascope.evaluation.answer_loss import answer_loss_tally, answer_losses
from lorascope.tasks.base import Example
from lorascope.training.encoding import Encoded, encode
from toy import toy_model, toy_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft reads the old name


def rows(n: int = 12, seed: int = 0) -> list[Encoded]:
    rng = np.random.default_rng(seed)

    def letters(most: int) -> str:
        return "".join(rng.choice(list("abcdefgh "), size=rng.integers(1, most)))

    examples = [
        Example(id=str(i), prompt=letters(50) + "\n", target=letters(30), references=(), group="") for i in range(n)
    ]
    return encode(examples, toy_tokenizer(), 512)[0]


@torch.no_grad()
def one_by_one(model, encoded: list[Encoded], start: int | None = None) -> tuple[list[float], list[int]]:
    """The definition, in double precision: no padding, no batch."""
    nats, tokens = [], []
    for row in encoded:
        first = row.prompt_tokens if start is None else start
        logits = model(torch.tensor([row.input_ids]), use_cache=False).logits[0, first - 1 : -1]
        target = torch.tensor(row.input_ids[first:])
        nats.append(cross_entropy(logits.double(), target, reduction="sum").item())
        tokens.append(len(target))
    return nats, tokens


@pytest.mark.parametrize("batch_tokens", [1, 200, 8192])
def test_equals_cross_entropy_one_by_one_in_batches_of_any_size(batch_tokens):
    model, encoded = toy_model(), rows()
    nats, tokens = answer_losses(model, encoded, pad_id=0, batch_tokens=batch_tokens)
    expected_nats, expected_tokens = one_by_one(model, encoded)
    np.testing.assert_allclose(nats, expected_nats, rtol=2e-6)
    assert tokens.tolist() == expected_tokens


def test_the_end_of_sequence_is_an_answer_token():
    row = rows(1)[0]
    assert row.input_ids[-1] == 2
    assert answer_losses(toy_model(), [row], pad_id=0)[1].tolist() == [len(row.input_ids) - row.prompt_tokens]


def test_padding_with_the_end_of_sequence_token_changes_nothing():
    model, encoded = toy_model(), rows()
    np.testing.assert_array_equal(
        answer_losses(model, encoded, pad_id=0)[0], answer_losses(model, encoded, pad_id=2)[0]
    )


def test_loss_on_all_counts_every_token_but_the_first():
    model, encoded = toy_model(), rows(5)
    nats, tokens = answer_losses(model, encoded, pad_id=0, loss_on="all")
    expected_nats, expected_tokens = one_by_one(model, encoded, start=1)
    np.testing.assert_allclose(nats, expected_nats, rtol=2e-6)
    assert tokens.tolist() == expected_tokens


def test_order_does_not_matter():
    model, encoded = toy_model(), rows()
    nats, _ = answer_losses(model, encoded, pad_id=0, batch_tokens=200)
    back, _ = answer_losses(model, encoded[::-1], pad_id=0, batch_tokens=200)
    np.testing.assert_allclose(back[::-1], nats, rtol=2e-6)


def test_the_loss_is_taken_in_float32_whatever_the_model():
    model, encoded = toy_model(dtype=torch.bfloat16), rows(4)
    nats, _ = answer_losses(model, encoded, pad_id=0, batch_tokens=1)
    np.testing.assert_allclose(nats, one_by_one(model, encoded)[0], rtol=1e-5)  # bf16 log-softmax would be off by 1e-2


def test_learned_positions_and_adapters_work():
    torch.manual_seed(0)
    sizes = {"vocab_size": 259, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 128}
    gpt2 = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=2))
    lora = LoraConfig(target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    for model in (gpt2.eval(), get_peft_model(toy_model(), lora).eval()):
        nats, _ = answer_losses(model, rows(6), pad_id=0, batch_tokens=150)
        np.testing.assert_allclose(nats, one_by_one(model, rows(6))[0], rtol=2e-6)


def test_a_model_that_gives_all_logits_works_too():
    model, encoded = toy_model(), rows(6)
    inner = model.forward
    model.forward = lambda input_ids, attention_mask, use_cache: inner(input_ids, attention_mask, use_cache=use_cache)
    nats, _ = answer_losses(model, encoded, pad_id=0, batch_tokens=150)
    np.testing.assert_allclose(nats, one_by_one(toy_model(), encoded)[0], rtol=2e-6)


def test_only_logits_from_the_first_answer_token_on_are_computed():
    model, encoded = toy_model(), rows(6)
    widths: list[tuple[int, ...]] = []
    model.lm_head.register_forward_hook(lambda m, a, out: widths.append(tuple(out.shape)))
    answer_losses(model, encoded, pad_id=0, batch_tokens=1)
    by_length = sorted(encoded, key=lambda r: -len(r.input_ids))
    assert [w[1] for w in widths] == [len(r.input_ids) - r.prompt_tokens + 1 for r in by_length]


def test_a_model_in_training_goes_on_as_it_was():
    model = get_peft_model(toy_model(), LoraConfig(target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM"))
    model.train()
    modes = [m.training for m in model.modules()]
    state = torch.random.get_rng_state()
    nats, _ = answer_losses(model, rows(4), pad_id=0)
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_allclose(nats, one_by_one(toy_model(), rows(4))[0], rtol=2e-6)


def test_no_cache_is_kept_and_no_inference_tensor_can_stay_behind():
    model, seen = toy_model(), []
    model.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append((kwargs["use_cache"], torch.is_inference_mode_enabled())), with_kwargs=True
    )
    answer_losses(model, rows(2), pad_id=0, batch_tokens=1)
    assert seen == [(False, False)] * 2


def test_no_rows_no_losses():
    nats, tokens = answer_losses(toy_model(), [], pad_id=0)
    assert (nats.shape, tokens.shape) == ((0,), (0,))


def test_out_of_memory_is_explained():
    model = toy_model()

    def fail(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(fail)
    with pytest.raises(TrainingError, match="out-of-memory"):
        answer_losses(model, rows(2), pad_id=0, batch_tokens=1)


def test_the_corpus_loss_is_nats_over_tokens():
    tally = answer_loss_tally(np.array([6.0, 2.0, 0.0]), np.array([3, 1, 0]))
    assert tally.value == 2.0  # 8 nats over 4 tokens, not the mean of 2, 2 and nothing
    np.testing.assert_array_equal(tally.per_example, [2.0, 2.0, np.nan])
    assert len(tally.statistics) == 2
    assert not tally.higher_is_better
