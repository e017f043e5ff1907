"""Long searches as a user starts them, in processes of their own, and kills them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

Json = dict[str, Any]
RUN = (sys.executable, "-m", "shootdown")


def facts(document: Json) -> Json:
    """A JSON document without what depends on the machine."""
    (result,) = document["results"]
    for name in ("seconds", "memory_bytes", "checkpoint"):
        del result[name]
    return document


def checked(*words: str) -> Json:
    done = subprocess.run(
        [*RUN, "check", *words, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1, 3), done.stderr
    document: Json = json.loads(done.stdout)
    return document


def killed_after(event: str, *words: str) -> None:
    """Start a search, and kill it when it tells of an event."""
    with subprocess.Popen(
        [*RUN, "check", *words, "--json-events"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"] == event:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
