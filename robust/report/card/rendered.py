"""A card in Markdown, HTML and LaTeX, from its JSON alone."""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from robust.io.names import printable
from robust.io.radius import radius
from robust.report.card.evidence import NOT_MEASURED
from robust.results.cells import Cell, Content, Grid, as_text

MARKS = {"md": "<!-- robust card -->", "html": "<!doctype html><!-- robust card -->"}
MARKS["tex"] = "% robust card"
"""How each file of a card begins."""
_Card = Mapping[str, Any]


def markdown(card: _Card) -> str:
    """Return a card in Markdown."""
    lines = [MARKS["md"], "# Robustness card", "", str(card["note"]), ""]
    for level, title, body in _sections(card):
        lines += [f"{'#' * level} {_markdown(title)}", ""]
        if isinstance(body, Grid):
            lines += [body.markdown().split("\n", 2)[2]]  # the heading is its title
        else:
            lines += [*(f"- {_markdown(text)}" for text in body), ""]
    return "\n".join(lines)


def as_html(card: _Card) -> str:
    """Return a card as a page that needs no network."""
    parts = [MARKS["html"], '<html lang="en"><head><meta charset="utf-8">', _STYLE]
    parts += ["<title>Robustness card</title></head><body><h1>Robustness card</h1>"]
    parts += [f"<p>{html.escape(str(card['note']))}</p>"]
    for level, title, body in _sections(card):
        parts += [f"<h{level}>{html.escape(title)}</h{level}>"]
        if isinstance(body, Grid):
            parts += [body.html().replace(f"<caption>{html.escape(body.title)}</caption>", "", 1)]
        else:
            parts += ["<ul>", *(f"<li>{html.escape(text)}</li>" for text in body), "</ul>"]
    return "\n".join([*parts, "</body></html>", ""])


def tex(card: _Card) -> str:
    """Return a card as LaTeX to be put into a document, with nothing but its usual tables."""
    parts = [MARKS["tex"], _tex(str(card["note"])), ""]
    for level, title, body in _sections(card):
        parts += [f"\\{'sub' * (level - 2)}section*{{{_tex(title)}}}"]
        if isinstance(body, Grid):
            parts += [*_tabular(body)]
        elif body:
            items = (f"\\item {_tex(text)}" for text in body)
            parts += ["\\begin{itemize}", *items, "\\end{itemize}"]
    return "\n".join([*parts, ""])


def _sections(card: _Card) -> Iterator[tuple[int, str, Grid | list[str]]]:
    for run in card["runs"]:
        about = {key: value for key, value in run["subject"].items() if key != "settings"}
        yield 2, str(run["name"]), _pairs(about)
        yield 3, "Settings", _settings(run["subject"].get("settings"))
        for each in run["evaluations"]:
            yield 3, f"Suite {each['suite']} on {each['data']['name']}", _pairs(each["data"])
            yield 3, "Threat model", list(_threat_models(each))
            yield 3, "Results", _results(each)
            yield 3, "Evidence", _signs(each)
            yield 3, "Attacks", _attacks(each)
            yield 3, "Arguments of attacks", _arguments(each)
            if each["curve"]:
                yield 3, "Robust accuracy against eps", _curve(each)
            yield 3, "Compute", _pairs({**each["compute"], "training": run["training"]})
            yield 3, "Limits", list(each["limits"])
            yield 3, "Checklist of Carlini et al. 2019", _checklist(each)
        yield 3, "Files", _files(run)
    yield 2, "Where clauses are answered", _clauses(card)


def _pairs(content: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {_short(value)}" for key, value in content.items()]


def _settings(settings: Any) -> Grid:  # noqa: ANN401 (of JSON)
    """Return a table of all settings of the model, by the names of their flags."""
    rows: list[list[Content]] = [list(pair) for pair in _flat("model", settings)]
    if settings is None:
        rows = [["model", "not recorded"]]
    return Grid("Settings", ["setting", "value"], rows, is_prose=True)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (of JSON)
    """Yield what is below a name, each with the dots that lead to it; a class has its path."""
    if isinstance(value, dict) and "class_path" in value:
        yield name, _value(value["class_path"])
        value = value.get("init_args") or {}
    elif not _is_nested(value):
        yield name, _value(value)
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in parts:
        yield from _flat(f"{name}.{key}" if name else str(key), each)


def _is_nested(value: Any) -> bool:  # noqa: ANN401 (of JSON)
    """Return whether something has parts that need names."""
    if isinstance(value, list):
        return any(isinstance(each, dict | list) for each in value)
    return isinstance(value, dict) and bool(value)


def _value(value: Any) -> str:  # noqa: ANN401 (of JSON)
    """Return a value that is on record, of which null is none, too."""
    if value is None:
        return "none"
    if isinstance(value, list | dict):
        return ", ".join(map(_value, value)) or "empty"
    return _short(value)


def _short(value: Any) -> str:  # noqa: ANN401 (of JSON)
    if value is None:
        return "not recorded"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_short(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return printable(str(value))


def _threat_models(each: _Card) -> Iterator[str]:
    for model in each["threat_models"]:
        yield f"{model['name']}: {' '.join(model['goal'])} {model['capability']}"
        yield from (f"{view}: {text}" for view, text in model["knowledge"].items())


def _rate(content: Mapping[str, Any]) -> Content:
    if content["value"] is None:
        return "-"
    return Cell(content["value"], content["low"], content["high"], content["n"])


def _results(each: _Card) -> Grid:
    rows: list[list[Content]] = [
        [name, _rate(content), str(content["n"])] for name, content in each["results"].items()
    ]
    note = f"In %, with 95 % Wilson intervals. Record: {each['record']}."
    return Grid("Results", ["number", "value", "n"], rows, [note])


def _signs(each: _Card) -> Grid:
    found, rows = each["evidence"], list[list[Content]]()
    for budget, verdict in found["verdict"].items():
        rows.append([budget, "verdict", verdict["word"], verdict["reason"] or "-"])
        for sign in found["signs"][budget]:
            rows.append([budget, sign["sign"], _raised(sign), sign["figures"]])
        for view, score in found["unit_test"][budget].items():
            told = score if isinstance(score, str) else "found by " + score["attack"]
            value = "not measured" if isinstance(score, str) else _rate(score)
            label = "attack unit test" if isinstance(score, str) else f"attack unit test, {view}"
            rows.append([budget, label, value, told])
    rows.append(["all", "ties of the two best scores", _rate(found["ties"]), "-"])
    return Grid("Evidence", ["threat model", "what", "found", "figures"], rows)


def _raised(sign: _Card) -> str:
    """Return whether a sign is raised, was not measured, or cannot be told."""
    if sign["raised"] is None:
        return NOT_MEASURED if sign["figures"] == NOT_MEASURED else "cannot tell"
    return "raised" if sign["raised"] else "not raised"


def _attacks(each: _Card) -> Grid:
    rows: list[list[Content]] = [
        [
            *(attack["name"], attack["class"], f"{attack['norm']} {_eps(attack['eps'])}"),
            f"{attack['cost']['forwards_per_image']:.4g}",
            f"{attack['cost']['seconds_per_image']:.2g}",
            attack["code_sha256"][:16] or "-",
        ]
        for attack in each["attacks"]
    ]
    header = ["attack", "class", "threat model", "forwards", "seconds", "code"]
    return Grid("Attacks", header, rows, ["forwards, seconds: a test image, through one view."])


def _eps(eps: float | None) -> str:
    """Return a radius; JSON has no number for one without a bound."""
    return "unbounded" if eps is None else _short(eps)


def _arguments(each: _Card) -> Grid:
    rows: list[list[Content]] = [
        [attack["name"], *pair]
        for attack in each["attacks"]
        for pair in _flat("", attack["arguments"])
        if pair[0]  # an attack may have none
    ]
    return Grid("Arguments of attacks", ["attack", "argument", "value"], rows, is_prose=True)


def _curve(each: _Card) -> Grid:
    rows: list[list[Content]] = [
        [point["family"], point["view"], radius(point["eps"]), _rate(point)]
        for point in each["curve"]
    ]
    return Grid("Robust accuracy in %", ["attack", "view", "eps", "robust acc"], rows)


def _checklist(each: _Card) -> Grid:
    rows: list[list[Content]] = [
        [entry["item"], entry["answer"], entry["evidence"] or "-"] for entry in each["checklist"]
    ]
    return Grid("Checklist", ["item", "answer", "where"], rows)


def _files(run: _Card) -> Grid:
    rows: list[list[Content]] = [
        [file["path"], str(file["bytes"]), file["sha256"]] for file in run["files"]
    ]
    return Grid("Files", ["file", "bytes", "SHA-256"], rows)


def _clauses(card: _Card) -> Grid:
    rows: list[list[Content]] = [
        [clause["source"], clause["clause"], clause["where"]] for clause in card["references"]
    ]
    return Grid("Clauses", ["source", "clause", "where in the card"], rows)


def _tabular(grid: Grid) -> Iterator[str]:
    yield f"\\begin{{tabular}}{{{'l' * len(grid.header)}}}\\hline"
    for row in (grid.header, *grid.rows):
        cells = (_tex(as_text(content).replace("\n", " (") + _closing(content)) for content in row)
        yield f"{' & '.join(cells)} \\\\"
    yield "\\hline\\end{tabular}\n"
    yield from (f"{_tex(note)}\n" for note in grid.notes)


def _closing(content: Content) -> str:
    return ")" if isinstance(content, Cell) and content.n else ""


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    """Return a text in which no letter is a command of LaTeX."""
    return re.sub(r"[\\~^&%$#_{}]", lambda m: _SPECIAL.get(m[0], f"\\{m[0]}"), printable(text))


def _markdown(text: str) -> str:
    return re.sub(r"[|*`\\<\[\]]", r"\\\g<0>", printable(text))


_STYLE = (
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2em .6em;border-bottom:1px "
    "solid #8884}caption{text-align:left;font-weight:600}</style>"
)
