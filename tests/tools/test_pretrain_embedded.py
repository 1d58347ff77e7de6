from itertools import islice

import pretrain_embedded as pretrain
import pytest
import torch
from corpus import documents
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


def test_the_rate_follows_its_cosines():
    rates = [pretrain.schedule(step) for step in range(pretrain.STEPS)]
    assert rates[0] == pytest.approx(1 / pretrain.WARM_UP)
    assert max(rates) == rates[pretrain.WARM_UP] == pytest.approx(1)
    assert rates[1230] == pytest.approx(0.02 + 0.49)  # half way down the first cosine: (60 + 2400) / 2
    assert rates[1799] > 20 * rates[1800] > 0  # the second one begins
    assert rates[1860] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.4 * 0.02, abs=1e-4)


def test_the_corpuss_stages_last_to_the_end():
    assert len(pretrain.STAGE_ENDS) == len(pretrain.STAGES)
    assert pretrain.STAGE_ENDS[-1] == pretrain.STEPS
    assert list(pretrain.STAGE_ENDS) == sorted(pretrain.STAGE_ENDS)


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
