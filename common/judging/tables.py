"""Metrics as tables."""

from __future__ import annotations

COLUMNS = {  # of the table: what it is called there and how it is written
    "frechet": ("Fréchet ↓", "{:.2f}"),
    "kernel": ("kernel ↓", "{:.1f}"),
    "kernel_spread": ("±", "{:.1f}"),
    "score": ("score ↑", "{:.2f}"),
    "precision": ("prec. ↑", "{:.3f}"),
    "recall": ("recall ↑", "{:.3f}"),
    "density": ("dens. ↑", "{:.3f}"),
    "coverage": ("cover. ↑", "{:.3f}"),
    "class_distance": ("classes ↓", "{:.3f}"),
    "confident": ("sure ↑", "{:.3f}"),
    "nearest": ("nearest", "{:.2f}"),
}


def table(rows: dict[str, dict]) -> str:
    """The rows of metrics as a Markdown table, aligned for the terminal; a dash where an earlier version had none."""
    header = ["", *(title for title, _ in COLUMNS.values())]
    cells = [
        [name, *(form.format(row[key]) if key in row else "–" for key, (_, form) in COLUMNS.items())]
        for name, row in rows.items()
    ]
    return aligned([header, *cells])


def aligned(cells: list[list[str]]) -> str:
    """Cells, the first row a header, as a Markdown table."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    rows = [cells[0], ["-" * width for width in widths], *cells[1:]]
    return "\n".join(f"| {' | '.join(justify(cell, width) for cell, width in zip(row, widths))} |" for row in rows)


def justify(cell: str, width: int) -> str:
    """A figure to the right, a word to the left."""
    return cell.rjust(width) if cell[-1:].isdigit() else cell.ljust(width)
