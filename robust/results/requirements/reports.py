"""Outcomes of requirements as files that CI reads: JUnit's XML and SARIF."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from robust.io.version import package_version
from robust.results.requirements.requirement import Judged

_LEVELS = {"does not hold": "error", "cannot tell": "warning"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def junit(judged: Sequence[Judged]) -> str:
    """Return outcomes in JUnit's XML: what does not hold failed, what cannot be told erred."""
    counts = {outcome: sum(each.outcome == outcome for each in judged) for outcome in _LEVELS}
    suite = ElementTree.Element(
        "testsuite",
        name="robust",
        tests=str(len(judged)),
        failures=str(counts["does not hold"]),
        errors=str(counts["cannot tell"]),
    )
    for each in judged:
        case = ElementTree.SubElement(
            suite, "testcase", classname=each.run, name=str(each.requirement)
        )
        if each.outcome in _LEVELS:
            kind = "failure" if each.outcome == "does not hold" else "error"
            ElementTree.SubElement(case, kind, type=each.outcome, message=each.reason)
        else:
            ElementTree.SubElement(case, "system-out").text = each.reason
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def sarif(judged: Sequence[Judged]) -> str:
    """Return the requirements that do not hold as results in SARIF 2.1.0."""
    rules = list(dict.fromkeys(str(each.requirement) for each in judged))
    driver = {
        "name": "robust",
        "version": package_version(),
        "rules": [{"id": rule, "shortDescription": {"text": rule}} for rule in rules],
    }
    results = [_result(each, rules) for each in judged if each.outcome in _LEVELS]
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(judged: Judged, rules: Sequence[str]) -> dict[str, Any]:
    rule = str(judged.requirement)
    record = judged.run if judged.measured is None else judged.measured.record
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": _LEVELS[judged.outcome],
        "message": {"text": f"{rule}: {judged.outcome}. {judged.reason}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(record)}}}],
    }


def _uri(record: str) -> str:
    """Return a relative URI of a record, or of the run that has none."""
    return quote(record)
