"""Requests that schemathesis makes from the service's own description: none is answered with a fault of the service."""

import socket
import threading
import time

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.timed_protocol import TimedProtocol
from tests.support.served_model import served_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def address(folder, tmp_path_factory):
    """Serve the model at a port, and return the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        corrections = tmp_path_factory.mktemp("fuzz") / "corrections.jsonl"
        app = served_app(folder.snapshot(), corrections, ServiceLimits(), port=port)
        config = uvicorn.Config(app, http=TimedProtocol, ws="none", log_level="critical", server_header=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("cases", [10, pytest.param(2500, marks=pytest.mark.slow)])
def test_no_request_makes_the_service_fail(address, cases):
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations, sent = [], 0
    for found in schema.get_all_operations():
        operation = found.ok()
        operations.append(f"{operation.method.upper()} {operation.path}")

        strategy = operation.as_strategy()
        if operation.method == "post":  # the others take nothing that could be wrong
            strategy |= operation.as_strategy(GenerationMode.NEGATIVE)

        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def send(case):
            nonlocal sent
            sent += 1
            case.call_and_validate(checks=CHECKS)

        send()
    assert len(operations) == 7
    assert sent >= 4 * cases  # an operation that takes nothing has one case only
