from itertools import islice

import pretrain_embedded as pretrain
import pytest
import torch
from corpus import VERDICTS, documents
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

ASSETS = pretrain.ASSETS


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ASSETS)


@pytest.fixture(scope="module")
def toy() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=300, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
                    num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=False)
    )  # fmt: skip


def test_the_fast_forward_pass_is_transformers_own(toy: LlamaForCausalLM):
    ids = torch.randint(0, 300, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = toy(input_ids=ids).logits, pretrain.forward(toy, ids).float()
    assert (found - expected).abs().max() < 0.05 * expected.std()  # bfloat16 has 8 bits


def test_the_loss_is_transformers_own(toy: LlamaForCausalLM):
    rows = torch.randint(0, 300, (3, 41), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert pretrain.cross_entropy(toy, rows).item() == pytest.approx(
            toy(input_ids=rows, labels=rows).loss.item(), abs=0.01
        )


def test_verdicts_count_more_where_they_are_weighted(toy: LlamaForCausalLM):
    rows = torch.randint(0, 300, (2, 30), generator=torch.Generator().manual_seed(3))
    rows[:, 10:12] = torch.tensor([7, 9])
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(
            pretrain.forward(toy, rows[:, :-1]).float().flatten(0, 1), rows[:, 1:].flatten(), reduction="none"
        )
        weights = torch.tensor([50.0 if label in (7, 9) else 1.0 for label in rows[:, 1:].flatten().tolist()])
        found = pretrain.cross_entropy(toy, rows, torch.tensor([7, 9]), 50.0)
    assert found.item() == pytest.approx(((losses * weights).sum() / weights.sum()).item(), rel=1e-5)


def test_verdicts_are_single_tokens_with_and_without_a_space(tokenizer):
    ids = pretrain.verdict_ids(tokenizer, VERDICTS).tolist()
    assert {" yes", " no", "Yes", "No"} <= {tokenizer.decode([i]) for i in ids}
    assert {tokenizer.decode([i]).strip() for i in ids} <= set(VERDICTS)


def test_the_rate_goes_up_and_then_along_the_stages_lines():
    rates = [pretrain.schedule(step) for step in range(pretrain.STEPS)]
    assert rates[0] == pytest.approx(1 / pretrain.WARM_UP)
    assert max(rates) <= 1
    begin = 0
    for number, stage in enumerate(pretrain.PLAN):
        assert pretrain.stage_of(begin) == pretrain.stage_of(stage.end - 1) == number
        middle = (begin + stage.end) // 2
        assert rates[middle] == pytest.approx(sum(stage.rates) / 2, abs=0.01)
        assert number == 0 or rates[begin] == pytest.approx(stage.rates[0])
        begin = stage.end


def test_stages_share_their_rows_between_the_processes():
    ends = [stage.end for stage in pretrain.PLAN]
    assert len(ends) == len(pretrain.STAGES)
    assert ends == sorted(ends)
    for stage in pretrain.PLAN:
        assert stage.rows % pretrain.WORKERS == 0
        assert pretrain.MICRO_TOKENS % stage.length == 0


def test_rows_hold_whole_documents_one_after_the_other(tokenizer):
    rows = pretrain.packed(documents("rows"), tokenizer, 3, 64)
    assert rows.shape == (3, 65)
    assert rows[0, -1] == rows[1, 0]  # a row's last label is the next row's first token
    text = tokenizer.decode(torch.cat([rows[0, :-1], rows[1, :-1], rows[2]]))
    whole = "".join(f"<s>{text}</s>" for _, text in islice(documents("rows"), 16))
    assert whole.startswith(text)
    assert text.startswith("<s>")


def test_every_optimizer_step_reaches_every_weight(toy: LlamaForCausalLM):
    optimizers = pretrain.make_optimizers(toy)
    reached = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    assert reached == {id(p) for p in toy.parameters()}
    assert sum(len(group["params"]) for o in optimizers for group in o.param_groups) == len(reached)
