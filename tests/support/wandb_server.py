"""A stand-in Weights & Biases server on 127.0.0.1, for the unmodified wandb client.

It knows runs, files, artifacts, sweeps with agents, and saved views (`wandb_state`), has no
accounts, and forgets everything at its end. `Server.fault` makes it fail.
"""

import gzip
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

from tests.support.wandb_state import State

KEY = "a" * 40


def forget_wandb(monkeypatch):
    """Leave no variable of W&B and no service of it, as if nobody had used it.

    Its service ends first: the variable that names it would else be back after the test, and lead
    every later client to a service that is gone.
    """
    import wandb  # its server alone needs none

    wandb.teardown()
    for key in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(key)


class Server:
    """A server while its context lasts.

    Args:
        folder: Where uploaded files lie.
    """

    def __init__(self, folder):
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # clients hang up when they end
        self._http.stand_in = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.state = State(folder, self.url)
        self.fault = None
        """None, ``500`` for errors, or ``hang`` for no answer."""
        self.errors = []
        """Queries that it could not answer."""
        self.environment = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}
        """What leads a client here."""

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.fault = None
        self._http.shutdown()
        self._http.server_close()
        assert not self.errors, self.errors[0]

    def run(self, name):
        """The only run of that id."""
        (run,) = (run for run in self.state.runs.values() if run["name"] == name)
        return run


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_POST(self):
        body, path = self._body(), urlparse(self.path).path
        if self._fails():
            return
        if path.endswith("/graphql"):
            request = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            self._state.operations.append(name[1] if name else "")
            self._answer(request["query"], request.get("variables") or {})
        elif path.endswith("/file_stream"):
            self._send(self._stream(path.split("/"), json.loads(body or b"{}")))
        else:  # the client's telemetry
            self._send({}, code=200 if path.startswith("/sdk/otel/") else 404)

    def do_PUT(self):
        body = self._body()
        if self._fails():
            return
        file = self._file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        self._send({})

    def do_GET(self):
        if self._fails():
            return
        file = self._file()
        if file.is_file():
            self._send(file.read_bytes())
        else:
            self._send({"errors": [{"message": f"no {self.path}"}]}, code=404)

    def _answer(self, query, variables):
        try:
            self._send({"data": self._state.answer(query, variables)})
        except Exception as error:
            self.server.stand_in.errors.append(f"{query}\n{variables}\n{error!r}")
            self._send({"errors": [{"message": repr(error)}]}, code=400)

    @property
    def _state(self):
        return self.server.stand_in.state

    def _stream(self, words, content):
        """Rows of history, summary, output and system metrics of a running run."""
        project, name = unquote(words[-3]), words[-2]
        with self._state.lock:
            run = self._state.run(project, name)
            for file, part in (content.get("files") or {}).items():
                rows = part["content"] if isinstance(part["content"], list) else [part["content"]]
                if file == "wandb-summary.json":
                    run["summary"] = json.loads(rows[-1])
                    continue
                kinds = {"wandb-history.jsonl": "history", "wandb-events.jsonl": "events"}
                kind = kinds.get(file, "log")
                start = part.get("offset", 0)
                parsed = rows if kind == "log" else [json.loads(row) for row in rows]
                run[kind][start : start + len(rows)] = parsed
            if content.get("complete"):
                run["exitcode"] = content.get("exitcode")
                ended = "failed" if run["exitcode"] else "finished"
                run["state"] = "killed" if run["stopped"] else ended
            return {"exitcode": None, "limits": {}, "stopped": run["stopped"]}

    def _fails(self):
        """Whether the request was lost to a fault; a hanging one waits for its end."""
        if self.server.stand_in.fault == "500":
            self._send({"errors": [{"message": "internal"}]}, code=500)
            return True
        if self.server.stand_in.fault != "hang":
            return False
        while self.server.stand_in.fault == "hang":
            time.sleep(0.05)
        self.close_connection = True
        return True

    def _file(self):
        """The file of an upload or download, inside of the server's folder."""
        path = unquote(urlparse(self.path).path)
        digest = re.search(r"/artifacts(?:V2)?/.*\b([0-9a-f]{32})", path)
        name = f"artifacts/{digest[1]}" if digest else path.removeprefix("/data/")
        file = (self._state.folder / name.lstrip("/")).resolve()
        assert file.is_relative_to(self._state.folder.resolve())
        return file

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(body) if zipped else body

    def _send(self, content, code=200):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
