"""Figures as a table, on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    rows: Iterable[Sequence[object]], *columns: str, title: str | None = None, digits: int = 3
) -> None:
    """Print rows of texts and figures.

    :param columns: their names; none: the table has no header.
    :param digits: of fractions, behind the point.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=bool(columns))
    cells = [
        [f'{value:.{digits}f}' if isinstance(value, float) else str(value) for value in row]
        for row in rows
    ]
    for name in columns or cells[0]:
        table.add_column(name if columns else '', overflow='fold')  # nothing is cut short
    for row in cells:
        table.add_row(*row)
    Console().print(table)
