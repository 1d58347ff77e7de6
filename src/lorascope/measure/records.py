"""What was measured: additive facts at the finest grain, from which every view is derived later.

A fact is a sum of squares or a count: such numbers can be added up over any set of modules, norms and means cannot.
The log keeps them as rows of float64, a row for each measured step and a column for each fact; a view adds columns up
and takes the root last. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorascope.errors import RunError
from lorascope.measure import journal
from lorascope.runs import rundir

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Level = Literal["total", "group", "layer", "projection", "module"]
Scale = Literal["raw", "rms", "per_scaling"]

ABSENT = float("-inf")
"""Marks, in a row, a fact that does not exist at that step (a tensor without a gradient). NaN is a value, this is none;
sums of squares are never negative, so no fact can be mistaken for it."""

RUN_SCORES = ("loss", "grad_total_sq", "clip_coef", "tokens", "learning_rate")
"""Facts about a whole step: mean loss in nats per target token; squared norm of all gradients that the step applies,
before clipping; the factor that clipping applied; target tokens; learning rate of the first parameter group."""


class Measurement(NamedTuple):
    """One additive fact."""

    step: int
    """Updates done after this one: the first step is 1; 0 is a fact that holds from the start."""
    module: str
    """Module path; "" for facts about the whole step."""
    matrix: str
    """A, B, AB (the update), W (the base weight); "" for facts about the whole step."""
    score: str
    """grad_sq, weight_sq, update_sq, base_sq; of the whole step: one of RUN_SCORES."""
    value: float
    numel: int
    """Numbers that the value sums over."""


class Column(NamedTuple):
    """What a column of the log holds: one fact of one matrix of one module, or of the whole step (module "")."""

    module: str
    layer: int | None
    stack: str
    projection: str
    group: str
    matrix: str
    score: str
    numel: int
    scaling: float
    """alpha / r (alpha / sqrt(r) with rank-stabilised LoRA); NaN for facts about the whole step."""
    r: int


RUN_COLUMNS = tuple(Column("", None, "", "", "", "", score, 0, float("nan"), 0) for score in RUN_SCORES)

GROUP_COLUMNS = ("embed", "attention", "mlp", "lm_head")
"""The groups that have a column in group_norms; "other" counts in the total alone."""


class Series:
    """Rows of facts under fixed columns, in the order of their steps."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._steps: list[int] = []
        self._rows: list[Floats] = []
        self._layouts: dict[tuple[Level, str | None], _Layout] = {}

    def append(self, step: int, row: Floats) -> None:
        """Add the facts of one step: float64 (len(columns),), ABSENT where there is none."""
        if row.shape != (len(self.columns),):
            raise ValueError(f"a row of {len(self.columns)} facts is needed, got shape {row.shape}")
        self._steps.append(step)
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def steps(self) -> NDArray[np.int64]:
        """(S,) the measured steps."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def values(self) -> Floats:
        """(S, C) the facts; ABSENT where there is none."""
        return np.stack(self._rows) if self._rows else np.empty((0, len(self.columns)))

    def rows(self, start: int = 0) -> Iterator[tuple[int, Floats]]:
        """(step, row) from row number `start` on."""
        return zip(self._steps[start:], self._rows[start:], strict=True)

    def keep(self, wanted: Callable[[int], bool]) -> Series:
        """The rows of the steps for which `wanted(step)` is true."""
        kept = Series(self.columns)
        for step, row in self.rows():
            if wanted(step):
                kept.append(step, row)
        return kept

    def last(self) -> Series:
        """The last row alone, or none."""
        return self.since(max(0, len(self) - 1))

    def fact(self, score: str) -> list[tuple[int, float]]:
        """(step, value) of a fact about whole steps, where it is there."""
        at = next(i for i, column in enumerate(self.columns) if column.score == score)
        return [(step, float(row[at])) for step, row in self.rows() if row[at] != ABSENT]

    def since(self, start: int) -> Series:
        """The rows from row number `start` on."""
        part = Series(self.columns)
        part._steps, part._rows, part._layouts = self._steps[start:], self._rows[start:], self._layouts
        return part

    def sums(self, by: Level, matrix: str | None = None, scale: Scale = "raw") -> tuple[list[str], Floats]:
        """Sums of squared gradients over the columns of each unit: the units' names, and (S, U) sums.

        `matrix` keeps A or B. A unit is ABSENT at a step where none of its facts is there, and NaN or infinite where
        one of them is. rms divides by the numbers summed over, per_scaling each fact by scaling^2.
        """
        at = self._layout(by, matrix)
        out = np.empty((len(self), len(at.units)))
        for i, row in enumerate(self._rows):
            # Row by row, column after column: the digits do not depend on how many rows are summed together, so a
            # table that grew line by line equals one that is written at once.
            facts = row[at.columns]
            there = facts != ABSENT
            facts = np.where(there, facts, 0.0)
            if scale == "per_scaling":
                facts = facts / at.scaling**2
            out[i] = at.add(facts)
            if scale == "rms":
                out[i] /= np.maximum(at.add(np.where(there, at.numel, 0.0)), 1.0)
            out[i, at.add(there) == 0] = ABSENT
        return list(at.units), out

    def parameters(self, by: Level, matrix: str | None = None) -> dict[str, int]:
        """Number of parameters of each unit."""
        at = self._layout(by, matrix)
        return dict(zip(at.units, at.add(at.numel).astype(int).tolist(), strict=True))

    def _layout(self, by: Level, matrix: str | None) -> _Layout:
        if (by, matrix) not in self._layouts:
            self._layouts[by, matrix] = _layout(self.columns, by, matrix)
        return self._layouts[by, matrix]


class _Layout(NamedTuple):
    """Which columns make which unit. C columns, U units."""

    units: tuple[str, ...]
    columns: NDArray[np.int64]
    """(C,) their places in a row"""
    unit: NDArray[np.int64]
    """(C,) the place of each one's unit in `units`"""
    numel: Floats
    scaling: Floats

    def add(self, facts: Floats | NDArray[np.bool_]) -> Floats:
        """(C,) -> (U,) sums."""
        sums: Floats = np.bincount(self.unit, weights=facts, minlength=len(self.units)).astype(np.float64, copy=False)
        return sums


def _layout(columns: Sequence[Column], by: Level, matrix: str | None) -> _Layout:
    unit_of, order = _LEVELS[by]
    chosen = [(i, c) for i, c in enumerate(columns) if c.score == "grad_sq" and matrix in (None, c.matrix)]
    chosen = [(i, c) for i, c in chosen if unit_of(c) is not None]
    if order is not None:
        chosen.sort(key=lambda pair: order(pair[1]))
    names = [str(unit_of(c)) for _, c in chosen]
    units = tuple(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(units)}
    return _Layout(
        units,
        np.array([i for i, _ in chosen], dtype=np.int64),
        np.array([place[name] for name in names], dtype=np.int64),
        np.array([c.numel for _, c in chosen], dtype=np.float64),
        np.array([c.scaling for _, c in chosen], dtype=np.float64),
    )


class GradientNormLog:
    """The measurements of one run: squared gradient norms of every LoRA matrix, the weight side, facts about steps."""

    def __init__(
        self, gradients: Sequence[Column] = (), weights: Sequence[Column] = (), base: Sequence[Column] = ()
    ) -> None:
        """`gradients` are the columns grad_sq; `weights` weight_sq and update_sq; `base` base_sq, one row at step 0."""
        self.gradients = Series((*gradients, *RUN_COLUMNS))
        self.weights = Series(weights)
        self.base = Series(base)

    @property
    def steps(self) -> list[int]:
        """The steps whose gradients were measured."""
        return [int(step) for step in self.gradients.steps]

    @property
    def nonfinite_steps(self) -> list[int]:
        """Steps at which a gradient was NaN or infinite."""
        grads = [i for i, column in enumerate(self.gradients.columns) if column.score == "grad_sq"]
        return [step for step, row in self.gradients.rows() if nonfinite(row[grads]).any()]

    def run_series(self, score: str) -> list[tuple[int, float]]:
        """(step, value) of a fact about whole steps, one of RUN_SCORES, where it is there."""
        return self.gradients.fact(score)

    def norms(self, by: Level, *, matrix: str | None = None, scale: Scale = "raw", start: int = 0) -> pd.DataFrame:
        """Gradient norms over steps: a column step, then a column for each unit of the model; NaN where it is absent.

        raw: L2 norm, sqrt(sum of squares); grows with alpha / r, rank, width and the number of modules. rms: divided by
        sqrt(number of parameters). per_scaling: L2 norm with alpha / r taken out. `matrix` keeps A or B; `start` skips
        rows.
        """
        import pandas as pd

        units, sums = self.gradients.since(start).sums(by, matrix, scale)
        frame = pd.DataFrame(root(sums), columns=units)
        frame.insert(0, "step", self.gradients.steps[start:])
        return frame

    def group_norms(self, *, start: int = 0) -> pd.DataFrame:
        """L2 norms by group: step, embed, attention, mlp, lm_head, total. A group that is not measured is NaN, never 0.

        total is over everything measured, modules outside the four groups included.
        """
        import pandas as pd

        facts = self.gradients.since(start)
        units, sums = facts.sums("group")
        _, total = facts.sums("total")
        columns = {name: root(sums[:, units.index(name)]) if name in units else np.nan for name in GROUP_COLUMNS}
        return pd.DataFrame({"step": facts.steps, **columns, "total": root(total[:, 0]) if units else np.nan})

    def layer_norms(self, *, start: int = 0) -> pd.DataFrame:
        """L2 norms by layer and group: step, layer_0_attention, layer_0_mlp, layer_1_attention, …

        Only what has an adapter has a column; the encoder's layers of an encoder-decoder model begin with "encoder_".
        """
        return self.norms("layer", start=start)

    def table(self) -> pd.DataFrame:
        """Everything, tidy: a row for each fact that is there, one column each for what it is about.

        Columns: step, module, layer (missing outside the layers), stack, projection, group, matrix, score, value,
        numel, scaling, r, finite. Facts about a whole step have module "" and scaling NaN.
        """
        from lorascope.measure import tidy

        return tidy.table(self)

    def summary(self) -> dict[str, Any]:
        """Statistics over steps of each group, layer and matrix, and the last weight side (`measure/summary.py`)."""
        from lorascope.measure import summary

        return summary.summarise(self)

    def save(self, folder: Path | str, *, layer_norm: bool = True) -> None:
        """Write both CSVs, the summary and the tidy table into a folder, each whole or not at all."""
        from lorascope.measure import tidy

        folder = Path(folder)
        with rundir.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        rundir.write_text(folder / rundir.GROUP_NORMS, csv_text(self.group_norms()))
        if layer_norm:
            rundir.write_text(folder / rundir.LAYER_NORMS, csv_text(self.layer_norms()))
        rundir.write_json(folder / rundir.GRADIENT_SUMMARY, self.summary())
        tidy.write_parquet(folder / rundir.GRADIENT_TABLE, self)

    @classmethod
    def load(cls, folder: Path | str) -> GradientNormLog:
        """Read the log of a run folder: the tidy table of a finished run, the journals of one that is not finished.

        Raises RunError where there is neither, or where they are damaged.
        """
        from lorascope.measure import tidy

        folder = Path(folder)
        if (folder / rundir.GRADIENT_TABLE).is_file():
            return tidy.read_parquet(folder / rundir.GRADIENT_TABLE)
        if (folder / rundir.GRADIENT_JOURNAL).is_file():
            return cls.from_journals(folder)
        raise RunError("no-measurements", f"{folder} holds no measurements", "lorascope ls runs")

    @classmethod
    def from_journals(cls, folder: Path) -> GradientNormLog:
        """What the journals of a run folder hold, a torn last row left out."""
        header, gradients = journal.read(folder / rundir.GRADIENT_JOURNAL)
        log = cls()
        log.gradients = _series(header["columns"], gradients)
        header, weights = journal.read(folder / rundir.WEIGHT_JOURNAL)
        log.weights = _series(header["columns"], weights)
        log.base = Series([Column(*column) for column in header["base"]["columns"]])
        log.base.append(0, np.array(header["base"]["values"], dtype=np.float64))
        return log


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    """A view as CSV: every float with the fewest digits that give it back, absent and NaN cells empty."""
    lines = [",".join(frame.columns)] if header else []
    for row in frame.itertuples(index=False):
        lines.append(",".join([str(int(row[0])), *("" if cell != cell else repr(float(cell)) for cell in row[1:])]))
    return "".join(line + "\n" for line in lines)


def _series(columns: list[list[Any]], rows: Floats) -> Series:
    series = Series([Column(*column) for column in columns])
    for row in rows:
        series.append(int(row[0]), row[1:])
    return series


def root(sums: Floats) -> Floats:
    """Norms from sums of squares; ABSENT becomes NaN."""
    return np.sqrt(np.where(sums == ABSENT, np.nan, sums))


def nonfinite(facts: Floats) -> NDArray[np.bool_]:
    """Which facts are NaN or infinite; what is absent is not."""
    return ~np.isfinite(facts) & (facts != ABSENT)


def _layer_unit(column: Column) -> str | None:
    if column.layer is None:
        return None
    return f"{'encoder_' if column.stack == 'encoder' else ''}layer_{column.layer}_{column.group}"


def _layer_order(column: Column) -> tuple[bool, int, str]:
    """Encoder first, then by depth; attention, mlp, other is their alphabetical order."""
    return column.stack != "encoder", column.layer or 0, column.group


_LEVELS: dict[Level, tuple[Callable[[Column], str | None], Callable[[Column], tuple[bool, int, str]] | None]] = {
    "total": (lambda column: "total", None),
    "group": (lambda column: column.group, None),
    "layer": (_layer_unit, _layer_order),
    "projection": (lambda column: column.projection, None),
    "module": (lambda column: column.module, None),
}
"""Level -> (unit of a column, None where it has none; order of the columns, None as they are)."""
