"""The lines of a notebook, cell after cell, on the embedded model: what each shows is static, small and readable."""

from __future__ import annotations

import ast
import json

import pytest

pytestmark = pytest.mark.slow

CELLS = (
    "import lorascope",
    "profile = lorascope.probe('embedded', 'support.jsonl', batches=4, batch_size=4)",
    "profile",
    "profile.plot()",
    "profile.save('profiles/support'); lorascope.load('profiles/support').to_pandas().head()",
    "profile.compare('attention', 'mlp')",
    "choice = lorascope.recommend(profile, 'like=attention_only:r=4')",
    "choice",
    "from datasets import Dataset\nfrom peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer\n"
    "from lorascope.models.embedded import FOLDER\n"
    "trainer = SFTTrainer(str(FOLDER), args=SFTConfig('results/support/checkpoints', max_steps=2, bf16=False,\n"
    "    activation_checkpointing=False, use_cpu=True, report_to='none', logging_steps=1),\n"
    "    train_dataset=Dataset.from_json('support.jsonl').rename_column('target', 'completion'),\n"
    "    peft_config=LoraConfig(r=4, target_modules='all-linear'),\n"
    "    callbacks=[lorascope.GradientNormCallback('results/support')])",
    "trainer.train(); None",
    "lorascope.report('results/support')",
)


def run(cell, names):
    """What a notebook has of a cell: the value of its last expression."""
    tree = ast.parse(cell)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(last, "<cell>", "eval"), names) if last else None


def test_every_cell_runs_and_what_is_shown_is_small_and_without_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pubs = [f"{colour} {what}" for colour in ("Red", "Blue", "Old", "New") for what in ("Mill", "Fox", "Crown", "Inn",
              "Bell", "Oak", "Ship", "Swan")]  # fmt: skip
    rows = [{"prompt": f"name[The {name}], eatType[pub]", "target": f" The {name} is a pub."} for name in pubs]
    (tmp_path / "support.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names: dict = {}
    shown = {cell: run(cell, names) for cell in CELLS}
    for value in (names["profile"], names["choice"], shown["lorascope.report('results/support')"]):
        text = value._repr_html_()
        assert len(text.encode()) < 60_000
        assert "<script" not in text
    assert shown["profile"] is names["profile"]
    assert "attention" in str(shown["profile.compare('attention', 'mlp')"])
    assert len(shown["profile.plot()"].axes) > 0
    assert len(shown[CELLS[4]]) == 5
    assert (tmp_path / "results" / "support" / "report.html").is_file()
