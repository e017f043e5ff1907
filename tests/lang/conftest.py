"""Small models for the tests of the language."""

from __future__ import annotations

from pathlib import Path

import pytest

from lang.small import ONE, Compile, Small, compile_text


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles a source: ``compiled("mm.a = 1")``."""

    def run(source: str, threads: str = ONE, **how: object) -> Small:
        return compile_text(tmp_path / "model.py", source, threads, **how)

    return run
