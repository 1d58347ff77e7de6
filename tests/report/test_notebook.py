"""What a notebook shows: tables that read without their colours, small, without script, with nothing of a name run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from facts import probe_profile
from lorascope.analysis.sensitivity import PART_COLUMNS, SensitivityProfile
from lorascope.analysis.statistics import Estimate
from lorascope.config.allocation import Allocation, constant_alphas
from lorascope.report.notebook import SHADES
from lorascope.report.profile_view import profile_lines

EVIL = '<script>window.evil=1</script><img src=x onerror="1">'


class Words(HTMLParser):
    """The tags of a text, and its tables as rows of words: all that is left without styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.said = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, words):
        self.said += words
        if self.tags and self.tags[-1] in ("td", "th"):
            self.rows[-1][-1] += words


def large_profile(layers=80, kinds=("q", "k", "v", "o", "gate", "up", "down"), **about):
    rows = [
        (f"model.layers.{layer}.{kind}", layer, "decoder", kind, "attention" if kind in "qkvo" else "mlp", "linear",
         8, 8, 1, 64, 16)
        for layer in range(layers)
        for kind in kinds
    ]  # fmt: skip
    parts = pd.DataFrame(rows, columns=list(PART_COLUMNS)).astype({"layer": "Int64"})
    value = np.random.default_rng(0).lognormal(size=len(parts))
    base = probe_profile()
    without = value[:, None] * (1 + 0.01 * np.random.default_rng(1).normal(size=(len(parts), 16)))
    return SensitivityProfile(
        parts=parts, scores={"signal": Estimate(value, without)}, n=32, tau=0.9, loss=base.loss, about=about,
        spectra=base.spectra,
    )  # fmt: skip


def test_a_profile_reads_as_the_terminals_map_with_all_styles_removed():
    profile = probe_profile(np.array([1.0, 2, 3, 4, -0.5, 6, 7, 8]), spread=0.05)
    shown = Words(profile._repr_html_())
    lines = [line.split() for line in profile_lines(profile)]
    for kind in ("q", "o", "up"):
        assert [kind, *next(row[1:] for row in lines if row and row[0] == kind)] in shown.rows
    assert next(row for row in shown.rows if row[0] == "q") == ["q", "0", "."]
    assert str(profile.verdict).replace("mlp", "MLP") in shown.said
    assert {"attention", "mlp"} < {row[0] for row in shown.rows}


@pytest.mark.parametrize("layers", [32, 126])
def test_it_is_static_and_below_60_kilobytes(layers):
    text = large_profile(layers)._repr_html_()
    assert len(text.encode()) < 60_000
    assert set(Words(text).tags) == {"div", "p", "strong", "br", "table", "tr", "th", "td"}
    assert not re.search("url|href|src=|on[a-z]+=", text)


def test_nothing_in_a_name_becomes_a_part_of_it():
    for text in (
        large_profile(2, model=EVIL, dataset=EVIL)._repr_html_(),
        allocation(name=EVIL)._repr_html_(),
    ):
        assert not {"script", "img"} & set(Words(text).tags)
        assert "window.evil=1" in Words(text).said


def luminance(colour):
    def linear(part):
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_digits_can_be_read_on_their_shades_and_more_is_darker():
    shades = [luminance(shade) for shade in SHADES]
    assert shades == sorted(shades, reverse=True)
    found = dict(re.findall(r"background:(#\w+);color:(#\w+)", large_profile()._repr_html_()))
    assert set(found) == set(SHADES)
    for shade, letters in found.items():
        light, dark = sorted((luminance(shade), 1.0 if letters == "#fff" else 0.0), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, shade


def allocation(name="toy"):
    ranks = {"model.layers.0.self_attn.q_proj": 4, "model.layers.1.self_attn.q_proj": 0, "model.layers.1.up": 12,
             "lm_head": 2}  # fmt: skip
    return Allocation(ranks=ranks, alphas=constant_alphas(ranks, 4.0), budget_params=1200, used_params=1100,
                      method="uniform", base_model=name)  # fmt: skip


def test_an_allocation_shows_every_rank_and_what_of_the_budget_is_left():
    shown = Words(allocation()._repr_html_())
    assert shown.rows == [
        ["layer", "0", "1"],
        ["model.layers.*.self_attn.q_proj", "4", "-"],
        ["model.layers.*.up", "", "12"],
    ]
    assert "uniform on toy: 1,100 trained parameters of 1,200 asked for, 100 left" in shown.said
    assert "lm_head: rank 2" in shown.said


def test_the_plain_text_of_a_profile_is_the_terminals():
    profile = probe_profile(spread=0.1)
    assert repr(profile) == "\n".join(profile_lines(profile))
