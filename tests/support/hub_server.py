"""A stand-in for a Hugging Face hub: the part of its HTTP interface that the pinned client uses, on loopback.

It keeps repositories with branches, tags and commits in memory. Files whose names end in `.safetensors` go by LFS, all
others as a part of the commit, as on the hub. It knows no Xet, so `point_client_at` turns Xet off in the client.

    POST /api/repos/create                               a repository, with a first commit that holds .gitattributes
    POST /api/validate-yaml                              the header of a card
    POST /api/models/NAME/preupload/BRANCH               which files go by LFS
    POST /NAME.git/info/lfs/objects/batch                where to put them
    PUT  /lfs/OID                                        one of them
    POST /api/models/NAME/commit/BRANCH                  a commit
    GET  /api/models/NAME[/revision/R]                   the commit of a revision
    GET  /api/models/NAME/tree/R                         its files
    HEAD, GET /NAME/resolve/R/FILE                       a file; those in LFS are redirected to the storage
    GET  /cdn/OID                                        of the storage, which is another host and must get no token
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml
from huggingface_hub import constants

MISSING_REVISION, MISSING_REPOSITORY, MISSING_FILE = "RevisionNotFound", "RepoNotFound", "EntryNotFound"


@dataclass
class Repository:
    """Commits, newest last, and the names that point at them."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit with exactly these files; return its id."""
        listing = json.dumps([[name, hashlib.sha256(files[name]).hexdigest()] for name in sorted(files)])
        oid = hashlib.sha1(f"{len(self.commits)} {listing}".encode()).hexdigest()
        self.commits[oid] = files
        self.refs[branch] = oid
        return oid

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the branch `main`."""
        return self.commits[self.refs["main"]]


@dataclass
class Hub:
    """The state of the server.

    Attributes:
        address: its base address
        storage: the same server under another name, as the storage of the hub is another host
        repositories: by name
        writers, readers: tokens that may write, or only read, private repositories
        log: method and path of each request
        cuts: how many of the next downloads from `/cdn` break off after half of their bytes
        ranges: header `Range` of each download from `/cdn`
        lfs: content of files that were uploaded for a commit, by sha256
    """

    address: str = ""
    storage: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    writers: set[str] = field(default_factory=lambda: {"hf_writer"})
    readers: set[str] = field(default_factory=lambda: {"hf_reader"})
    log: list[tuple[str, str]] = field(default_factory=list)
    cuts: int = 0
    ranges: list[str | None] = field(default_factory=list)
    lfs: dict[str, bytes] = field(default_factory=dict)


def by_lfs(name: str) -> bool:
    """Whether the hub keeps a file in LFS."""
    return name.endswith(".safetensors")


def git_blob_id(content: bytes) -> str:
    """Git's id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        self.reads = token in self.hub.writers | self.hub.readers
        if token and not self.reads:
            return self._fail(401, "", "Invalid credentials in Authorization header")
        self.writes = token in self.hub.writers
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if match := re.fullmatch(r"/cdn/(\w+)", path):
            return self._download(match[1])
        if match := re.fullmatch(r"/lfs/(\w+)", path):
            return self._upload(match[1], body)
        if match := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(preupload|commit)/(.+)", path):
            return self._write(*match.groups(), body)
        if match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+?)(?:/(revision|tree)/(.+))?", path):
            return self._read(match[1], match[2] or "revision", match[3] or "main")
        if match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(*match.groups())
        return self._fail(404, MISSING_FILE, f"no route {path}")

    def _create(self, request: dict) -> None:
        if not self.writes:
            return self._fail(401 if not self.reads else 403, "", "You cannot create a repository")
        name = "/".join(filter(None, (request.get("organization"), request["name"])))
        if name in self.hub.repositories:
            return self._json({"error": "You already created this model repo", "url": self._page(name)}, 409)
        repository = self.hub.repositories[name] = Repository(request.get("visibility") == "private")
        repository.commit({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        return self._json({"url": self._page(name), "name": name, "id": name})

    def _validate(self, card: str) -> None:
        match = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
        header = yaml.safe_load(match[1]) if match else {}
        wrong = [key for key in ("tags", "datasets") if not isinstance(header.get(key, []), list)]
        errors = [{"message": f'"{key}" must be an array'} for key in wrong]
        return self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is not None and (self.reads or not repository.private):
            return repository
        # Without a token the hub does not tell whether a repository exists.
        self._fail(404 if self.reads else 401, MISSING_REPOSITORY if self.reads else "", "Repository not found")
        return None

    def _commit_of(self, repository: Repository, revision: str) -> str | None:
        oid = repository.refs.get(revision) or (revision if revision in repository.commits else None)
        if oid is None:
            self._fail(404, MISSING_REVISION, f"Invalid rev id: {revision}")
        return oid

    def _read(self, name: str, what: str, revision: str) -> None:
        repository = self._repository(name)
        oid = None if repository is None else self._commit_of(repository, revision)
        if oid is None:
            return None
        if what == "tree":
            return self._json([_entry(path, content) for path, content in sorted(repository.commits[oid].items())])
        siblings = [{"rfilename": path} for path in sorted(repository.commits[oid])]
        return self._json({"id": name, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []})

    def _write(self, name: str, what: str, branch: str, body: bytes) -> None:
        repository = self._repository(name)
        if repository is None:
            return None
        if not self.writes:
            return self._fail(403, "", "You have no right to write here")
        if what == "preupload":
            present = repository.commits[repository.refs[branch]]
            return self._json({"files": [_upload_mode(each, present) for each in json.loads(body)["files"]]})
        return self._commit(repository, name, branch, [json.loads(line) for line in body.splitlines()])

    def _commit(self, repository: Repository, name: str, branch: str, lines: list[dict]) -> None:
        head = repository.refs[branch]
        if lines[0]["value"].get("parentCommit", head) != head:
            return self._fail(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[head])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                assert not by_lfs(value["path"]), "it goes by LFS"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert value["size"] == len(self.hub.lfs[value["oid"]])
                files[value["path"]] = self.hub.lfs[value["oid"]]
            else:
                assert line["key"] == "deletedFile", line
                del files[value["path"]]
        oid = repository.commit(files, branch)
        return self._json({"commitUrl": f"{self._page(name)}/commit/{oid}", "commitOid": oid, "success": True})

    def _batch(self, request: dict) -> None:
        if not self.writes:
            return self._fail(403, "", "You have no right to write here")
        objects = []
        for each in request["objects"]:
            upload = {"upload": {"href": f"{self.hub.address}/lfs/{each['oid']}", "header": {}}}
            objects.append({**each, **({} if each["oid"] in self.hub.lfs else {"actions": upload})})
        return self._json({"transfer": "basic", "objects": objects})

    def _upload(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            return self._fail(400, "", "sha256 does not match")
        self.hub.lfs[oid] = content
        return self._json({})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        oid = None if repository is None else self._commit_of(repository, revision)
        if oid is None:
            return None
        content = repository.commits[oid].get(path)
        headers = {"X-Repo-Commit": oid}
        if content is None:
            return self._fail(404, MISSING_FILE, "Entry not found", headers)
        if not by_lfs(path):
            return self._send(200, content, {**headers, "ETag": f'"{git_blob_id(content)}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        self.hub.lfs[sha256] = content
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "ETag": f'"{sha256}"'}
        return self._send(302, b"", {**headers, "Location": f"{self.hub.storage}/cdn/{sha256}"})

    def _download(self, oid: str) -> None:
        assert "authorization" not in self.headers, "the storage must not get the token"
        content = self.hub.lfs[oid]
        wanted = self.headers.get("range")
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        headers = {"ETag": f'"{oid}"'}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.command == "GET" and self.hub.cuts > 0
        if self.command == "GET":
            self.hub.ranges.append(wanted)
            self.hub.cuts -= cut
        self._send(206 if wanted else 200, content[start:], headers, cut)

    def _page(self, name: str) -> str:
        return f"{self.hub.address}/{name}"

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        headers = {**(headers or {}), "X-Error-Message": message, "Content-Type": "application/json"}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def _entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob_id(content)}
    if by_lfs(path):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
    return entry


def _upload_mode(file: dict, present: dict[str, bytes]) -> dict:
    mode = {"path": file["path"], "uploadMode": "lfs" if by_lfs(file["path"]) else "regular", "shouldIgnore": False}
    if file["path"] in present:
        content = present[file["path"]]
        mode["oid"] = hashlib.sha256(content).hexdigest() if by_lfs(file["path"]) else git_blob_id(content)
    return mode


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address, hub.storage = (f"http://{host}:{server.server_address[1]}" for host in ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def point_client_at(hub: Hub, monkeypatch, cache) -> None:
    """Point the client of this process at the hub, with an empty cache and the token of a writer.

    The client reads its environment once, when it is imported. So what it made of the variables is set.
    """
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", constants.HF_URL_HOSTS | {"127.0.0.1"})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
