"""``facefare simulate``: live through seeded stories of a city in which everything goes wrong."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter

import click
from rich.console import Console
from rich.progress import Progress

from facefare.simulate.run import Outcome, simulate
from facefare.simulate.story import FAULTS, Size


@click.command("simulate")
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one after another.")
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 366))
@click.option("--gates", default=4, show_default=True, type=click.IntRange(1, 100))
@click.option("--riders", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--steps", default=50, show_default=True, help="Steps per day.")
@click.option(
    "--faults",
    default="all",
    show_default=True,
    help=f"'all', 'none', or some of {', '.join(FAULTS)} with commas between.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line.")
def simulate_(
    seed: int, seeds: int, days: int, gates: int, riders: int, steps: int, faults: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Run the real programs through seeded trouble, and check the rules after every step.

    Riders ride by a small feed with limits, transfers and two categories, pay at the desk and
    by card, and finance reconciles each day; gates, wires, disks, clocks, processes and the
    payment processor fail. The first seed that breaks a rule ends the run with the shortest
    story that does. At the end it is counted what befell the city.
    """
    chosen = _chosen(faults)
    logging.disable(logging.CRITICAL)  # every trouble here is meant; the story tells of it
    size = Size(days=days, gates=gates, riders=riders, steps=steps)
    totals: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    broken: Outcome | None = None
    with Progress(console=Console(stderr=True), disable=seeds == 1) as progress:
        for number in progress.track(range(seed, seed + seeds), description="seeds"):
            outcome = simulate(number, size, chosen)
            totals.update(steps=outcome.steps, opened=outcome.opened, entries=outcome.entries)
            happened.update(outcome.happened)
            if outcome.broken:
                broken = outcome
                break
            totals.update(seeds=1)
    _report(dict(totals), +happened, broken, as_json)
    if broken is not None:
        sys.exit(1)


def _chosen(faults: str) -> tuple[str, ...]:
    if faults in ("all", "none"):
        return FAULTS if faults == "all" else ()
    chosen = tuple(faults.split(","))
    unknown = [name for name in chosen if name not in FAULTS]
    if unknown:
        raise click.UsageError(f"there is no fault {unknown[0]!r}; use {', '.join(FAULTS)}")
    return chosen


def _report(
    totals: dict[str, int], happened: dict[str, int], broken: Outcome | None, as_json: bool
) -> None:
    if as_json:
        facts = broken.facts() if broken else None
        click.echo(json.dumps({**totals, "happened": happened, "broken": facts}))
    elif broken is None:
        click.echo(
            f"{totals['seeds']} seeds, {totals['steps']} steps, {totals['opened']} doors opened, "
            f"{totals['entries']} entries: every rule held"
        )
        for what, times in sorted(happened.items()):
            click.echo(f"  {times:6}  {what}")
    else:
        click.echo(f"seed {broken.seed} breaks a rule: {broken.broken}\n\nThe shortest story:")
        for line in broken.story:
            click.echo(f"  {line}")
