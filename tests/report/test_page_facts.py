"""The numbers that travel in a page: the parquet's, at any frame, to the digits that the codes keep."""

from __future__ import annotations

import numpy as np
import pytest
from paged import big_table

from facts import fact, tidy
from lorascope.analysis import profiles
from lorascope.report.page_facts import ModelMap, Part, Score, curve, encode, map_of_run


def decoded(plain, blob, name):
    """(C, F) as the page's script decodes it."""
    part = plain["parts"][name]
    shape = (len(plain["cells"]), len(part["first"]))
    count = shape[0] * shape[1]
    planes = np.frombuffer(blob, np.uint8, 2 * count, part["at"])
    codes = planes[:count].astype(int) * 256 + planes[count:]
    value = part["low"] * np.exp((codes - 2) / 65532 * part["span"])
    return np.select([codes == 0, codes == 1, codes == 65535], [np.nan, 0.0, np.inf], value).reshape(shape)


def test_every_cell_at_every_step_is_the_parquets_value():
    table = big_table(3, 20)
    found = map_of_run(table)
    values = decoded(*encode(found), "B")
    for i, cell in enumerate(found.cells.to_dict("records")):
        rows = table[(table["module"] == cell["module"]) & (table["matrix"] == "B")]
        np.testing.assert_allclose(values[i], rows.sort_values("step")["value"], rtol=1e-4)


def test_the_gradient_of_A_is_exactly_0_at_the_first_step():
    assert (decoded(*encode(map_of_run(big_table(2, 5))), "A")[:, 0] == 0).all()


def test_frames_are_means_of_squares_over_blocks_of_steps():
    table = tidy([fact(step, "q", 0, "A", float(step)) for step in range(1, 8)])
    part = map_of_run(table, frames=3).parts["A"]
    assert part.first.tolist() == [1, 4, 7]
    assert part.last.tolist() == [3, 6, 7]
    assert part.values.tolist() == [[2.0, 5.0, 7.0]]


def test_what_a_phase_switched_off_is_absent_and_not_0():
    rows = [fact(step, "q", 0, "B", 2.0) for step in range(1, 5)] + [fact(3, "up", 0, "B", 4.0)]
    found = map_of_run(tidy(rows), frames=2)
    np.testing.assert_array_equal(found.parts["B"].values, [[2.0, 2.0], [np.nan, 4.0]])
    np.testing.assert_array_equal(np.isnan(decoded(*encode(found), "B")), [[False, False], [True, False]])


def test_what_is_not_finite_marks_its_frame():
    rows = [fact(1, "q", 0, "A", 1.0), fact(2, "q", 0, "A", float("nan")), fact(3, "q", 0, "A", float("inf"))]
    assert decoded(*encode(map_of_run(tidy(rows))), "A").tolist() == [[1.0, np.inf, np.inf]]


def test_modules_of_one_cell_add_up():
    rows = [fact(1, "up", 0, "A", 1.0), {**fact(1, "up", 0, "A", 2.5), "module": "model.layers.0.experts.1.up_proj"}]
    found = map_of_run(tidy(rows))
    assert found.parts["A"].values.tolist() == [[3.5]]
    assert found.cells["modules"].map(len).tolist() == [2]
    assert found.scores[0].per["A"].tolist() == [20.0]


def test_each_module_of_such_a_cell_is_kept_and_all_of_them_make_the_cell():
    names = ["model.layers.0.mlp.up_proj", "model.layers.0.experts.1.up_proj"]
    rows = [{**fact(step, "up", 0, "A", value), "module": name}
            for name, values in zip(names, ((1.0, 3.0), (4.0, 8.0)), strict=True)
            for step, value in enumerate(values, 1)]  # fmt: skip
    rows.append(fact(1, "q", 0, "A", 5.0))
    found = map_of_run(tidy(rows))
    up = found.cells["projection"].tolist().index("up")
    assert list(found.members) == [up]
    assert {m.module: (m.parts, m.per) for m in found.members[up]} == {
        names[0]: ({"A": 2.0}, {"A": 10.0}), names[1]: ({"A": 6.0}, {"A": 10.0})
    }  # fmt: skip
    assert sum(m.parts["A"] for m in found.members[up]) == found.parts["A"].values[up].mean()
    assert sum(m.per["A"] for m in found.members[up]) == found.scores[0].per["A"][up]


def test_rows_follow_the_data_flow():
    names = ["down", "o", "head", "q", "embed", "k"]
    rows = [fact(1, p, None if p in ("head", "embed") else 0, "A", 1.0) for p in names]
    assert map_of_run(tidy(rows)).cells["projection"].tolist() == ["embed", "q", "k", "o", "down", "head"]


@pytest.mark.parametrize("name", ["rms", "per_scaling", "raw"])
def test_scores_over_a_group_are_the_profiles(name):
    table = big_table(3, 6)
    found = map_of_run(table)
    score = next(score for score in found.scores if score.name == name)
    cells = (found.cells["group"] == "mlp").to_numpy()
    weight = score.weight if score.weight is not None else np.ones(len(cells))
    total = sum((found.parts[part].values * weight[:, None])[cells].sum(0) for part in score.matrices["A and B"])
    per = sum(values[cells].sum() for values in score.per.values()) if score.per else 1.0
    expected = profiles.group_series(table, normalise=name)
    np.testing.assert_allclose(np.sqrt(total / per), expected.loc[expected["group"] == "mlp", "value"])


def test_codes_keep_four_digits_over_twenty_decades():
    values = np.array([[1e-20, 3.3e-7, 1.0, 2.5e-20]])
    cells = map_of_run(tidy([fact(1, "q", 0, "A", 1.0)])).cells
    found = ModelMap(cells, {"A": Part(values, np.arange(4), np.arange(4))}, [])
    np.testing.assert_allclose(decoded(*encode(found), "A") ** 0.5, values**0.5, rtol=2e-4)


def test_intervals_and_noise_of_a_source_that_knows_them_travel():
    cells = map_of_run(tidy([fact(1, "q", 0, "A", 1.0)])).cells
    score = Score(name="signal", label="signal", unit="", hint="", matrices={"W": ["A"]},
                  interval=np.array([[0.5, 1.5]]), above_noise=np.array([False]))  # fmt: skip
    plain, _ = encode(ModelMap(cells, {"A": Part(np.ones((1, 1)), np.ones(1, int), np.ones(1, int))}, [score]))
    assert plain["scores"][0]["interval"] == [[0.5, 1.5]]
    assert plain["scores"][0]["above"] == [False]


def test_curves_are_block_means_and_a_hole_stays_one():
    assert curve([[1, 1.0], [2, 3.0], [3, 5.0], [4, None], [5, 9.0]], frames=3) == [[2, 2.0], [4, None], [5, 9.0]]
    assert curve([[1, 1.0], [2, 3.0]]) == [[1, 1.0], [2, 3.0]]
    assert curve([]) == []
