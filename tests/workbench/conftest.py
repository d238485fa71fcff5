"""A workbench that its tests share."""

import re
from html import unescape

import pytest

from tests.support.browser import FLAGS, chromium
from tests.support.served_model import running, save_served_model
from tests.support.workbench_app import listening, make_workbench_workspace, workbench_app


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return the folder of a tiny masked model."""
    return save_served_model(tmp_path_factory.mktemp("workbench"))


@pytest.fixture(scope="session")
def snapshot(folder):
    """Return the tiny model as it is served."""
    return folder.snapshot()


@pytest.fixture
def workspace(tmp_path):
    """Return a workspace with annotated texts."""
    return make_workbench_workspace(tmp_path / "ws")


@pytest.fixture
def ask(snapshot, workspace, folder):
    """Return a function that sends a request as a page does: method, path, and what httpx takes."""
    with running(workbench_app(snapshot, workspace, folder.model)) as send:
        yield lambda method, path, whole=False, **request: send(
            method, path, headers={} if whole else {"HX-Request": "true"}, **request
        )


@pytest.fixture
def words_of():
    """Return a function that gives the text of a page without its markup."""
    return lambda response: re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.text))).strip()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Return headless Chromium with an empty profile; it logs its console and every request."""
    with chromium(tmp_path_factory.mktemp("profile"), *FLAGS, logs=True) as driver:
        yield driver


@pytest.fixture(scope="session")
def site(snapshot, folder, tmp_path_factory):
    """Return a workspace and the address of its running workbench."""
    workspace = make_workbench_workspace(tmp_path_factory.mktemp("site") / "ws")
    with listening(snapshot, workspace, folder.model) as address:
        yield workspace, address
