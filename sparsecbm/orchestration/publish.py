"""Artifacts of a flow run: the results of the stages on Prefect's pages."""

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from sparsecbm.base.files import read_json
from sparsecbm.base.flat import flat_numbers
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.calls import has_server
from sparsecbm.promote.ledger import Ledger
from sparsecbm.track.headline import headline
from sparsecbm.track.record import RunLink


def results(workspace: Workspace) -> None:
    """Publish what the stages of a run made: figures of the data, scores, the path of the report."""
    validation_report(workspace)
    metrics_table(workspace)
    report_page(workspace)


def validation_report(workspace: Workspace) -> None:
    """Publish the figures of the validation stage and the path of its page."""
    path = workspace.metrics("validate")
    if not (has_server() and path.is_file()):
        return
    rows = "\n".join(f"| {name} | {value:g} |" for name, value in flat_numbers(read_json(path)).items())
    page = workspace.validation_page
    create_markdown_artifact(
        key="validation-report",
        markdown=f"## Validation\n\n| figure | value |\n|---|---|\n{rows}\n\nThe whole report: `{page}`\n",
        description="Row counts of the validation stage",
    )


def report_page(workspace: Workspace) -> None:
    """Publish the path of the report and the main scores."""
    if not (has_server() and workspace.report.is_file()):
        return
    path = workspace.metrics("evaluate")
    scores = headline(read_json(path)) if path.is_file() else ""
    create_markdown_artifact(
        key="report",
        markdown=f"## Report\n\n{scores}\n\nScores, masks, explanations and interventions: `{workspace.report}`\n",
        description="The report of the run",
    )


def metrics_table(workspace: Workspace) -> None:
    """Publish every number of the evaluation."""
    path = workspace.metrics("evaluate")
    if not (has_server() and path.is_file()):
        return
    rows = [{"metric": name, "value": value} for name, value in flat_numbers(read_json(path)).items()]
    create_table_artifact(key="metrics", table=rows, description="Scores of the held-out splits")


def mlflow_run(link: RunLink) -> None:
    """Publish a link to the run in MLflow."""
    if has_server():
        create_link_artifact(key="mlflow-run", link=link.url, link_text=link.name, description=link.note)


def promotion_ledger(ledger: Ledger) -> None:
    """Publish the ledger of the gates."""
    if has_server():
        create_markdown_artifact(
            key="promotion-ledger",
            markdown=redacted(ledger.to_markdown()),
            description=f"Version {ledger.challenger}: {ledger.verdict}",
        )
