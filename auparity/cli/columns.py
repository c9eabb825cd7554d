"""`auparity columns`: what every column of a table means, with its unit and decimals."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.tables.columns import Column, Layout

_FORMATS = ("text", "csv", "json", "markdown")
_TABLES: dict[str, Layout] = {"clip": "clip", "image": "photograph", "faces": "faces"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `columns` command."""
    parser = subparsers.add_parser(
        "columns",
        help="what the columns of tables mean, with their units",
        description="The columns of tables, in order: name, unit, decimals in a CSV, group (for `auparity extract "
        "--columns`), and meaning. Columns that differ only in a number are one line in text and Markdown, and a line "
        "each in CSV and JSON.",
    )
    parser.add_argument(
        "--table",
        choices=sorted(_TABLES),
        help="of clips of one face, of images, or of clips of several faces; default: all columns that any of them has",
    )
    parser.add_argument("--format", choices=_FORMATS, default="text", help="default: text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the columns; always 0."""
    from auparity.tables.columns import columns

    chosen = columns(_TABLES.get(arguments.table))
    print({"text": text, "csv": csv_text, "json": json_text, "markdown": markdown}[arguments.format](chosen), end="")
    return 0


def text(chosen: Sequence[Column]) -> str:
    """A line for each family, in columns of equal width."""
    rows = _rows(chosen)
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def markdown(chosen: Sequence[Column]) -> str:
    """A Markdown table with a row for each family."""
    head, *rows = _rows(chosen)
    lines = [head, ["---"] * len(head), *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_text(chosen: Sequence[Column]) -> str:
    """A CSV with a row for each column."""
    import csv
    import io

    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(_FIELDS)
    lines.writerows([getattr(column, field) for field in _FIELDS] for column in chosen)
    return out.getvalue()


def json_text(chosen: Sequence[Column]) -> str:
    """A JSON list with an object for each column."""
    import json

    return json.dumps([{field: getattr(column, field) for field in _FIELDS} for column in chosen], indent=1) + "\n"


_FIELDS = ("name", "kind", "decimals", "unit", "group", "meaning")


def _rows(chosen: Sequence[Column]) -> list[list[str]]:
    from auparity.tables.columns import families

    rows = [["column", "number", "unit", "decimals", "group", "meaning"]]
    for column, count in families(chosen):
        decimals = "whole" if column.kind == "int" else str(column.decimals)
        rows.append([column.family, str(count), column.unit, decimals, column.group, column.meaning])
    return rows
