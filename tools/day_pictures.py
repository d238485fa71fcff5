"""Renew the pictures of docs/production-day.md: texts in new words drift, and a model that learns them wins.

Usage: python -m tools.day_pictures

Lives through the day with the tiny model of tests/support/production_day.py, without services: they change no figure.
Writes docs/img/production-day-*.png, light and dark. Needs chromium and chromedriver, and the extras `pipeline` and
`test`; takes two minutes of one core.
"""

import sys
import tempfile
from pathlib import Path

from tests.support.production_day import add_new_texts, let_it_learn, make_project, write_windows
from tools.browser import Picture, browser, take
from tools.commands import run

DRIFTED = 3  # the exit code of `sparsecbm drift` for a window that triggers


def live_through(project: Path) -> None:
    """Promote a first model, one that learnt the texts, and after drift one that learnt the new words."""
    make_project(project)
    train_and_promote(project)
    let_it_learn(project / "params.yaml")
    train_and_promote(project)
    write_windows(project)
    run(project, "sparsecbm", "drift", "monday.csv")
    run(project, "sparsecbm", "drift", "tuesday.csv", "--output", "drift.html", code=DRIFTED)
    add_new_texts(project)
    train_and_promote(project)


def train_and_promote(project: Path) -> None:
    """Train a model, record it, and let it challenge the champion."""
    run(project, "dvc", "repro", "--quiet")
    run(project, "sparsecbm", "track")
    run(project, "sparsecbm", "promote")


def main() -> None:
    """Take both pictures."""
    with tempfile.TemporaryDirectory(prefix="sparsecbm-pictures-") as folder, browser() as driver:
        project = Path(folder) / "project"
        live_through(project)
        take(driver, Picture("production-day-drift", (project / "drift.html").as_uri(), 1000, 1085))
        take(driver, Picture("production-day-ledger", (project / "reports" / "promotion.html").as_uri(), 1200))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: python -m tools.day_pictures")
    main()
