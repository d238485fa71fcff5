"""The files for containers keep their promises, as far as they can be checked without an engine that runs them."""

import re
import tomllib

import pytest
import typer
import yaml

from sparsecbm.cli.app import app
from tests.support.project import ROOT

CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


def instructions(name):
    """Return the arguments of each instruction of the Containerfile."""
    joined = CONTAINERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2] for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_the_build_copies_files_that_exist_and_reaches_package_registries_alone():
    sources = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert sources and all((ROOT / source).exists() for source in sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', CONTAINERFILE)
    assert {"serve", "pipeline"} <= set(extras.split(",")) <= set(project["optional-dependencies"])
    needed = {project["readme"], *project["license-files"], "pyproject.toml", "constraints.txt", "sparsecbm"}
    assert needed <= set(sources)
    assert not re.search(r"curl|wget|git clone|apt-get|ADD http", CONTAINERFILE)


def test_the_image_runs_as_another_user_with_a_health_check():
    assert instructions("USER") == ["10001:10001"]
    assert CONTAINERFILE.rindex("USER") < CONTAINERFILE.index("HEALTHCHECK") < CONTAINERFILE.index("ENTRYPOINT")
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("arguments", [yaml.safe_load(instructions("CMD")[-1]), SERVICES["service"]["command"]])
def test_the_command_exists_with_its_options(arguments):
    serve = typer.main.get_command(app).commands[arguments[0]]
    known = {option for parameter in serve.params for option in parameter.opts}
    options = [argument for argument in arguments if argument.startswith("--")]
    assert options and set(options) <= known
    assert "--nonsense" not in known


def test_services_are_open_to_this_machine_alone_and_confined():
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name


def test_secrets_come_from_the_environment_and_are_listed():
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?\}", text))
    listed = (ROOT / "deploy" / "secrets.example").read_text(encoding="utf-8").splitlines()
    assert asked == {line.partition("=")[0] for line in listed if "=" in line}
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("TOKEN|KEY|PASSWORD|AUTH", variable):
                assert str(value).startswith("${"), variable


def test_every_service_that_others_wait_for_can_tell_that_it_is_ready():
    for name, service in SERVICES.items():
        waits = service.get("depends_on", {})
        for other, how in waits.items() if isinstance(waits, dict) else ():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
    assert SERVICES["service"]["stop_grace_period"] == "70s"  # more than an answer may take, and 5 s
