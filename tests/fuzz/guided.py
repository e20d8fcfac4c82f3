"""``scripts/fuzz``: coverage-guided fuzzing of one target with atheris."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

SECONDS = 1200
CORPUS = Path(__file__).parent / "corpus"
MEMORY_MB = 1024
INPUT_BYTES_MAX = 65_536
ONE_INPUT_S = 1


def main() -> None:
    """Fuzz the target named on the command line; a finding ends the run and is kept."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else str(SECONDS)
    with atheris.instrument_imports(include=["models", "enrollment", "ledger", "gate"]):
        from fuzz.targets import targets
    target = targets()[name]
    found = CORPUS / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as start:
        for number, seed in enumerate(target.seeds):
            (Path(start) / str(number)).write_bytes(seed)
        limits = [
            f"-max_total_time={seconds}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={ONE_INPUT_S}",
            f"-artifact_prefix={found}/",
        ]
        atheris.Setup([sys.argv[0], *limits, start], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
