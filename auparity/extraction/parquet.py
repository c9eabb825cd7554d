"""What all our Parquet files have in common, besides the types of columns: dictionaries, and groups of one size."""

from __future__ import annotations

from typing import Any

from auparity.tables.arrow import require_pyarrow


def dictionary_columns(schema: Any) -> list[str]:
    """The columns that Parquet should keep as a dictionary and numbers of its entries: texts, counts and flags.
    Measurements are nearly all different, so that dictionaries make a file a third larger."""
    return [field.name for field in schema if str(field.type) != "double"]


class RowGroups:
    """Rows for a Parquet file that come in batches of any size, written in groups of `rows` rows."""

    def __init__(self, writer: Any, schema: Any, rows: int) -> None:
        self._pa = require_pyarrow()
        self._writer, self._schema, self._rows = writer, schema, rows
        self._waiting: list[Any] = []
        self._count = 0

    def add(self, batch: Any) -> None:
        """The next rows; raises `OSError`."""
        self._waiting.append(batch)
        self._count += batch.num_rows
        while self._count >= self._rows:
            table = self._table()
            self._writer.write_table(table.slice(0, self._rows), row_group_size=self._rows)
            self._waiting = table.slice(self._rows).to_batches()
            self._count -= self._rows

    def end(self) -> None:
        """Write what waits; raises `OSError`."""
        if self._count:
            self._writer.write_table(self._table(), row_group_size=self._rows)
        self._waiting, self._count = [], 0

    def _table(self) -> Any:
        return self._pa.Table.from_batches(self._waiting, self._schema)
