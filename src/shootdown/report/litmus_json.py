"""Answers to litmus tests as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shootdown.litmus.compare import Agreement, verdict_of
from shootdown.litmus.runs import Asked
from shootdown.report.litmus import KINDS, columns

Json = dict[str, Any]


def litmus_document(
    runs: Sequence[Asked], expected: str | None, unanswered: int, code: int, version: str
) -> Json:
    """What ``shootdown litmus --json`` writes. ``unanswered``: how many tests have an answer for
    another machine only."""
    agreements = [run.comparison.agreement for run in runs if run.comparison is not None]
    return {
        "schema": "shootdown/litmus/1",
        "version": version,
        "exit_code": code,
        "expected": expected,
        "agreement": None
        if expected is None
        else {
            **{_key(agreement): agreements.count(agreement) for agreement in Agreement},
            "unanswered": unanswered,
        },
        "results": [_result(run) for run in runs],
    }


def _key(agreement: Agreement) -> str:
    return agreement.name.lower()


def _result(run: Asked) -> Json:
    test, outcome, result, comparison = run.test, run.outcome, run.result, run.comparison
    return {
        "file": str(run.question.path),
        "name": run.name,
        "suite": run.question.suite or None,
        "ets": run.question.machine.name,
        "exit_code": run.exit_code,
        "error": run.error,
        "kind": None if test is None else KINDS[test.condition.quantifier],
        "condition": None if test is None else str(test.condition),
        "answer": None
        if test is None or outcome is None or result is None
        else {
            "final_states": list(run.states),
            "positive": outcome.positive,
            "negative": outcome.negative,
            "ok": outcome.ok,
            "observation": outcome.observation,
            "verdict": verdict_of(test.condition.quantifier, outcome),
            "stopped": run.stopped,
            "unordered": run.unordered,
            "empty": run.empty,
            "states": result.states,
            "depth": result.depth,
            "seconds": round(result.seconds, 6),
        },
        "history": _history(run),
        "comparison": None
        if comparison is None
        else {
            "agreement": _key(comparison.agreement),
            "reasons": list(comparison.reasons),
            "only_ours": list(comparison.only_ours),
            "only_theirs": list(comparison.only_theirs),
        },
    }


def _history(run: Asked) -> Json | None:
    witness = run.witness
    if witness is None:
        return None
    return {
        "final_state": witness.state,
        "satisfies": witness.satisfies,
        "events": [
            {
                "step": event.step,
                "processor": event.processor,
                "text": event.text,
                "hardware": event.hardware,
                "old_translation": event.old,
            }
            for event in witness.events
        ],
        "diagram": columns(witness),
    }
