"""What the answers of the stand-in W&B server have in common."""

import base64
from datetime import UTC, datetime

ENTITY = "local"
USER = {
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
