import json
from pathlib import Path

import pytest

from lorascope.config.experiment import DataConfig
from lorascope.errors import DataError, UnknownName
from lorascope.evaluation.predictions import evaluate_predictions, read_predictions

ROWS = [
    ("name[Aromi], food[Italian]", "Aromi serves Italian food ."),
    ("name[Aromi], food[Italian]", "Aromi is an Italian place ."),
    ("name[Zizzi], area[riverside]", "Zizzi is a pub by the river ."),
    ("name[Alimentum], food[French]", "Alimentum offers French food ."),
]
BEST = ["Aromi is an Italian place .", "Zizzi is a pub by the river .", "Alimentum offers French food ."]
"""A reference for each of the three meaning representations, in order of first appearance."""


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    (tmp_path / "testset_w_refs.csv").write_text("mr,ref\n" + "".join(f'"{mr}","{ref}"\n' for mr, ref in ROWS))
    return DataConfig(dataset="e2e_nlg", data_dir=str(tmp_path))


def write(folder: Path, *rows: object) -> Path:
    path = folder / "predictions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_predictions_without_ids_follow_the_splits_order(data, tmp_path):
    result = evaluate_predictions(write(tmp_path, *({"prediction": text} for text in BEST)), data)
    assert result.metrics["bleu"].value == pytest.approx(100)
    assert result.metrics["rouge1"].value == 100
    assert (result.dataset, result.split, result.n, result.total) == ("e2e_nlg", "test", 3, 3)
    assert [s["prediction"] for s in result.samples] == BEST
    assert result.samples[0]["references"] == [ref for _, ref in ROWS[:2]]


def test_predictions_with_ids_come_in_any_order(data, tmp_path):
    lines = [{"id": i, "prediction": text} for i, text in enumerate(BEST)]
    straight = evaluate_predictions(write(tmp_path, *lines), data)
    mixed = evaluate_predictions(write(tmp_path, *lines[::-1]), data)
    assert mixed.metrics["bleu"].value == pytest.approx(straight.metrics["bleu"].value) == pytest.approx(100)


def test_a_part_of_the_split_is_recorded_as_one(data, tmp_path):
    result = evaluate_predictions(write(tmp_path, {"id": "1", "prediction": BEST[1]}), data)
    assert (result.n, result.total) == (1, 3)
    assert result.settings["examples"] == {
        "evaluated": 1,
        "in_split": 3,
        "chosen": "those that the predictions name by id",
    }
    assert result.to_dict()["metrics"]["bleu"]["ci_low"] is None


def test_samples_of_an_evaluation_are_predictions_again(data, tmp_path):
    first = evaluate_predictions(write(tmp_path, *({"prediction": text} for text in ["Aromi .", "", "food"])), data)
    again = evaluate_predictions(write(tmp_path, *first.samples), data)
    assert again.to_dict()["metrics"] == first.to_dict()["metrics"]
    assert again.samples == first.samples


def test_another_split_can_be_named(data, tmp_path):
    (tmp_path / "devset.csv").write_text("mr,ref\na[b],x y z w\n")
    result = evaluate_predictions(write(tmp_path, {"prediction": "x y z w"}), data, split="validation")
    assert (result.split, result.metrics["bleu"].value) == ("validation", pytest.approx(100))


def test_the_json_shape(data, tmp_path):
    shape = evaluate_predictions(write(tmp_path, *({"prediction": text} for text in BEST)), data).to_dict()
    assert list(shape) == ["dataset", "split", "n", "metrics", "settings"]
    for score in shape["metrics"].values():
        assert list(score) == ["value", "ci_low", "ci_high", "unit", "higher_is_better"]
        assert score["ci_low"] <= score["value"] <= score["ci_high"]
    assert {"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"} < set(shape["metrics"])
    assert "version:" in shape["settings"]["metrics"]["bleu"]["signature"]
    assert json.loads(json.dumps(shape, allow_nan=False)) == shape


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prediction": "a"}] * 2, "predictions-count.*has 2 predictions without ids.*3 test examples"),
        ([{"prediction": "a"}] * 4, "predictions-count"),
        ([{"id": "7", "prediction": "a"}], "predictions-ids.*jsonl:1: .*no id '7'.*from '0' to '2'"),
        ([{"id": "1", "prediction": "a"}] * 2, r"predictions-ids.*jsonl:2: id '1' came in .*jsonl:1 already"),
        ([{"prediction": "a"}, {"id": "1", "prediction": "a"}], "predictions-ids.*jsonl:2: either every line"),
        ([{"id": "1", "prediction": "a"}, {"prediction": "a"}], "predictions-ids.*jsonl:2: either every line"),
        ([{"text": "a"}], 'bad-row.*jsonl:1: needs a text under "prediction"; it has: text'),
        ([{"prediction": None}], "bad-row.*jsonl:1"),
        ([{"prediction": "a"}, {"prediction": 3}], "bad-row.*jsonl:2"),
        (["just text"], "bad-row.*jsonl:1"),
        ([], "no-rows"),
    ],
)
def test_predictions_that_do_not_fit_are_named(data, tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        evaluate_predictions(write(tmp_path, *rows), data)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        read_predictions(tmp_path / "nowhere.jsonl")
    (tmp_path / "broken.jsonl").write_text('{"prediction": "a"}\n{"prediction": \n')
    with pytest.raises(DataError, match=r"broken\.jsonl:2"):
        read_predictions(tmp_path / "broken.jsonl")


def test_an_unknown_task_is_named(tmp_path):
    with pytest.raises(UnknownName, match="did you mean: samsum"):
        evaluate_predictions(write(tmp_path, {"prediction": "a"}), DataConfig(dataset="samsun", data_dir=str(tmp_path)))
