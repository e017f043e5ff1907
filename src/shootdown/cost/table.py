"""Rows with named columns: for programs (CSV, Arrow) and for notebooks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from shootdown.errors import UsageError

Cell = int | float | str | bool | None


@dataclass(frozen=True)
class Table:
    """Columns of one length; ``None`` is a missing value.

    It opens as a dataframe wherever the Arrow PyCapsule interface is known
    (``polars.DataFrame(table)``, ``pyarrow.table(table)``, ``duckdb``), which needs the package
    ``nanoarrow`` (``pip install 'shootdown[dataframe]'``), and shows itself in a notebook.
    """

    columns: Mapping[str, Sequence[Cell]]

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[dict[str, Cell]]:
        """Each row by the names of its columns."""
        for number in range(len(self)):
            yield {name: column[number] for name, column in self.columns.items()}

    def csv(self) -> str:
        """RFC 4180, with a header; a missing value is empty, a flag is ``true`` or ``false``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows():
            writer.writerow([_plain(cell) for cell in row.values()])
        return text.getvalue()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_shown(cell))}</td>" for cell in row.values()) + "</tr>"
            for row in self.rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    # ------------------------------------------------------------------ Arrow

    def __arrow_c_schema__(self) -> Any:
        return self._batch().schema.__arrow_c_schema__()

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._batch().__arrow_c_array__(requested_schema)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        batch = self._batch()
        from nanoarrow.c_array_stream import CArrayStream

        stream = CArrayStream.from_c_arrays([batch], batch.schema)
        return stream.__arrow_c_stream__(requested_schema)

    def _batch(self) -> Any:
        na = _nanoarrow()
        children = {name: _array(na, column) for name, column in self.columns.items()}
        schema = na.struct({name: child.schema for name, child in children.items()})
        return na.c_array_from_buffers(
            schema, len(self), buffers=[None], children=list(children.values())
        )


def _nanoarrow() -> Any:
    try:
        import nanoarrow
    except ImportError:
        raise UsageError(
            "dataframes need the package nanoarrow: pip install 'shootdown[dataframe]'"
        ) from None
    return nanoarrow


def _array(na: Any, column: Sequence[Cell]) -> Any:
    """A column as an Arrow array of the narrowest of its four types."""
    types = {type(cell) for cell in column if cell is not None}
    if types == {bool}:
        return na.c_array(list(column), na.bool_())
    if types == {int}:
        return na.c_array(list(column), na.int64())
    if types and types <= {int, float}:
        return na.c_array([None if c is None else float(c) for c in column], na.float64())
    return na.c_array([None if c is None else _plain(c) for c in column], na.string())


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _shown(cell: Cell) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return f"{cell:,.3g}" if isinstance(cell, float) else _plain(cell)
