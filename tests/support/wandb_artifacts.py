"""Artifacts on the stand-in W&B server."""

import base64
import json
import secrets

from tests.support.wandb_words import connection, now, uid


class Artifacts:
    """Answers about ``self.artifacts``; a part of `wandb_state.State`."""

    def on_createArtifact(self, v, query):
        given = v.get("input") or v
        key = given["projectName"], given["artifactCollectionName"]
        versions = [a for a in self.artifacts.values() if (a["project"], a["collection"]) == key]
        same = [a for a in versions if a["digest"] == given["digest"]]
        aliases = [a["alias"] for a in given.get("aliases") or []]
        if not same:
            for other in versions:
                other["aliases"] = [a for a in other["aliases"] if a not in aliases]
            artifact = {
                "id": uid("Artifact", secrets.token_hex(4)),
                "state": "PENDING",
                "digest": given["digest"],
                "version": len(versions),
                "project": key[0],
                "collection": key[1],
                "type": given["artifactTypeName"],
                "run": given.get("runName"),
                "aliases": aliases,
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

    def on_linkArtifact(self, v, query):
        """Link a version in a collection of the registry, which takes models alone."""
        given = v["input"]
        artifact = self.artifacts[given["artifactID"]]
        if given["projectName"] == "wandb-registry-model":
            assert artifact["type"] == "model"
        key = given["projectName"], given["artifactPortfolioName"]
        links = self.links.setdefault(key, [])
        aliases = {alias["alias"] for alias in given["aliases"] or []} | {"latest"}
        for link in links:
            link["aliases"] -= aliases
        links.append({"artifact": artifact["id"], "aliases": aliases})
        return {"versionIndex": len(links) - 1}

    def _linked(self, v, collection, alias):
        """Artifacts that the registry links under a name and an alias."""
        links = self.links.get((v.get("project") or v.get("projectName"), collection), [])
        return [
            self.artifacts[link["artifact"]]
            for index, link in enumerate(links)
            if alias in (*link["aliases"], f"v{index}")
        ]

    def project_artifacts(self, v):
        """The fields of a project that answer for an artifact by name, and for its files."""
        collection, _, alias = (v.get("name") or v.get("collection") or "").partition(":")
        alias = v.get("alias") or alias or "latest"
        found = [
            artifact
            for artifact in self.artifacts.values()
            if artifact["collection"] == collection
            and alias in (*artifact["aliases"], f"v{artifact['version']}")
        ] + self._linked(v, collection, alias)
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
