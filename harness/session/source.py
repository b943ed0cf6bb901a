"""Hash the harness's own source. A session that goes on with another source would mix the records of two probes."""

from __future__ import annotations

from pathlib import Path

from harness.record.values import sha256_of

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("harness", "fixtures", "scenarios")
"""What makes and judges runs. The reports are a view of the session, which any version may show."""
KINDS = frozenset({".py", ".json", ".toml"})


def own_source() -> dict[str, str]:
    """Return the hash of each file of the harness, by its path."""
    files = (path for part in PARTS for path in sorted((ROOT / part).rglob("*")) if path.suffix in KINDS)
    return {path.relative_to(ROOT).as_posix(): sha256_of(path, links=True)[:16] for path in files if path.is_file()}
