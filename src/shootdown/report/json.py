"""Results as JSON documents; their schemas are in ``schemas/`` and their names carry a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from shootdown.check.result import Result
from shootdown.check.trace import Ending, Trace, TraceStep
from shootdown.lang.ir import Action, Call, Location, NoteKind, Property, System
from shootdown.lang.scenario import Scenario
from shootdown.lang.stated import Invariant, NotModelled
from shootdown.report.coverage import function_at, never_executed
from shootdown.report.description import OptionValue, Removable
from shootdown.report.diagram import diagram
from shootdown.report.entries import column_of, in_source_order, label, remarks
from shootdown.report.run import Broken, Run, Subject, as_expected, exit_code, verdict_name
from shootdown.report.verdict import reproduce
from shootdown.report.why import Mutant, verdict_sentence

Json = dict[str, Any]


def check_document(results: Sequence[Json], code: int, version: str) -> Json:
    """What ``shootdown check --json`` writes: a ``run_document`` for each run."""
    return {**_head("check", version), "exit_code": code, "results": list(results)}


def run_document(run: Run | Broken) -> Json:
    """One result."""
    return _broken(run) if isinstance(run, Broken) else _run(run)


def list_document(
    scenarios: Sequence[Scenario], beyond: Sequence[NotModelled], version: str
) -> Json:
    """What ``shootdown list --json`` writes."""
    return {
        **_head("list", version),
        "scenarios": [
            {
                "name": scenario.name,
                "aliases": list(scenario.aliases),
                "title": scenario.title,
                "expected": _expected(scenario.expect, scenario.violates),
                "bounds": dict(scenario.bounds),
                "location": _location(scenario.location),
            }
            for scenario in scenarios
        ],
        "not_modelled": [asdict(race) for race in beyond],
    }


def invariants_document(invariants: Sequence[Invariant], version: str) -> Json:
    """What ``shootdown list --invariants --json`` writes."""
    return {
        **_head("invariants", version),
        "invariants": [
            {
                "name": invariant.name,
                "texts": list(invariant.texts),
                "refined": list(invariant.refined),
                "broken_by": list(invariant.broken_by),
            }
            for invariant in invariants
        ],
    }


def show_document(
    subject: Subject,
    system: System,
    doc: str,
    options: Sequence[OptionValue],
    sites: Sequence[Removable],
    version: str,
) -> Json:
    """What ``shootdown show --json`` writes without a token."""
    return {
        **_head("show", version),
        **_subject(subject),
        **_assumed(subject, system),
        "doc": doc,
        "options": [
            {"name": o.name, "value": o.value, "choices": list(o.choices), "doc": o.doc}
            for o in options
        ],
        "sites": [{"id": site.id, "text": site.text} for site in sites],
        "variables": [{"name": v.name, "values": v.size} for v in system.variables],
        "threads": [
            {
                "name": process.name,
                "daemon": process.daemon,
                "steps": [_action(action) for action in in_source_order(process)],
            }
            for process in system.processes
        ],
        "rules": [_action(action) for action in system.rules],
        "invariants": [_property(p) for p in system.invariants],
        "progress": [_property(p) for p in system.progress],
        "goals": [_property(p) for p in system.goals],
    }


def replay_document(subject: Subject, trace: Trace, token: str, code: int, version: str) -> Json:
    """What ``shootdown replay --json`` and ``shootdown show --path --json`` write."""
    return {
        **_head("replay", version),
        "exit_code": code,
        **_subject(subject),
        **_assumed(subject, trace.system),
        "violation": _violation(subject, trace, token),
    }


def why_document(base: Run, mutants: Sequence[Mutant], code: int, version: str) -> Json:
    """What ``shootdown why --json`` writes."""
    return {
        **_head("why", version),
        "exit_code": code,
        **_subject(base.subject),
        **_assumed(base.subject, base.system),
        "states": base.result.states,
        "sites": [
            {
                "id": mutant.site.id,
                "role": mutant.site.role,
                "text": mutant.site.text,
                "location": _location(mutant.site.location),
                "needed": mutant.needed,
                "outcome": mutant.outcome.value,
                "summary": verdict_sentence(mutant),
                "result": None if mutant.run is None else run_document(mutant.run),
            }
            for mutant in mutants
        ],
    }


@cache
def schema(name: str) -> Mapping[str, Any]:
    """The JSON schema of a document, by the name of its command: ``check``, ``bounds``, ..."""
    import json
    from importlib.resources import files

    text = (files("shootdown.report") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _head(name: str, version: str) -> Json:
    return {"schema": f"shootdown/{name}/1", "version": version}


def _expected(verdict: str, violates: str | None) -> Json:
    return {"verdict": verdict, "violates": violates}


def _subject(subject: Subject) -> Json:
    return {
        "target": subject.target,
        "name": subject.name,
        "title": subject.title,
        "expected": _expected(subject.expect, subject.violates),
        "changed": subject.changed,
    }


def _assumed(subject: Subject, system: System) -> Json:
    return {
        "bounds": dict(system.bounds),
        "hardware": {
            "name": subject.hardware,
            "options": dict(subject.options),
            "assumptions": list(system.assumptions),
        },
    }


def _broken(run: Broken) -> Json:
    return {
        **_subject(run.subject),
        "verdict": "ERROR",
        "as_expected": False,
        "exit_code": run.exit_code,
        "error": run.error,
    }


def represented_document(result: Result) -> Json | None:
    """What the states of a search with symmetry stand for."""
    found = result.represented
    if found is None:
        return None
    return {
        "states": found.states,
        "standard_error": found.error,
        "reachable": found.reachable,
        "factor": round(found.states / result.states, 3),
    }


def _run(run: Run) -> Json:
    system, result = run.system, run.result
    violation = None
    if run.trace is not None and (run.token is not None or run.untold):
        violation = _violation_of(run)
    return {
        **_subject(run.subject),
        "verdict": verdict_name(run),
        "as_expected": as_expected(run),
        "exit_code": exit_code(run),
        **_assumed(run.subject, system),
        "engine": result.engine,
        "reductions": list(result.reductions),
        "symmetry_given_up": result.given_up,
        "before_reductions": None
        if result.before is None
        else {"states": result.before.states, "depth": result.before.depth},
        "fingerprints": None
        if result.fingerprints is None
        else {**asdict(result.fingerprints), "omission_below": result.omission},
        "represented": represented_document(result),
        "shortest": result.shortest,
        "states": result.states,
        "expanded": result.expanded,
        "frontier": result.frontier,
        "transitions": result.transitions,
        "depth": result.depth,
        "seconds": round(result.seconds, 6),
        "memory_bytes": result.memory,
        "stopped": result.stopped,
        "checkpoint": result.checkpoint,
        "invariants": [_property(p) for p in system.invariants],
        "progress": [_property(p) for p in system.progress],
        "goals": [
            {**_property(goal), "reached": reached}
            for goal, reached in zip(system.goals, result.goals, strict=True)
        ],
        "never_executed": [
            {**_location(at), "function": function_at(at)}
            for at in never_executed(system.lines, result.covered)
        ],
        "violation": violation,
        "other_violations": [
            _violation_of(other) for other in run.others if other.trace is not None
        ],
    }


def _violation_of(run: Run) -> Json:
    assert run.trace is not None
    document = {**_violation(run.subject, run.trace, run.token), "cut": run.cut}
    if run.untold:
        found = run.result.violation
        assert found is not None
        document |= {"length": found.length if found.real else None, "diagram": ""}
    return document


def _violation(subject: Subject, trace: Trace, token: str | None) -> Json:
    return {
        **_ending(trace.ending),
        "length": len(trace.steps),
        "loop": trace.loop,
        "token": token,
        "reproduce": None if token is None else reproduce(subject, token),
        "steps": [_step(trace.system, step) for step in trace.steps],
        "waiting": [
            {"process": trace.system.processes[w.process].name, **_action(w.action)}
            for w in trace.ending.waiting
        ],
        "diagram": diagram(trace),
    }


def _ending(ending: Ending) -> Json:
    at = ending.location
    return {
        "kind": ending.kind.value,
        "name": ending.name,
        "text": ending.text,
        "location": None if at is None else _location(at),
    }


def _step(system: System, step: TraceStep) -> Json:
    process = None if step.process is None else system.processes[step.process].name
    return {
        "number": step.number,
        "outcome": step.outcome,
        "process": process,
        "column": column_of(system, step.process, step.action),
        "label": label(step),
        "notes": list(remarks(step, NoteKind.NOTE)),
        "marks": list(remarks(step, NoteKind.MARK)),
        **_action(step.action),
        "changes": [{"name": c.name, "old": c.old, "new": c.new} for c in step.changes],
        "failed": step.failed,
    }


def _action(action: Action) -> Json:
    return {
        "action": action.name,
        "kind": action.info.kind,
        "text": action.info.text,
        "fair": action.fair,
        "location": _location(action.info.location),
        "calls": [_call(call) for call in action.info.calls],
    }


def _call(call: Call) -> Json:
    return {
        "function": call.function,
        "serial": call.serial,
        "single": call.single,
        "location": _location(call.location),
        "site": None if call.site is None else _location(call.site),
    }


def _property(prop: Property) -> Json:
    return {"name": prop.name, "text": prop.text, "location": _location(prop.location)}


def _location(at: Location) -> Json:
    return {"file": at.file, "line": at.line, "text": at.text}
