"""What a stand-in W&B server knows, and its answers to GraphQL.

An answer is picked by the root field of a query and holds more than was asked for; there is no
validation. Names of variables are those of wandb 0.31.
"""

import json
import math
import re
import secrets
import threading
from pathlib import Path
from urllib.parse import quote

from tests.support.wandb_artifacts import Artifacts
from tests.support.wandb_sweeps import Sweeps
from tests.support.wandb_words import ENTITY, USER, connection, now, uid


def root_fields(query):
    """Names of the outermost fields of a query, and their aliases."""
    depth, parentheses, fields = 0, 0, []
    body = re.sub(r"#.*", "", query)
    for word in re.findall(r"\.{3}|[\w$@]+|[(){}]", body):
        parentheses += (word == "(") - (word == ")")
        depth += (word == "{") - (word == "}") if not parentheses else 0
        if depth == 1 and not parentheses and re.fullmatch(r"\w+", word):
            fields.append(word)
        if depth == 0 and word == "}":
            break
    return fields


class State(Sweeps, Artifacts):
    """Runs, sweeps, artifacts and views, by the ids or names that the client sends.

    Args:
        folder: Where uploaded files lie.
        url: Of the server.
    """

    def __init__(self, folder, url):
        self.folder, self.url = Path(folder), url
        self.lock = threading.RLock()
        self.runs, self.sweeps, self.agents = {}, {}, {}
        self.projects = set()
        self.artifacts, self.views, self.client_ids = {}, {}, {}
        self.links = {}
        self.operations = []

    def run(self, project, name):
        """A run, made on first sight."""
        key = (project or "uncategorized", name)
        if key not in self.runs:
            self.runs[key] = {
                "project": key[0],
                "name": name,
                "displayName": name,
                "config": {},
                "summary": {},
                "history": [],
                "events": [],
                "log": [],
                "state": "running",
                "sweep": None,
                "stopped": False,
                "exitcode": None,
                "tags": [],
                "group": None,
                "jobType": None,
                "files": {},
                "createdAt": now(),
            }
        return self.runs[key]

    def upload_url(self, path):
        return f"{self.url}/data/{quote(path)}"

    def answer(self, query, variables):
        """The ``data`` of a response."""
        outermost = root_fields(query)
        fields = [f for f in outermost if hasattr(self, f"on_{f}")]
        named = {f: a for a, f in re.findall(r"(\w+): (\w+)\(", query) if a in outermost}
        with self.lock:
            return {named.get(f, f): getattr(self, f"on_{f}")(variables, query) for f in fields}

    # The account and what the server can do.

    def on_serverInfo(self, v, query):
        versions = {"max_cli_version": "99.0.0", "min_cli_version": "0.10.0"}
        return {"cliVersionInfo": versions, "latestLocalVersionInfo": None, "features": []}

    def on_viewer(self, v, query):
        return {**USER, "projects": connection([])}

    def on_entity(self, v, query):
        organizations = [{"name": "org", "orgEntity": {"name": "org-entity"}}]
        account = {"id": "1", "name": ENTITY, "isTeam": False, "organization": None}
        return {**account, "user": {"organizations": organizations}}

    def on_organization(self, v, query):
        return {"featureFlags": []}

    # Runs.

    def on_upsertBucket(self, v, query):
        known = {uid("Run", key): key for key in self.runs}
        key = known.get(v.get("id")) or (v.get("project") or "uncategorized", v.get("name"))
        inserted = key not in self.runs
        run = self.run(*key)
        for source in ("displayName", "groupName", "jobType", "tags", "sweep", "state"):
            if v.get(source):
                run["group" if source == "groupName" else source] = v[source]
        run["config"].update(json.loads(v.get("config") or "{}"))
        run["summary"].update(json.loads(v.get("summaryMetrics") or "{}"))
        run["state"] = "running" if run["state"] == "pending" else run["state"]
        return {"bucket": self.run_node(run), "inserted": inserted}

    def on_createRunFiles(self, v, query):
        run = self.run(v["project"], v["run"])
        for file in v["files"]:
            run["files"][file] = f"files/{run['project']}/{run['name']}/{file}"
        urls = [{"name": f, "uploadUrl": self.upload_url(run["files"][f])} for f in v["files"]]
        return {"runID": uid("Run", run["name"]), "uploadHeaders": [], "files": urls}

    def on_project(self, v, query):
        name = v.get("project") or v.get("projectName") or v.get("name")
        node = self.project_node(name)
        wanted = json.loads(v.get("filters") or "{}")
        runs = [r for r in self.runs.values() if r["project"] == name and matches(r, wanted)]
        order = v.get("order") or ""
        if "summary_metrics." in order:
            key = order.split(".", 1)[1]
            runs.sort(key=lambda r: r["summary"].get(key, math.inf))
        if order.startswith("-"):
            runs.reverse()
        node["runs"], node["runCount"] = connection([self.run_node(r, v) for r in runs]), len(runs)
        names = [v.get(key) for key in ("name", "run", "runName", "runId")]
        run = next((self.runs[name, n] for n in names if (name, n) in self.runs), None)
        node["run"] = node["bucket"] = None if run is None else self.run_node(run, v)
        sweep = self.sweeps.get(v.get("sweep") or v.get("name"))
        node["sweep"] = None if sweep is None else self.sweep_node(sweep)
        views = [x for x in self.views.values() if x["project"]["name"] == name]
        node["allViews"] = connection(views)
        return {**node, **self.project_artifacts(v)}

    on_model = on_project

    def on_models(self, v, query):
        """All projects, of which some are only known by what is in them."""
        inside = [*self.runs.values(), *self.sweeps.values()]
        found = self.projects | {content["project"] for content in inside}
        return connection([self.project_node(name) for name in sorted(found)])

    def on_upsertModel(self, v, query):
        name = (v.get("input") or v)["name"]
        inserted = name not in self.projects
        self.projects.add(name)
        node = self.project_node(name)
        return {"project": node, "model": node, "inserted": inserted}

    def project_node(self, name):
        return {
            "__typename": "Project",
            "id": uid("Project", name),
            "internalId": "1",
            "name": name,
            "entityName": ENTITY,
            "entity": {"id": "1", "name": ENTITY, "__typename": "Entity"},
            "createdAt": now(),
            "isBenchmark": False,
            "readOnly": False,
            "user": USER,
            "tags": [],
        }

    def run_node(self, run, v=None):
        history = run["history"]
        keys = {k for row in history for k in row if not k.startswith("_")}
        kinds = {"typeCounts": [{"type": "number", "count": len(history)}], "monotonic": False}
        last = history[-1].get("_step", 0) if history else -1
        node = {
            **{key: run[key] for key in ("name", "displayName", "state", "group", "jobType")},
            **{key: run[key] for key in ("tags", "createdAt", "exitcode", "stopped")},
            "id": uid("Run", (run["project"], run["name"])),
            "sweepName": run["sweep"],
            "config": json.dumps(run["config"]),
            "summaryMetrics": json.dumps(run["summary"]),
            "systemMetrics": "{}",
            "historyLineCount": len(history),
            "logLineCount": len(run["log"]),
            "eventsLineCount": len(run["events"]),
            "historyTail": json.dumps([json.dumps(row) for row in history[-1:]]),
            "eventsTail": json.dumps([]),
            "historyKeys": {"sets": [], "keys": dict.fromkeys(keys, kinds), "lastStep": last},
            "wandbConfig": json.dumps({"t": {}}),
            "heartbeatAt": now(),
            "readOnly": False,
            "shouldStop": run["stopped"],
            "user": USER,
            "project": self.project_node(run["project"]),
            "history": [json.dumps(row) for row in _steps(history, v or {})],
            "events": [],
            "fileCount": len(run["files"]),
            "files": connection([self.file_node(f, p) for f, p in run["files"].items()]),
            "parquetHistory": {"parquetUrls": [], "liveData": history},
        }
        made = [a for a in self.artifacts.values() if a["run"] == run["name"]]
        # wandb.Api asks for it by an alias.
        node["artifacts"] = connection([self.artifact_node(artifact) for artifact in made])
        specs = (v or {}).get("specs") or [s for s in [(v or {}).get("spec")] if s]
        wanted = [(json.loads(s) if isinstance(s, str) else s).get("keys", []) for s in specs]
        node["sampledHistory"] = [[r for r in history if set(k) <= set(r)] for k in wanted]
        return node

    def file_node(self, name, path):
        file = self.folder / path
        size = file.stat().st_size if file.is_file() else 0
        url = self.upload_url(path)
        return {"id": uid("File", name), "name": name, "url": url, "directUrl": url} | {
            "sizeBytes": size,
            "mimetype": None,
            "md5": None,
            "updatedAt": now(),
        }

    # Saved workspaces and reports.

    def on_upsertView(self, v, query):
        key = v.get("id") or uid("View", secrets.token_hex(4))
        given = {k: v.get(k) for k in ("type", "name", "displayName", "description", "spec")}
        view = {**self.views.get(key, {}), **given, "id": key, "entityName": ENTITY, "user": USER}
        view |= {"createdAt": now(), "updatedAt": now(), "locked": False}
        self.views[key] = {**view, "project": self.project_node(v.get("projectName"))}
        return {"view": self.views[key], "inserted": True}

    on_upsertView2 = on_upsertView

    def on_view(self, v, query):
        return self.views.get(v.get("id") or v.get("reportId") or v.get("viewId"))


def matches(run, wanted):
    """Whether a run passes the filters that `wandb.Api` sends: equality, and, or."""
    if "$and" in wanted:
        return all(matches(run, part) for part in wanted["$and"])
    if "$or" in wanted:
        return any(matches(run, part) for part in wanted["$or"]) or not wanted["$or"]
    names = {"display_name": "displayName", "job_type": "jobType"}
    return all(run[names.get(key, key)] == value for key, value in wanted.items())


def _steps(history, v):
    """The rows that `scan_history` asks for, all without such a wish."""
    low, high = v.get("minStep", -1), v.get("maxStep", math.inf)
    return [row for row in history if low <= row.get("_step", 0) < high]
