"""Figures of the service in the form of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from sparsecbm.serve.snapshot import ModelVersion

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Telemetry:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, CPU time and open files
        registry = {"registry": self._registry}
        self._requests = Counter("sparsecbm_requests", "Answered requests", ["path", "status"], **registry)
        self._seconds = Histogram(
            "sparsecbm_request_seconds", "Seconds to answer a request", ["path"], buckets=SECONDS, **registry
        )
        self._batches = Histogram(
            "sparsecbm_batch_texts", "Texts of a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), **registry
        )
        self._model_seconds = Counter("sparsecbm_model_seconds", "Seconds in which the model worked", **registry)
        self._switches = Counter("sparsecbm_switches", "Switches to another version", ["outcome"], **registry)
        self._model = Gauge("sparsecbm_model", "1 for the version that answers", ["name", "version"], **registry)
        self.queued = Gauge("sparsecbm_queued_texts", "Texts that wait or are being answered", **registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: template of the path, such as `/v1/predict`
        """
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def ran(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(texts)
        self._model_seconds.inc(seconds)

    def serves(self, version: ModelVersion) -> None:
        """Note the version that answers from now on."""
        self._model.clear()
        self._model.labels(version.name, version.version).set(1)

    def switched(self, outcome: str) -> None:
        """Count a switch: done, or refused."""
        self._switches.labels(outcome).inc()

    def exposition(self) -> bytes:
        """All figures as text."""
        return generate_latest(self._registry)
