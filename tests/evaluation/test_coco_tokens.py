"""The COCO scorers' tokens against those of the Java program that the official scripts run, frozen here."""

import csv
import hashlib

import pytest

from lorascope.evaluation.metrics.coco_tokens import coco_tokens

FROZEN = """
The Wrestlers' prices aren't high, it's near Caf\u00e9 Rouge's: \u00a320-25 (children's menu).
the wrestlers prices are n't high it 's near caf\u00e9 rouge 's # 20-25 -lrb- children 's menu -rrb-

It's "cheap" -- a 5-star, family-friendly pub... isn't it?! You'll love it!!
it 's cheap a 5-star family-friendly pub is n't it ?! you 'll love it !!

Near St. John's Rd. it costs \u00a320.00, not 4.5/5; 3 out of 5 and/or 3/5.
near st. john 's rd. it costs # 20.00 not 4.5 / 5 3 out of 5 and/or 3/5

They can't, won't and cannot say they've gone: we'd go, I'm in.
they ca n't wo n't and can not say they 've gone we 'd go i 'm in

city centre.It is food,low-priced, and center., too \u2013 R&B at 7 p.m. etc.
city centre.it is food,low-priced and center. too r&b at 7 p.m. etc.

\u2018The Eagle\u2019 isn\u2019t \u201ckid friendly\u201d \u2014 \u20ac30 [sic] {x} a_b 100% \u00bd #1 O'Brien
the eagle is n't kid friendly $ 30 -lsb- sic -rsb- -lcb- x -rcb- a_b 100 % 1/2 # 1 o'brien

It sells fish & chips at 1,000 places on 10:30, 5* rated \U0001f642 ok\U0001f642
it sells fish & chips at 1,000 places on 10:30 5 * rated ok
""".strip().split("\n\n")


@pytest.mark.parametrize("pair", FROZEN, ids=range(len(FROZEN)))
def test_tokens_are_the_original_programs(pair):
    text, tokens = pair.split("\n")
    assert coco_tokens(text) == tokens.split()


@pytest.mark.parametrize("text", ["", " \n", "...", "' - ,", "\U0001f600"])
def test_nothing_but_punctuation_is_no_token(text):
    assert coco_tokens(text) == []


@pytest.mark.parametrize(
    ("file", "count", "digest"),
    [
        ("devset.csv", 4_672, "30fea3f80eb8342da82656dbe66a3242e1ff735f783140a6098403a09ec0b7d5"),
        ("testset_w_refs.csv", 4_693, "e3f851d104b326fb05e166dcccd23214ac3d3bc0e0c6a31a94aaa25514af085a"),
    ],
)
def test_all_references_have_the_original_programs_tokens(lab, file, count, digest):
    with (lab / "data" / "e2e_nlg" / file).open(newline="", encoding="utf-8") as rows:
        references = [" ".join(row["ref"].split()) for row in csv.DictReader(rows)]
    assert len(references) == count
    lines = "\n".join(" ".join(coco_tokens(reference)) for reference in references)
    assert hashlib.sha256(lines.encode()).hexdigest() == digest
