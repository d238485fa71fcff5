"""Renew the pictures of MLflow, Prefect, ledgers and promotions from a trained workspace, in a real browser.

Usage: python -m tools.promotion_pictures WORKSPACE   WORKSPACE is a folder in which the pipeline has run.

In a clone of the last commit, with the results of WORKSPACE, three models are judged. The first champion is the default
model without its head of `food`, promoted by force. The default model replaces it in a run of `retrain/nightly`; then
the dense model is held. Services listen on free ports of this machine, and end with the script. Writes
docs/img/NAME.png and NAME-dark.png; docs/promotion.md and docs/operations.md tell the story. Needs chromium and
chromedriver, and the extras `pipeline`, `serve` and `test`.
"""

import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.processes import load_services
from tests.support.service_access import authorization, request
from tests.support.tiny_pipeline import free_port, git
from tools.browser import ROOT, Picture, browser, take, wait
from tools.commands import run
from tools.screenshots import workbench

RUN_SECONDS = 1800  # longest time of a flow run
ATTEMPTS = 6
# The dense model has no masks, so these figures of the sparse one do not hold for it.
OF_MASKS = ("prune", "explain", "intervene")
WIDE, TALL = 1400, 900
# Prefect is dark unless it remembers another theme, MLflow is light; the latter opens a chat beside its first page.
REMEMBERED = """
if (location.protocol === 'http:') {
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
localStorage.setItem('color-scheme', JSON.stringify(dark ? 'dark' : 'light'));
localStorage.setItem('_mlflow_dark_mode_toggle_enabled', dark);
localStorage.setItem('mlflow.assistant.panelOpen_v1', false);
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', true);
}
"""


@dataclass(frozen=True)
class Services:
    """The running services of a workspace.

    Attributes:
        prefect, mlflow: their addresses
        headers: what each request needs
    """

    prefect: str
    mlflow: str
    headers: dict[str, str]

    def ask(self, path: str, body: dict | None = None) -> Any:
        """Ask Prefect's API; on a busy machine its database may take some attempts.

        Raises:
            HTTPError: it does not answer.
        """
        for _ in range(ATTEMPTS):
            with suppress(HTTPError):
                return request(f"{self.prefect}/api/{path}", body, self.headers)
            time.sleep(5)
        return request(f"{self.prefect}/api/{path}", body, self.headers)

    def run_deployment(self, name: str, **parameters: object) -> dict:
        """Let the worker run a deployment, and return the finished run.

        Raises:
            RuntimeError: it failed.
            TimeoutError: it took too long.
        """
        deployment = self.ask(f"deployments/name/{name}")["id"]
        order = {"parameters": parameters, "idempotency_key": str(uuid.uuid4())}  # two attempts give one run
        started = self.ask(f"deployments/{deployment}/create_flow_run", order)
        end = time.monotonic() + RUN_SECONDS
        while time.monotonic() < end:
            flow_run = self.ask(f"flow_runs/{started['id']}")
            if flow_run["state_type"] == "COMPLETED":
                return flow_run
            if flow_run["state_type"] in ("FAILED", "CRASHED", "CANCELLED"):
                raise RuntimeError(f"{name} ended as {flow_run['state_name']}: {flow_run['state']['message']}")
            time.sleep(2)
        raise TimeoutError(f"{name} took longer than {RUN_SECONDS} s")


def take_over(workspace: Path, clone: Path) -> None:
    """Clone the last commit of this source, with the results of a workspace."""
    from benchmarks.promotion import OUTPUTS  # imports torch, which a refusal does not need

    git(clone.parent, "clone", "--quiet", str(ROOT), str(clone))
    for key, value in (("user.name", "Ann"), ("user.email", "ann@example.org")):
        git(clone, "config", key, value)
    for output in (*OUTPUTS, "data/subgroups.parquet", "data/params.json"):
        source, target = workspace / output, clone / output
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copyfile(source, target)
    (clone / "reports" / "promotion.html").unlink(missing_ok=True)


def adopt(clone: Path) -> None:
    """Note the present results as those of the pipeline, and record them in MLflow."""
    run(clone, "dvc", "commit", "--force", "--quiet")
    git(clone, "add", "dvc.lock")
    git(clone, "commit", "--quiet", "--message", "Results of a run")
    run(clone, "sparsecbm", "track")


@contextmanager
def services(clone: Path) -> Iterator[Services]:
    """Start MLflow, Prefect and a worker on free ports, and stop them at the end."""
    ports = {f"SPARSECBM_{name}_PORT": str(free_port()) for name in ("PREFECT", "MLFLOW")}
    workspace = Workspace(clone)
    try:
        run(clone, "sparsecbm", "up", **ports)
        known = load_services(workspace)
        yield Services(known["prefect"].url, known["mlflow"].url, authorization(workspace))
    finally:
        run(clone, "sparsecbm", "down")


def promote_damaged(clone: Path) -> None:
    """Make the model without its head of `food` the first champion, and bring the model itself back."""
    from benchmarks.promotion import damage
    from sparsecbm.api import SparseCBM

    sparse, kept = clone / "models" / "sparse", clone.parent / "kept"
    shutil.copytree(sparse, kept)
    damage(SparseCBM.from_pretrained(sparse), "food").save_pretrained(sparse)
    adopt(clone)
    run(clone, "sparsecbm", "promote", "--force", "--reason", "a first champion, to see a better one win")
    shutil.rmtree(sparse)
    kept.rename(sparse)


def offer_dense(clone: Path) -> None:
    """Record the dense model as if it were the result of the pipeline."""
    shutil.rmtree(clone / "models" / "sparse")
    shutil.copytree(clone / "models" / "dense", clone / "models" / "sparse")
    for stage in OF_MASKS:
        (clone / "metrics" / f"{stage}.json").write_text("{}\n")
    adopt(clone)


def shows(*texts: str, seconds: float = 8) -> Callable[[Any], None]:
    """Wait until a page of MLflow or Prefect shows some texts and its drawings.

    Args:
        seconds: of the drawings, which no script can see
    """
    parts = json.dumps(texts)

    def prepare(driver: Any) -> None:
        wait(driver, f"{parts}.every(text => document.body.innerText.includes(text))")
        time.sleep(seconds)

    return prepare


def main(workspace: Path) -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(prefix="sparsecbm-pictures-") as folder, browser() as driver:
        clone = Path(folder) / "sparsecbm"
        take_over(workspace, clone)
        promote_damaged(clone)
        adopt(clone)
        with services(clone) as running:
            nightly = running.run_deployment("retrain/nightly")
            page = clone / ".sparsecbm" / "scheduled" / "reports" / "promotion.html"
            take(driver, Picture("ledger", page.as_uri(), 1200, 820))
            running.run_deployment("promotion/manual", version=2)
            offer_dense(clone)
            running.run_deployment("promotion/manual")
            take(driver, Picture("ledger-held", (clone / "reports" / "promotion.html").as_uri(), 1200, 900))
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": REMEMBERED})
            driver.execute_cdp_cmd("Network.enable", {})
            driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": running.headers})
            take_pages(driver, running, nightly)
        driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
        with workbench(clone) as address:
            take(driver, Picture("workbench-promotions", f"{address}promotions", 960, 900))


def take_pages(driver: Any, running: Services, nightly: dict) -> None:
    """Take the pictures of Prefect's and MLflow's pages."""
    prefect, mlflow = running.prefect, running.mlflow
    artifacts = running.ask("artifacts/filter", {"limit": 200})
    (ledger,) = [row for row in artifacts if row["key"] == "promotion-ledger" and row["flow_run_id"] == nightly["id"]]
    api = f"{mlflow}/api/2.0/mlflow"
    version = request(f"{api}/model-versions/get?name=sparsecbm&version=2", headers=running.headers)["model_version"]
    mlflow_run = request(f"{api}/runs/get?run_id={version['run_id']}", headers=running.headers)["run"]["info"]
    experiment = f"{mlflow}/#/experiments/{mlflow_run['experiment_id']}"
    flow_run = f"{prefect}/runs/flow-run/{nightly['id']}"
    for picture in (
        Picture("prefect-deployments", f"{prefect}/deployments", WIDE, 640, shows("nightly", "on-drift")),
        Picture("prefect-run", flow_run, WIDE, 640, shows(nightly["name"], "Promoted", seconds=15)),
        Picture("prefect-runs", f"{prefect}/runs", WIDE, 1100, shows("Held", "Unchanged", "Promoted", "nightly")),
        Picture("prefect-ledger", f"{prefect}/artifacts/artifact/{ledger['id']}", 1600, TALL, shows("label.accuracy")),
        Picture("mlflow-run", f"{experiment}/runs/{version['run_id']}", WIDE, TALL, shows("Tags", "git.commit")),
        Picture("mlflow-version", f"{mlflow}/#/models/sparsecbm/versions/2", WIDE, TALL, shows("champion", "Tags")),
    ):
        take(driver, picture)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "models" / "sparse").is_dir():
        sys.exit("usage: python -m tools.promotion_pictures WORKSPACE, a folder in which the pipeline has run")
    main(Path(sys.argv[1]).resolve())
