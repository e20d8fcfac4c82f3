"""Measure the table of operating points that comes with Facefare.

    scripts/make-table PICTURES OUT [--leave-out TSV] [--seed N]

On the three quarters of the people that the cohort is not fitted to. OUT gets what
``facefare faces calibrate`` writes; its JSON file belongs into ``models/faces/tables``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench.embeddings import cached_people, left_out
from bench.make_cohort import split
from models.faces.calibration import measure
from models.faces.cohort import shipped_cohort
from models.faces.dlib_engine import DlibEngine
from models.faces.open_set import Plan
from models.faces.report import write_report

ROTATIONS = 32


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="scripts/make-table", description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--leave-out", type=Path, default=Path("no such file"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine = DlibEngine.load()
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        people = cached_people(options.pictures, engine, progress, left_out(options.leave_out))
    faces = split(people.faces)[1]
    table, trials = measure(
        faces,
        engine.engine_id,
        shipped_cohort(engine.engine_id),
        Plan(seed=options.seed, rotations_min=ROTATIONS),
        {
            "data": f"{options.pictures.name}, the people the cohort is not fitted to",
            "pictures": sum(map(len, faces.values())),
        },
        console.print,
    )
    write_report(table, trials, options.out, engine.engine_id)


if __name__ == "__main__":
    main()
