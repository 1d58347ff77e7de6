"""The log as a tidy table, a row for each fact; in memory, as Parquet, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lorascope.errors import RunError
from lorascope.measure.records import ABSENT, Column, GradientNormLog, Series
from lorascope.runs import rundir

Categories = Mapping[str, "pd.CategoricalDtype"]

TEXTS = ("module", "stack", "projection", "group", "matrix", "score")
_TEXT = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    {
        "step": pa.int32(),
        "module": _TEXT,
        "layer": pa.int16(),
        "stack": _TEXT,
        "projection": _TEXT,
        "group": _TEXT,
        "matrix": _TEXT,
        "score": _TEXT,
        "value": pa.float64(),
        "numel": pa.int64(),
        "scaling": pa.float64(),
        "r": pa.int32(),
        "finite": pa.bool_(),
    }
)
_PARTS = ("base", "gradients", "weights")
_KEY = b"lorascope"
_FACTS_AT_ONCE = 500_000
"""Facts written at once, so that a long run needs no second copy of itself in memory."""


def table(log: GradientNormLog) -> pd.DataFrame:
    """Every fact of a log that is there; columns as `GradientNormLog.table` says. Texts are categories."""
    return pd.concat(_frames(log), ignore_index=True)


def write_parquet(path: Path, log: GradientNormLog) -> None:
    """Write the tidy table, whole or not at all; the columns of the log go into the file's metadata."""
    columns = {name: getattr(log, name).columns for name in _PARTS}
    tables = map(_arrow, _frames(log, _FACTS_AT_ONCE))
    first = next(tables)
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), _KEY: json.dumps(columns).encode()})
    part = path.with_name(path.name + ".part")
    with rundir.writing(path.parent):
        try:
            with pq.ParquetWriter(part, schema) as writer:
                for rows in chain([first], tables):
                    writer.write_table(rows.replace_schema_metadata(schema.metadata))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def read_parquet(path: Path) -> GradientNormLog:
    """The log that `write_parquet` wrote, digit for digit. Raises RunError for a file that is none or is damaged."""
    try:
        rows = pq.read_table(path)
        columns = json.loads(rows.schema.metadata[_KEY])
        frame = rows.select(["step", "module", "matrix", "score"]).to_pandas()
        value = rows.column("value").to_numpy()
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise RunError("damaged-run", f"{path} cannot be read: {error}", "lorascope ls runs") from None
    log = GradientNormLog()
    for name in _PARTS:
        series = Series([Column(*column) for column in columns[name]])
        place = {(c.module, c.matrix, c.score): i for i, c in enumerate(series.columns)}
        keys = zip(frame["module"], frame["matrix"], frame["score"], strict=True)
        at = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        here = np.flatnonzero(at >= 0)
        steps, row = np.unique(frame["step"].to_numpy()[here], return_inverse=True)
        values = np.full((len(steps), len(series.columns)), ABSENT)
        values[row, at[here]] = value[here]
        for step, facts in zip(steps, values, strict=True):
            series.append(int(step), facts)
        setattr(log, name, series)
    return log


def _frames(log: GradientNormLog, facts_at_once: int | None = None) -> Iterator[pd.DataFrame]:
    parts: list[Series] = [getattr(log, name) for name in _PARTS]
    categories = {
        name: pd.CategoricalDtype(list(dict.fromkeys(getattr(c, name) for part in parts for c in part.columns)))
        for name in TEXTS
    }
    for part in parts:
        width = max(1, len(part.columns))
        size = max(1, len(part) if facts_at_once is None else facts_at_once // width)
        for start in range(0, max(1, len(part)), size):
            yield _frame(part, categories, start, start + size)


def _frame(series: Series, categories: Categories, start: int, stop: int) -> pd.DataFrame:
    columns = series.columns
    rows = list(series.rows(start))[: stop - start]
    values = np.stack([row for _, row in rows]) if rows else np.empty((0, len(columns)))
    row, at = np.nonzero(values != ABSENT)
    value = values[row, at]
    data = {
        "step": np.array([step for step, _ in rows], dtype=np.int32)[row],
        "layer": pd.array([c.layer for c in columns], dtype="Int16")[at],
        "value": value,
        "numel": np.array([c.numel for c in columns], dtype=np.int64)[at],
        "scaling": np.array([c.scaling for c in columns], dtype=np.float64)[at],
        "r": np.array([c.r for c in columns], dtype=np.int32)[at],
        "finite": np.isfinite(value),
        **{name: pd.Categorical([getattr(c, name) for c in columns], dtype=categories[name])[at] for name in TEXTS},
    }
    return pd.DataFrame({name: data[name] for name in _SCHEMA.names})


def _arrow(frame: pd.DataFrame) -> pa.Table:
    rows = pa.Table.from_pandas(frame, schema=_SCHEMA, preserve_index=False)
    for name in ("value", "scaling"):  # pandas' way would turn NaN, which is a value here, into a missing one
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(frame[name].to_numpy(), from_pandas=False))
    return rows
