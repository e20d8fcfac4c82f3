"""``scripts/fuzz``: coverage-guided fuzzing of one target with atheris.

What reaches new code is kept under ``.fuzz/TARGET`` and the next run starts from it.
``keep`` instead of a number of seconds copies the smallest set of short inputs that reach the
same code to ``tests/fuzz/corpus/TARGET``, beside the findings, for the test-suite.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

SECONDS = "1200"
ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
MEMORY_MB = 1024
INPUT_BYTES_MAX = 65_536
KEPT_BYTES_MAX = 1024
"""Longer inputs stay out of the repository."""
ONE_INPUT_S = 1


def main() -> None:
    """Fuzz the target named on the command line; a finding ends the run and is kept."""
    sys.path.insert(0, str(ROOT / "tests"))
    name, what = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else SECONDS
    with atheris.instrument_imports(include=["models", "enrollment", "ledger", "gate"]):
        from fuzz.targets import targets
    target = targets()[name]
    reached, kept = ROOT / ".fuzz" / name, CORPUS / name
    for folder in (reached, kept):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds + target.odd):
        (reached / f"seed-{number}").write_bytes(seed)
    limits = [
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={ONE_INPUT_S}",
        f"-artifact_prefix={kept}/",
    ]
    if what == "keep":
        work = ["-merge=1", f"-max_len={KEPT_BYTES_MAX}", str(kept), str(reached)]
    elif what.startswith("-"):  # a merge starts this program again, with options of its own
        work = sys.argv[2:]
    else:
        work = [f"-max_total_time={what}", f"-max_len={INPUT_BYTES_MAX}", str(reached), str(kept)]
    again = f"{sys.executable} -m {__spec__.name} {name}"
    atheris.Setup([again, *limits, *work], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
