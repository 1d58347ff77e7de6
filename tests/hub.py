"""A hub on the loopback that has what the tests ask for, and the four tasks' files in the hub's own columns."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from lorascope.tasks import hub as tasks_hub

PARQUET = "refs/convert/parquet"


@dataclass
class Repo:
    """One data set. `branches`: name -> {file: content}; a commit's name follows from its content."""

    branches: dict[str, dict[str, bytes]]
    gated: str | None = None
    """"info": nothing without a login; "files": the list of files is public, as on the real hub."""
    cut: int = 0
    """So many downloads end in the middle."""
    silent: bool = False
    """Its files are never sent; its list is."""
    xet: str | None = None
    """Address of a chunk store that its files are said to be in."""

    def commit(self, branch: str) -> str:
        files = self.branches[branch]
        text = json.dumps({name: _sha1(body) for name, body in sorted(files.items())} | {"branch": branch})
        return _sha1(text.encode())

    def at(self, revision: str) -> str | None:
        """The branch that a branch's name or a commit means."""
        return next((b for b in self.branches if revision in (b, self.commit(b))), None)


@dataclass
class FakeHub:
    repos: dict[str, Repo] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""
    address: str = ""
    down: int | None = None
    """Every question is answered with this HTTP status."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test has ended."""

    def questions(self) -> list[str]:
        return [line for line in self.asked if " /api/" in line]

    def downloads(self) -> list[str]:
        return [line.rpartition("/")[2] for line in self.asked if line.startswith("GET /datasets/")]


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def log_message(self, *args: object) -> None:
            pass

        def send(self, status: int, body: bytes = b"{}", **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def answer(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {unquote(path)}")
            parts = [unquote(part) for part in path.split("/")[1:]]
            if hub.down is not None:
                self.send(hub.down)
            elif parts[:2] == ["api", "datasets"]:
                self.info("/".join(parts[2:4]), parts[5] if parts[4:5] == ["revision"] else "main", parts[4:])
            elif parts[0] == "datasets" and parts[3] == "resolve":
                self.file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
            else:
                self.send(404, X_Error_Code="RepoNotFound")

        def info(self, name: str, revision: str, rest: list[str]) -> None:
            repo = hub.repos.get(name)
            if repo is None:
                self.send(401, X_Error_Code="RepoNotFound")
            elif repo.gated == "info":
                self.send(401, X_Error_Code="GatedRepo")
            elif "xet-read-token" in rest:
                store = {"accessToken": "x", "exp": int(time.time()) + 3600, "casUrl": repo.xet}
                headers = {"X_Xet_Cas_Url": repo.xet or "", "X_Xet_Access_Token": "x",
                           "X_Xet_Token_Expiration": str(store["exp"])}  # fmt: skip
                self.send(200, json.dumps(store).encode(), **headers)
            elif rest[:1] == ["tree"]:
                tree = [
                    {"type": "file", "path": file, "size": len(body), "oid": _sha1(body)}
                    for file, body in repo.branches[repo.at(rest[1]) or "main"].items()
                ]
                self.send(200, json.dumps(tree).encode())
            elif (branch := repo.at(revision)) is None:
                self.send(404, X_Error_Code="RevisionNotFound")
            else:
                files = [{"rfilename": file} for file in [".gitattributes", "README.md", *repo.branches[branch]]]
                facts = {"id": name, "sha": repo.commit(branch), "siblings": files, "tags": []}
                self.send(200, json.dumps(facts).encode())

        def file(self, name: str, revision: str, file: str) -> None:
            repo = hub.repos[name]
            branch = repo.at(revision)
            if repo.gated is not None:
                self.send(401, X_Error_Code="GatedRepo")
                return
            if branch is None or file not in repo.branches[branch]:
                self.send(404, X_Error_Code="EntryNotFound")
                return
            body = repo.branches[branch][file]
            headers = {"ETag": f'"{_sha1(body)}"', "X_Repo_Commit": repo.commit(branch), "Accept_Ranges": "bytes"}
            if repo.xet is not None:
                route = f"{hub.address}/api/datasets/{name}/xet-read-token/{repo.commit(branch)}"
                headers |= {"X_Xet_Hash": hashlib.sha256(body).hexdigest(), "X_Xet_Refresh_Route": route}
            if self.command == "GET" and repo.silent:
                hub.over.wait(60)
                self.close_connection = True
                return
            if self.command == "GET" and repo.cut:
                repo.cut -= 1
                self.send(200, body[: len(body) // 2], **headers, Content_Length=str(len(body)))
                self.close_connection = True
                return
            start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
            if int(start):
                headers["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.send(206, body[int(start) :], **headers)
            else:
                self.send(200, body, **headers)

    return Handler


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """An empty hub where the real one would be, and an empty cache. Processes find it by HF_ENDPOINT and HF_HOME."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    point_to(hub.address, tmp_path / "hf", monkeypatch)
    yield hub
    hub.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def point_to(address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's libraries, here and in child processes, find the hub at an address, with a cache of its own."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    for name, value in {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}.items():
        monkeypatch.setenv(name, value)
    forget()


def forget() -> None:
    """What a new process would not know: the hub is asked once per process."""
    tasks_hub._resolve.cache_clear()


# ---- the files of the four tasks, as the hub has them ---------------------------------------------------------------


def parquet(rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), out)
    return out.getvalue()


def csv_text(rows: Sequence[Mapping[str, Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def e2e(pairs: Iterable[tuple[str, str]]) -> bytes:
    return parquet([{"meaning_representation": mr, "human_reference": ref} for mr, ref in pairs])


def multi_nli(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The hub has left out the rows without a gold label and numbered the others' labels."""
    labels = ["entailment", "neutral", "contradiction"]
    return parquet([
        {"promptID": i, "pairID": str(i), "premise": r["sentence1"], "premise_parse": "(ROOT)",
         "hypothesis": r["sentence2"], "genre": "slate", "label": labels.index(r["gold_label"])}
        for i, r in enumerate(rows) if r["gold_label"] != "-"
    ])  # fmt: skip


_TEXTS = pa.list_(pa.string())
_WIKISQL = pa.schema({
    "phase": pa.int32(),
    "question": pa.string(),
    "table": pa.struct({
        "header": _TEXTS, "page_title": pa.string(), "page_id": pa.string(), "types": _TEXTS, "id": pa.string(),
        "section_title": pa.string(), "caption": pa.string(), "rows": pa.list_(_TEXTS), "name": pa.string(),
    }),
    "sql": pa.struct({
        "human_readable": pa.string(), "sel": pa.int32(), "agg": pa.int32(),
        "conds": pa.struct({
            "column_index": pa.list_(pa.int32()), "operator_index": pa.list_(pa.int32()), "condition": _TEXTS,
        }),
    }),
})  # fmt: skip


def wikisql(questions: Iterable[Mapping[str, Any]], tables: Iterable[Mapping[str, Any]]) -> bytes:
    """As the hub's loading script made it: every cell and every condition is str(value), conditions lie column-wise."""
    by_id = {table["id"]: table for table in tables}
    rows = []
    for row in questions:
        table, sql = by_id[row["table_id"]], row["sql"]
        text = {
            name: str(table.get(name, "")) for name in ("page_title", "page_id", "section_title", "caption", "name")
        }
        cells = [[str(cell) for cell in line] for line in table["rows"]]
        columns, operators, values = zip(*sql["conds"], strict=True) if sql["conds"] else ((), (), ())
        conds = {"column_index": columns, "operator_index": operators, "condition": [str(v) for v in values]}
        rows.append({
            "phase": row.get("phase", 1), "question": row["question"],
            "table": {**text, "header": table["header"], "types": table["types"], "id": table["id"], "rows": cells},
            "sql": {"human_readable": "SELECT", "sel": sql["sel"], "agg": sql["agg"], "conds": conds},
        })  # fmt: skip
    return parquet(rows, _WIKISQL)
