"""``scripts/bench all``: every benchmark in one run, and the page that shows it.

Each benchmark runs as its own process, one after another, so that none slows another down.
What a process could not measure stands in the page with its reason; a benchmark that fails
is named and the page is not written. The figures are kept beside the plot: ``--only`` measures
some benchmarks anew and leaves the others as they were, each with its own date and machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import matplotlib
from matplotlib import pyplot

from facefare.bench import NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks" / "targets.svg"
KEPT = ROOT / "docs" / "benchmarks" / "figures.json"
PACKAGES = ("face_recognition", "dlib-bin", "opencv-python-headless", "onnxruntime", "numpy",
            "faiss-cpu", "flask", "sqlmodel", "sqlalchemy", "pyjwt", "cryptography", "gunicorn",
            "psycopg")  # fmt: skip

Result = dict[str, Any]


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only these benchmarks.")
@click.option(
    "--minutes",
    default=10.0,
    show_default=True,
    help="How long the queue before the gate and the city's peak last.",
)
def everything(seed: int, only: tuple[str, ...], minutes: float) -> None:
    """Run the benchmarks one after another and write docs/benchmarks.md."""
    lasting = ("--minutes", str(minutes))
    options = {"gate": lasting, "load": lasting}
    kept = {result["bench"]: result for result in _kept()} if only else {}
    today = datetime.now(UTC).date().isoformat()
    for name in only or NAMES:
        kept[name] = {"on": today, **_run(name, seed, *options.get(name, ()))}
    results = [kept[name] for name in NAMES if name in kept]
    _plot(results)
    KEPT.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(_page(results), encoding="utf-8")
    missed = [row["name"] for result in results for row in result["figures"] if met(row) is False]
    click.echo(
        f"wrote {PAGE.relative_to(ROOT)}" + (f"; missed: {', '.join(missed)}" * bool(missed))
    )


def _kept() -> list[Result]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []


def _run(name: str, seed: int, *options: str) -> Result:
    click.echo(f"{name} ...", err=True)
    done = subprocess.run(
        [sys.executable, "-m", "facefare", "bench", name, "--seed", str(seed), "--json", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"the benchmark {name!r} failed; nothing was written")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def met(row: Result) -> bool | None:
    """Whether the figure reaches its target; None where there is none, or no figure."""
    value, target = row["value"], row["target"]
    if value is None or target is None:
        return None
    return bool(value >= target) if row["at_least"] else bool(value <= target)


def _page(results: list[Result]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `scripts/bench all`; do not edit. Each peer or limit was measured in the same",
        "run on the same machine: read the ratios, not the absolute figures.",
        "",
        f"{', '.join(_versions())}.",
        "",
        "![How far each figure is from its target](benchmarks/targets.svg)",
    ]
    for result in results:
        machine = result["machine"]
        lines += [
            "",
            f"## {result['bench']}",
            "",
            f"{_what(result['bench'])} `bench/{result['bench']}.py` says how each is measured.",
            "",
            f"{result['on']} · {machine['processor']}, {machine['cores']} cores · "
            f"{machine['system']} · Python {machine['python']} · seed {result['seed']}",
            "",
            *_table(result["figures"]),
        ]
    return "\n".join(lines) + "\n"


def _what(name: str) -> str:
    said = import_module(f"bench.{name}").__doc__ or ""
    return said.partition("\n\n")[0].replace("``", "`").replace("\n", " ").strip()


def _table(figures: list[Result]) -> list[str]:
    lines = [
        "| figure | value | target | | peer or limit | its value | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in figures:
        sign = "≥" if row["at_least"] else "≤"
        target = "" if row["target"] is None else f"{sign} {_number(row['target'])}"
        word = {True: "met", False: "**missed**", None: ""}[met(row)]
        value = _number(row["value"]) + (f" {row['unit']}" if row["unit"] else "")
        if row["value"] is None:
            value = f"not measured: {row.get('reason', 'no reason given')}"
        lines.append(
            f"| {row['name']} | {value} | {target} | {word} | {row['peer'] or ''} | "
            f"{_number(row['peer_value'])} | {_number(row['ratio'])} |"
        )
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _plot(results: list[Result]) -> None:
    """Bars to the right of 1 reach their target, with so much to spare."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "facefare"  # the same figures make the same file
    bars = [
        (row["name"], row["value"] / row["target"] if row["at_least"] else
         row["target"] / row["value"])
        for result in results
        for row in result["figures"]
        if row["value"] and row["target"]
    ]  # fmt: skip
    figure, axes = pyplot.subplots(figsize=(8, 0.28 * len(bars) + 1))
    names, room = zip(*reversed(bars), strict=True)
    axes.barh(names, room, color=["#2a6f4e" if r >= 1 else "#b3442e" for r in room])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times the target (right of 1: reached)")
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    everything()
