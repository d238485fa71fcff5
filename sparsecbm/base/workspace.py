"""Where things are in a workspace, the folder that holds `dvc.yaml` and `params.yaml`."""

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from sparsecbm.base.errors import ConfigError

REMEDY = "change into a workspace first, or make one with `sparsecbm init`"
RUN_PARAMS = "SPARSECBM_RUN_PARAMS"  # variable that names the parameters of a run with `--profile` or `--set`


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace. Stages read and write no other paths."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The first folder that holds a `dvc.yaml`, from `start` upwards.

        Raises:
            ConfigError: there is none, or the current folder was removed.
        """
        try:
            start = Path(start or Path.cwd()).resolve()
        except FileNotFoundError:
            raise ConfigError(f"the current folder was removed; {REMEDY}") from None
        for folder in (start, *start.parents):
            if (folder / "dvc.yaml").is_file():
                return cls(folder)
        raise ConfigError(f"no dvc.yaml in {start} or above it; {REMEDY}")

    @property
    def params(self) -> Path:
        """`params.yaml`; within a run with `--profile` or `--set`, the parameters that were composed for that run."""
        composed = Path(os.environ.get(RUN_PARAMS, ""))
        return composed if composed.parent == self.composed else self.root / "params.yaml"

    @property
    def composed(self) -> Path:
        """Folder of the parameters that `--profile` and `--set` gave, one file for each composition."""
        return self.state / "composed"

    @property
    def run_params(self) -> Path:
        """The parameters of the last run, which its stages read. The first stage, `ingest`, writes them."""
        return self.root / "data" / "params.json"

    @property
    def ingested(self) -> Path:
        return self.root / "data" / "ingested"

    @property
    def validated(self) -> Path:
        return self.root / "data" / "validated"

    @property
    def annotated(self) -> Path:
        return self.root / "data" / "annotated"

    @property
    def subgroups(self) -> Path:
        """The subgroups that each row belongs to. A file of its own, since no model depends on it."""
        return self.root / "data" / "subgroups.parquet"

    @property
    def annotations(self) -> Path:
        """Folder of the labels that people and machines gave outside the source."""
        return self.root / "data" / "annotations"

    @property
    def concept_file(self) -> Path:
        """The definitions of the concepts."""
        return self.root / "concepts.yaml"

    @property
    def dense(self) -> Path:
        return self.root / "models" / "dense"

    @property
    def sparse(self) -> Path:
        return self.root / "models" / "sparse"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def report(self) -> Path:
        """The page of the whole run."""
        return self.reports / "index.html"

    @property
    def validation_page(self) -> Path:
        """The page about the data."""
        return self.reports / "validation.html"

    @property
    def model_card(self) -> Path:
        """The card of the sparse model."""
        return self.reports / "model-card.md"

    @property
    def data_card(self) -> Path:
        """The card of the annotated table."""
        return self.reports / "data-card.md"

    @property
    def promotion_page(self) -> Path:
        """The page about the last version that was judged."""
        return self.reports / "promotion.html"

    @property
    def explanations(self) -> Path:
        return self.reports / "explanations"

    @property
    def interventions(self) -> Path:
        return self.reports / "interventions"

    def metrics(self, stage: str) -> Path:
        """The metrics file of a stage."""
        return self.root / "metrics" / f"{stage}.json"

    @property
    def state(self) -> Path:
        """What is neither code nor output, such as checkpoints, databases and logs. Git ignores it."""
        return self.root / ".sparsecbm"

    def writable_state(self) -> Path:
        """The folder `state`, which is created if it is missing.

        Raises:
            ConfigError: it is no folder, or cannot be written.
        """
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.state):
                pass
        except OSError as error:
            remedy = "make it writable (chmod u+w, chown), or free space"
            if os.path.lexists(self.state) and not self.state.is_dir():
                remedy = f"it must be a folder; move away what is there: mv {self.state} {self.state}.old"
            raise ConfigError(f"{self.state} cannot be written ({error.strerror or error}); {remedy}") from None
        return self.state

    @property
    def patch_requests(self) -> Path:
        """Folder of the patches that people ask for in the workbench, a folder for each."""
        return self.state / "patches"

    @property
    def patch_cache(self) -> Path:
        """Folder of predictions and hidden states that patches are made from. It may be deleted at any time."""
        return self.state / "cache" / "patches"

    @property
    def checkpoints(self) -> Path:
        return self.state / "checkpoints"
