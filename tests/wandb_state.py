"""What a stand-in W&B server knows, and its answers to GraphQL.

An answer is picked by the root field of a query and holds more than was asked for; there is no
validation. Names of variables are those of wandb 0.31.
"""

import base64
import json
import math
import re
import secrets
import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import yaml

with warnings.catch_warnings():
    # sweeps 0.3.0 still imports a class under the name it had in pydantic 1.
    warnings.simplefilter("ignore")
    import sweeps

ENTITY = "local"
_USER = {
    "id": "VXNlcg==",
    "name": ENTITY,
    "username": ENTITY,
    "email": "local@localhost",
    "admin": False,
    "entity": ENTITY,
    "flags": "{}",
    "deletedAt": None,
    "apiKeys": {"edges": []},
    "teams": {"edges": [{"node": {"name": ENTITY}}]},
}


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def uid(kind, name):
    return base64.b64encode(f"{kind}:{name}".encode()).decode()


def connection(nodes):
    return {
        "edges": [{"node": node, "cursor": str(i)} for i, node in enumerate(nodes)],
        "totalCount": len(nodes),
        "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False},
    }


def numbers(row):
    return {k: v for k, v in row.items() if isinstance(v, int | float) and type(v) is not bool}


def root_fields(query):
    """Names of the outermost fields of a query; aliases are not used there."""
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


class State:
    """Runs, sweeps, artifacts and views, by the ids or names that the client sends.

    Args:
        folder: Where uploaded files lie.
        url: Of the server.
    """

    def __init__(self, folder, url):
        self.folder, self.url = Path(folder), url
        self.lock = threading.RLock()
        self.runs, self.sweeps, self.agents = {}, {}, {}
        self.artifacts, self.views, self.client_ids = {}, {}, {}
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
        fields = [f for f in root_fields(query) if hasattr(self, f"on_{f}")]
        with self.lock:
            return {f: getattr(self, f"on_{f}")(variables, query) for f in fields}

    # The account and what the server can do.

    def on_serverInfo(self, v, query):
        versions = {"max_cli_version": "99.0.0", "min_cli_version": "0.10.0"}
        return {"cliVersionInfo": versions, "latestLocalVersionInfo": None, "features": []}

    def on_viewer(self, v, query):
        return {**_USER, "projects": connection([])}

    def on_entity(self, v, query):
        return {"id": "1", "name": ENTITY, "isTeam": False, "organization": None}

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
            "user": _USER,
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
            "user": _USER,
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

    # Sweeps.

    def on_upsertSweep(self, v, query):
        names = {uid("Sweep", name): name for name in self.sweeps}
        name = names.get(v.get("id"), v.get("id")) or secrets.token_hex(4)
        sweep = self.sweeps.setdefault(
            name,
            {
                "name": name,
                "config": {},
                "state": "PENDING",
                "project": v.get("projectName") or "uncategorized",
                "createdAt": now(),
            },
        )
        if v.get("config"):
            sweep["config"] = yaml.safe_load(v["config"])
        if v.get("state"):
            sweep["state"] = v["state"]
        problems = sweeps.schema_violations_from_proposed_config(sweep["config"])
        return {"sweep": self.sweep_node(sweep), "configValidationWarnings": list(problems)}

    def on_createAgent(self, v, query):
        agent = uid("Agent", secrets.token_hex(4))
        self.agents[agent] = {"sweep": v["sweep"], "runs": set()}
        return {"agent": {"id": agent}}

    def on_agentHeartbeat(self, v, query):
        commands = self.commands(self.agents[v["id"]], json.loads(v.get("runState") or "{}"))
        return {"agent": {"id": v["id"]}, "commands": json.dumps(commands)}

    def commands(self, agent, running):
        """What an agent shall do: stop a run that hyperband gives up, or start the next."""
        sweep = self.sweeps[agent["sweep"]]
        runs = self.runs_of(sweep)
        for run in runs:
            if run["name"] in agent["runs"] - set(running) and run["state"] in (
                "running",
                "pending",
            ):
                run["state"] = "crashed"
        if sweep["config"].get("early_terminate"):
            for loser in sweeps.stop_runs(sweep["config"], [_searched(run) for run in runs]):
                self.run(sweep["project"], loser.name)["stopped"] = True
        if running:
            stopped = {run["name"] for run in runs if run["stopped"]}
            return [{"type": "stop", "run_id": name} for name in running if name in stopped]
        cap = sweep["config"].get("run_cap")
        following = None
        if sweep["state"] in ("PENDING", "RUNNING") and (cap is None or len(runs) < cap):
            following = sweeps.next_run(sweep["config"], [_searched(run) for run in runs])
        if following is None:
            sweep["state"] = "FINISHED"
            return [{"type": "exit"}]
        sweep["state"] = "RUNNING"
        run = self.run(sweep["project"], secrets.token_hex(4))
        run |= {"sweep": sweep["name"], "suggested": following.config, "state": "pending"}
        self.runs[sweep["project"], run["name"]] = run
        agent["runs"].add(run["name"])
        program = sweep["config"].get("program")
        return [
            {"type": "run", "run_id": run["name"], "program": program, "args": following.config}
        ]

    def runs_of(self, sweep):
        return [run for run in self.runs.values() if run["sweep"] == sweep["name"]]

    def sweep_node(self, sweep):
        runs = self.runs_of(sweep)
        return {
            "__typename": "Sweep",
            "id": uid("Sweep", sweep["name"]),
            "name": sweep["name"],
            "displayName": sweep["name"],
            "method": sweep["config"].get("method"),
            "state": sweep["state"],
            "description": None,
            "config": yaml.safe_dump(sweep["config"]),
            "createdAt": sweep["createdAt"],
            "updatedAt": now(),
            "heartbeatAt": now(),
            "bestLoss": None,
            "controller": None,
            "scheduler": None,
            "runCount": len(runs),
            "runCountExpected": None,
            "priorRuns": connection([]),
            "agents": connection([]),
            "runs": connection([self.run_node(run) for run in runs]),
            "project": self.project_node(sweep["project"]),
        }

    # Saved workspaces and reports.

    def on_upsertView(self, v, query):
        key = v.get("id") or uid("View", secrets.token_hex(4))
        given = {k: v.get(k) for k in ("type", "name", "displayName", "description", "spec")}
        view = {**self.views.get(key, {}), **given, "id": key, "entityName": ENTITY, "user": _USER}
        view |= {"createdAt": now(), "updatedAt": now(), "locked": False}
        self.views[key] = {**view, "project": self.project_node(v.get("projectName"))}
        return {"view": self.views[key], "inserted": True}

    on_upsertView2 = on_upsertView

    def on_view(self, v, query):
        return self.views.get(v.get("id") or v.get("reportId") or v.get("viewId"))

    # Artifacts.

    def on_createArtifact(self, v, query):
        given = v.get("input") or v
        key = given["projectName"], given["artifactCollectionName"]
        versions = [a for a in self.artifacts.values() if (a["project"], a["collection"]) == key]
        same = [a for a in versions if a["digest"] == given["digest"]]
        if not same:
            for other in versions:
                other["aliases"] = [a for a in other["aliases"] if a != "latest"]
            artifact = {
                "id": uid("Artifact", secrets.token_hex(4)),
                "state": "PENDING",
                "digest": given["digest"],
                "version": len(versions),
                "project": key[0],
                "collection": key[1],
                "type": given["artifactTypeName"],
                "run": given.get("runName"),
                "aliases": [a["alias"] for a in given.get("aliases") or []],
                "metadata": given.get("metadata") or "{}",
                "createdAt": now(),
            }
            self.artifacts[artifact["id"]] = artifact
            same = [artifact]
        self.client_ids[given.get("clientID")] = same[0]["id"]
        return {"artifact": self.artifact_node(same[0])}

    def on_createArtifactManifest(self, v, query):
        artifact = self.artifacts[v["artifactID"]]
        artifact["manifest"] = f"manifests/{secrets.token_hex(8)}.json"
        url = self.upload_url(artifact["manifest"])
        file = {"id": "1", "uploadUrl": url, "uploadHeaders": []}
        return {"artifactManifest": {"id": uid("Manifest", artifact["id"]), "file": file}}

    def on_createArtifactFiles(self, v, query):
        nodes = []
        for file in v.get("artifactFiles") or v["input"]["artifactFiles"]:
            digest = base64.b64decode(file["md5"]).hex()
            nodes.append(
                {
                    "storagePath": f"wandb_artifacts/{digest}",
                    "uploadUrl": self.upload_url(f"artifacts/{digest}"),
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "artifact": {"id": file["artifactID"]},
                }
            )
        return {"files": connection(nodes)}

    def on_commitArtifact(self, v, query):
        artifact = self.artifacts[v["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"artifact": self.artifact_node(artifact)}

    def on_useArtifact(self, v, query):
        return {"artifact": self.artifact_node(self.artifacts[(v.get("input") or v)["artifactID"]])}

    def on_clientIDMapping(self, v, query):
        return {"serverID": self.client_ids.get(v["clientID"])}

    def on_artifact(self, v, query):
        return self.artifact_node(self.artifacts[v.get("id") or v["artifact_id"]])

    def project_artifacts(self, v):
        """The fields of a project that answer for an artifact by name, and for its files."""
        collection, _, alias = (v.get("name") or v.get("collection") or "").partition(":")
        alias = v.get("alias") or alias or "latest"
        found = [
            artifact
            for artifact in self.artifacts.values()
            if artifact["collection"] == collection
            and alias in (*artifact["aliases"], f"v{artifact['version']}")
        ]
        if not found:
            return {"artifact": None, "artifactCollection": None}
        node = self.artifact_node(found[-1])
        manifest = json.loads((self.folder / found[-1]["manifest"]).read_text())["contents"]
        files = [
            {
                "__typename": "File",
                "id": name,
                "name": name,
                "directUrl": self.upload_url(
                    f"artifacts/{base64.b64decode(entry['digest']).hex()}"
                ),
            }
            for name, entry in manifest.items()
        ]
        membership = {
            "__typename": "ArtifactCollectionMembership",
            "id": "1",
            "createdAt": now(),
            "versionIndex": found[-1]["version"],
            "aliases": [],
            "artifact": node,
            "artifactCollection": node["artifactSequence"],
            "files": connection(files),
        }
        return {
            "artifact": node,
            "artifactCollectionMembership": membership,
            "artifactCollection": {**node["artifactSequence"], "artifactMembership": membership},
        }

    def artifact_node(self, artifact):
        kind = {"id": artifact["type"], "name": artifact["type"]}
        sequence = {
            "__typename": "ArtifactSequence",
            "id": uid("Sequence", artifact["collection"]),
            "name": artifact["collection"],
            "project": self.project_node(artifact["project"]),
            "type": kind,
            "description": None,
            "createdAt": now(),
            "latestArtifact": None,
        }
        url = self.upload_url(artifact.get("manifest", ""))
        aliases = [
            {"id": alias, "alias": alias, "artifactCollection": sequence}
            | {"artifactCollectionName": artifact["collection"]}
            for alias in artifact["aliases"]
        ]
        return {
            "__typename": "Artifact",
            "id": artifact["id"],
            "state": artifact["state"],
            "digest": artifact["digest"],
            "versionIndex": artifact["version"],
            "description": None,
            "metadata": artifact["metadata"],
            "size": 0,
            "fileCount": 0,
            "commitHash": artifact["digest"][:12],
            "createdAt": artifact["createdAt"],
            "updatedAt": None,
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "aliases": aliases,
            "tags": [],
            "artifactType": kind,
            "artifactSequence": sequence,
            "currentManifest": {
                "id": uid("Manifest", artifact["id"]),
                "file": {"id": "1", "directUrl": url, "url": url},
            },
            "historyStep": None,
            "artifactMemberships": connection([]),
        }


def matches(run, wanted):
    """Whether a run passes the filters that `wandb.Api` sends: equality, and, or."""
    if "$and" in wanted:
        return all(matches(run, part) for part in wanted["$and"])
    if "$or" in wanted:
        return any(matches(run, part) for part in wanted["$or"]) or not wanted["$or"]
    names = {"display_name": "displayName", "job_type": "jobType"}
    return all(run[names.get(key, key)] == value for key, value in wanted.items())


def _searched(run):
    states = {state.value for state in sweeps.RunState}
    return sweeps.SweepRun(
        name=run["name"],
        config=run["suggested"],
        summary_metrics=numbers(run["summary"]),
        history=[numbers(row) for row in run["history"]],
        state=run["state"] if run["state"] in states else "running",
    )


def _steps(history, v):
    """The rows that `scan_history` asks for, all without such a wish."""
    low, high = v.get("minStep", -1), v.get("maxStep", math.inf)
    return [row for row in history if low <= row.get("_step", 0) < high]
