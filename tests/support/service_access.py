"""Requests to the services of a workspace, as programs of this machine send them."""

import base64
import json
import urllib.request

from sparsecbm.orchestration.access import access


def authorization(workspace) -> dict[str, str]:
    """Return the header that carries the password of a workspace's services."""
    return {"Authorization": "Basic " + base64.b64encode(access(workspace).encode()).decode()}


def request(url, body=None, headers=None, method=None):
    """Send a request; return the decoded JSON answer."""
    content = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(url, content, {"Content-Type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(sent, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None
