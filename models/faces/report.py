"""``facefare faces calibrate DIR``: measure an operator's own riders, and explain the result.

OUT/<engine>.json          the table of operating points a gate reads
OUT/misses.png .svg        riders missed against strangers let through (DET curves)
OUT/thresholds.png .svg    the threshold against the size of the gallery
OUT/scores.png .svg        how the scores of riders and strangers lie
OUT/report.html            the same in plain words

The embeddings of the people in DIR stay in memory and are never written.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.faces.calibration import Progress, measure
from models.faces.cohort import Cohort, shipped_cohort
from models.faces.engine import Engine
from models.faces.errors import FaceError
from models.faces.open_set import Case, Plan, Trial
from models.faces.operating_points import OperatingPoint, Table, write_table
from models.faces.people import OnPicture, list_pictures, read_people

Trials = Mapping[Case, Trial]


class ReportError(FaceError):
    """The folder for the results cannot be written."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ``calibrate`` measured and where it wrote it."""

    table: Table
    table_file: Path
    page: Path


def calibrate(
    directory: Path,
    engine: Engine,
    out: Path,
    plan: Plan | None = None,
    cohort: Cohort | None = None,
    on_picture: OnPicture = lambda done, total: None,
    progress: Progress = lambda step: None,
) -> Calibration:
    """Measure operating points from the folders of ``directory``, one a person.

    ``plan`` defaults to ``Plan()``, ``cohort`` to the one that comes with ``engine`` (if
    any). ``on_picture`` hears of every picture read and ``progress`` of every step.
    Raises ``PicturesRefused``, ``CalibrationRefused`` or ``ReportError``.
    """
    people = read_people(list_pictures(directory), engine, on_picture)
    about: dict[str, str | int | float] = {
        "data": directory.name,
        "pictures": people.pictures,
        "pictures_without_face": people.without_face,
    }
    table, trials = measure(
        people.faces,
        engine.engine_id,
        cohort or shipped_cohort(engine.engine_id),
        plan or Plan(),
        about,
        progress,
    )
    return write_report(table, trials, out, engine.engine_id)


def write_report(table: Table, trials: Trials, out: Path, engine_id: str) -> Calibration:
    """Write the table, the plots and the page into the folder ``out``."""
    table_file = out / f"{engine_id.replace(':', '-')}.json"
    page = out / "report.html"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_table(table, table_file)
        plots = {"misses": plot_misses, "thresholds": plot_thresholds, "scores": plot_scores}
        for name, plot in plots.items():
            figure = Figure(figsize=(8, 5), layout="constrained")
            plot(figure.subplots(), table, trials)
            figure.savefig(out / f"{name}.png", dpi=120)
            figure.savefig(out / f"{name}.svg")
        page.write_text(_page(table, engine_id, table_file.name), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"the results cannot be written to {out}: {error}") from error
    return Calibration(table, table_file, page)


def plot_misses(axes: Axes, table: Table, trials: Trials) -> None:
    """Riders missed against strangers let through, for the largest gallery measured."""
    size = max(case.riders for case in trials)
    for case, trial in trials.items():
        if case.riders != size:
            continue
        strangers = np.sort(trial.nonmated.values)[::-1]
        share = np.arange(1, len(strangers) + 1) / len(strangers)
        missed = np.searchsorted(np.sort(trial.mated.values), strangers) / len(trial.mated)
        axes.plot(share, missed, label=f"{case.enrolled} enrolled, {case.fused} fused")
    axes.set(
        xscale="log",
        yscale="symlog",
        xlim=(1e-4, 1),
        ylim=(0, 1),
        xlabel="strangers taken for a rider (FPIR)",
        ylabel="riders missed (FNIR)",
        title=f"{size} riders",
    )
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()


def plot_thresholds(axes: Axes, table: Table, trials: Trials) -> None:
    """The threshold against the gallery's size; hollow marks are extrapolated."""
    series: dict[tuple[int, int, float], list[OperatingPoint]] = {}
    for row in table.points:
        key = (row.enrolled_images, row.fused_frames, row.target_fpir)
        series.setdefault(key, []).append(row)
    most_pictures = max(row.enrolled_images for row in table.points)
    for (enrolled, fused, target), rows in series.items():
        if enrolled != most_pictures:
            continue
        sizes = [row.gallery_size for row in rows]
        (line,) = axes.plot(sizes, [row.threshold for row in rows], label=f"{fused}, {target:.1%}")
        for row in rows:
            face = "none" if row.extrapolated else line.get_color()
            axes.plot(
                row.gallery_size,
                row.threshold,
                "o",
                markeredgecolor=line.get_color(),
                markerfacecolor=face,
            )
    axes.set(xscale="log", xlabel="riders in the gallery", ylabel="threshold")
    axes.set_title(f"{most_pictures} pictures enrolled")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(title="pictures fused, FPIR", fontsize="small")


def plot_scores(axes: Axes, table: Table, trials: Trials) -> None:
    """Histograms of the scores of riders and of strangers, with the strictest threshold."""
    case = max(trials, key=lambda c: (c.enrolled, c.riders, -c.fused))
    trial = trials[case]
    for searches, label in ((trial.nonmated, "strangers"), (trial.mated, "riders")):
        values = searches.values[np.isfinite(searches.values)]
        axes.hist(values, bins=120, density=True, alpha=0.6, label=label)
    for row in table.points:
        if (row.gallery_size, row.enrolled_images, row.fused_frames) == (
            case.riders,
            case.enrolled,
            case.fused,
        ):
            axes.axvline(row.threshold, linestyle="--", color="black", linewidth=0.8)
            axes.text(row.threshold, 0.5, f" {row.target_fpir:.1%}", rotation=90, fontsize="small")
    axes.set(xlabel="best score of a search", ylabel="density")
    axes.set_title(
        f"{case.riders} riders, {case.enrolled} pictures enrolled, {case.fused} a search"
    )
    axes.legend()


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Calibration of {engine}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}
table{{border-collapse:collapse}}td,th{{padding:.2em .8em;text-align:right}}
tr:nth-child(even){{background:#f2f2f2}}img{{max-width:100%}}</style>
<h1>Calibration of {engine}</h1>
<p>{facts}</p>
<p>Each row says: with so many riders in a gallery, so many pictures of each at enrollment and
so many in a search, this score lets at most the stated share of strangers through, and this
share of riders is not recognised (95&nbsp;% interval) and must use another medium. Frames of
one passage are worth less than independent pictures: expect misses between the last two
columns. Rows marked <em>computed</em> lie beyond the people measured.</p>
<table><tr><th>riders</th><th>enrolled</th><th>fused</th><th>strangers let through</th>
<th>threshold</th><th>riders missed</th><th>with one frame</th></tr>
{rows}</table>
<p><img src="misses.svg" alt="Riders missed against strangers let through">
<img src="thresholds.svg" alt="Threshold against gallery size">
<img src="scores.svg" alt="Scores of riders and strangers"></p>
<p>To use these rows, give the gates the file <code>{file}</code>. They hold for people and
cameras like those measured; measure again after a change of cameras, light or riders.</p>
</html>
"""


def _page(table: Table, engine_id: str, file: str) -> str:
    facts = ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in table.measured.items()
    )
    return _PAGE.format(
        engine=html.escape(engine_id),
        facts=html.escape(facts),
        rows="\n".join(_page_row(row) for row in table.points),
        file=html.escape(file),
    )


def _page_row(row: OperatingPoint) -> str:
    cells = [
        f"{row.gallery_size:,}" + (" (<em>computed</em>)" if row.extrapolated else ""),
        str(row.enrolled_images),
        str(row.fused_frames),
        f"{row.target_fpir:.1%}",
        f"{row.threshold:.4f}",
        f"{row.fnir:.1%} [{row.fnir_low:.1%}, {row.fnir_high:.1%}]",
        f"{row.fnir_one_frame:.1%}",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
