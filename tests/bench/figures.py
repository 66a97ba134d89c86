"""What was measured: tables of values per run, their medians, and how both are written."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

OURS = "ossimport"


@dataclass
class Table:
    """Rows of clients, or of parts of one; columns of what was measured, a value per run.

    With `compares` the first column is also shown as our share of each other row's.
    """

    name: str
    title: str
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    compares: bool = False
    notes: list[str] = field(default_factory=list)
    skipped: str = ""  # why there are no rows

    def add(self, row: str, values: Mapping[str, float]) -> None:
        """Note what one run gave, by column."""
        for column, value in values.items():
            self.rows.setdefault(row, {}).setdefault(column, []).append(value)

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        names = (name for row in self.rows.values() for name in row)
        return list(dict.fromkeys(names))

    def ratio(self, row: str) -> float | None:
        """Our share of what that row has in the first column; None for our own rows."""
        if not self.compares or OURS not in self.rows or row.startswith(OURS):
            return None
        column = self.columns[0]
        return median(self.rows[OURS][column]) / median(self.rows[row][column])


@dataclass
class Results:
    """All that one run of the benchmark found."""

    machine: dict[str, str]
    command: str
    tables: list[Table] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "Results":
        """Read what `save` wrote."""
        found: dict[str, Any] = json.loads(path.read_text())
        tables = [Table(**table) for table in found.pop("tables")]
        return Results(**found, tables=tables)


def cells(table: Table) -> Iterator[list[str]]:
    """The table as text, the head first: medians, with the least and the most of several runs."""
    ratios = {row: table.ratio(row) for row in table.rows}
    compared = any(ratio is not None for ratio in ratios.values())
    yield ["", *table.columns, *([f"{OURS} / it"] if compared else [])]
    for row, values in table.rows.items():
        line = [row, *(_cell(values.get(column, [])) for column in table.columns)]
        if compared:
            ratio = ratios[row]
            line.append("" if ratio is None else f"{ratio:.2f}")
        yield line


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    text = number(median(values))
    if len(values) == 1:
        return text
    return f"{text} ({number(min(values))}-{number(max(values))})"


def number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
