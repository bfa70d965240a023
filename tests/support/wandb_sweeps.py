"""Sweeps and their agents on the stand-in W&B server."""

import json
import secrets

import yaml

from robust.sweep.hyperband import losers
from robust.sweep.schema import problems_of
from robust.sweep.search import random_point
from robust.sweep.space import Space
from tests.support.wandb_words import connection, now, numbers, uid


class Sweeps:
    """Answers about ``self.sweeps`` and ``self.agents``; a part of `wandb_state.State`."""

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
        problems = problems_of(sweep["config"])
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
            for loser in _losers(sweep["config"], runs):
                self.run(sweep["project"], loser)["stopped"] = True
        if running:
            stopped = {run["name"] for run in runs if run["stopped"]}
            return [{"type": "stop", "run_id": name} for name in running if name in stopped]
        cap = sweep["config"].get("run_cap")
        following = None
        if sweep["state"] in ("PENDING", "RUNNING") and (cap is None or len(runs) < cap):
            following = _following(sweep["config"], len(runs))
        if following is None:
            sweep["state"] = "FINISHED"
            return [{"type": "exit"}]
        sweep["state"] = "RUNNING"
        run = self.run(sweep["project"], secrets.token_hex(4))
        run |= {"sweep": sweep["name"], "suggested": following, "state": "pending"}
        self.runs[sweep["project"], run["name"]] = run
        agent["runs"].add(run["name"])
        program = sweep["config"].get("program")
        return [{"type": "run", "run_id": run["name"], "program": program, "args": following}]

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


def _following(config, index):
    """The parameters of the next run, for `bayes` at random."""
    space = Space(config["parameters"], is_grid=config["method"] == "grid")
    if config["method"] != "grid":
        point = random_point(space, index, 0)
    elif index < space.size:
        point = space.point(index)
    else:
        return None
    return {key: {"value": value} for key, value in space.values(point).items()}


def _losers(config, runs):
    metric = config["metric"]
    name, sign = metric["name"], -1 if metric.get("goal") == "maximize" else 1
    histories = {
        run["name"]: [sign * row[name] for row in map(numbers, run["history"]) if name in row]
        for run in runs
    }
    running = [run["name"] for run in runs if run["state"] == "running"]
    return losers(config["early_terminate"], histories, running)
