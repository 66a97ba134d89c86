"""Renders results: for a terminal, and as Markdown for docs/performance.md.

python -m tests.bench.report build/bench.json
"""

from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table as Grid

from tests.bench.figures import Results, Table, cells


def show(table: Table, console: Console) -> None:
    """Print one table."""
    if table.skipped:
        console.print(f"[bold]{table.name}[/]: skipped: {table.skipped}\n", highlight=False)
        return
    head, *lines = cells(table)
    console.print(f"\n[bold]{table.name}[/]: {table.title}", highlight=False)
    grid = Grid(box=box.SIMPLE)
    for number, name in enumerate(head):
        grid.add_column(name, justify="right" if number else "left", no_wrap=bool(number == 0))
    for line in lines:
        grid.add_row(*line)
    console.print(grid)
    for note in table.notes:
        console.print(f"  {note}", highlight=False)


def markdown(results: Results) -> str:
    """All tables, the machine and the command."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [f"`{results.command}` on: {machine}."]
    for table in results.tables:
        parts.append(f"### {table.name}: {table.title}")
        if table.skipped:
            parts.append(f"Skipped: {table.skipped}")
            continue
        head, *lines = cells(table)
        ruler = ["---", *("---:" for _ in head[1:])]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in (head, ruler, *lines)))
        parts += [f"- {note}" for note in table.notes]
    return "\n\n".join(parts) + "\n"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def main(file: Path) -> None:
    """Print FILE, which a run has written, as Markdown."""
    click.echo(markdown(Results.load(file)), nl=False)


if __name__ == "__main__":
    main()
