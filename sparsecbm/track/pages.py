"""Where a person finds the page of a run."""

import urllib.error
import urllib.request

from sparsecbm.base.workspace import Workspace
from sparsecbm.track.store import database_uri, tracking_uri

PROBE_SECONDS = 2


def page_hint(workspace: Workspace, url: str) -> str:
    """The address of a run's page if a server shows it, else how to start one.

    Args:
        url: of the page, by `Store.page`
    """
    if tracking_uri(workspace) != database_uri(workspace) or _answers(f"{url.partition('/#/')[0]}/health"):
        return url
    return "`sparsecbm up` shows it in MLflow"


def _answers(url: str) -> bool:
    try:
        # The address is 127.0.0.1, so no proxy may be used.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=PROBE_SECONDS):
            return True
    except (OSError, urllib.error.URLError, ValueError):
        return False
