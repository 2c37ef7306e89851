"""From a configuration to a run on a cluster: compile, upload under the content's hash, start."""

from __future__ import annotations

import datetime
import hashlib
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from aegan.config import Config
from aegan.errors import AeganError, ConfigError
from aegan.sweep import Trial
from aegan_pipelines import cluster, schedule_parameters
from aegan_pipelines.context import Context
from aegan_pipelines.rest import Api, Json

MOST_UPLOAD_BYTES = 32 << 20
HASH_CHARACTERS = 16
SET_OTHERWISE = ("config", "root", "trials", "metric")
"""Parameters for which there are arguments and options."""


@dataclass(frozen=True)
class Package:
    """A pipeline version on the server.

    Attributes:
        uploaded: whether it was uploaded now; otherwise it was there.
    """

    pipeline: str
    pipeline_id: str
    version: str
    version_id: str
    uploaded: bool


@dataclass(frozen=True)
class Submitted:
    """A run that was started."""

    run_id: str
    name: str
    link: str
    package: Package


def compiled(config: Config) -> bytes:
    """The package of a configuration; the same bytes for the same configuration."""
    from aegan_pipelines.pipeline import compile_package

    with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
        path = Path(scratch) / "pipeline.yaml"
        compile_package(config, path)
        return path.read_bytes()


def version_name(package: bytes) -> str:
    """Under which a package is uploaded: a digest of its content."""
    return hashlib.sha256(package).hexdigest()[:HASH_CHARACTERS]


def compiled_sweep(config: Config, trials: list[Trial], metric: str, parallelism: int) -> bytes:
    """The same for a sweep."""
    from aegan_pipelines.sweep_pipeline import compile_sweep

    with tempfile.TemporaryDirectory(prefix="aegan-") as scratch:
        path = Path(scratch) / "pipeline.yaml"
        compile_sweep(config, trials, metric, parallelism, path)
        return path.read_bytes()


def check_size(package: bytes) -> None:
    """Refuse what the server would.

    Raises:
        AeganError: the package is larger than the server takes.
    """
    if len(package) > MOST_UPLOAD_BYTES:
        raise AeganError(
            f"the package has {len(package):,} bytes: the server takes at most {MOST_UPLOAD_BYTES:,}"
        )


def upload_package(
    api: Api, config: Config, package: bytes, namespace: str, name: str = ""
) -> Package:
    """The package's version on the server; uploads nothing that is there already.

    `name` is that of the pipeline, if it is not the configuration's.

    Raises:
        AeganError: the package is larger than the server takes.
        ClusterError: the server cannot be reached or refuses.
    """
    check_size(package)
    name, version = name or f"aegan-{config.name}", version_name(package)
    pipeline_id = cluster.ensure_pipeline(api, name, namespace)
    version_id, uploaded = cluster.ensure_version(api, pipeline_id, version, package)
    return Package(name, pipeline_id, version, version_id, uploaded)


def submit(
    api: Api,
    config: Config,
    root: str,
    context: Context,
    *,
    parameters: dict[str, str] | None = None,
    name: str = "",
    sweep: bytes | None = None,
) -> Submitted:
    """Upload and start; with other parameters it is another run of the same version.

    Args:
        api: of the cluster.
        config: what to run.
        root: where everything lies, as the pods see it.
        context: namespace, experiment, and the service account if it is not the configuration's.
        parameters: of the pipeline, but for `root`.
        name: of the run, if the caller makes it; if there is a run of this name, it is that one.
        sweep: the package of a sweep, to run that.

    Raises:
        ConfigError: the pipeline cannot be run with these parameters.
    """
    namespace, given = context.namespace or "", parameters or {}
    content = compiled(config) if sweep is None else sweep
    if given:
        check_parameters(content, given, config)
    pipeline = f"aegan-{config.name}" + ("" if sweep is None else "-sweep")
    package = upload_package(api, config, content, namespace, pipeline)
    experiment = cluster.ensure_experiment(api, context.experiment or config.name, namespace)
    reference = {
        "pipeline_id": package.pipeline_id,
        "pipeline_version_id": package.version_id,
    }
    body: Json = {
        "display_name": name or run_name(config.name),
        "experiment_id": experiment,
        "pipeline_version_reference": reference,
        "runtime_config": {"parameters": {"root": root} | given},
    }
    if account := context.service_account or config.compute.service_account:
        body["service_account"] = account
    found = cluster.find(api, "/runs", "runs", name, namespace) if name else None
    run_id = str((found or cluster.create_run(api, body, namespace))["run_id"])
    return Submitted(run_id, str(body["display_name"]), cluster.link(api, run_id), package)


def check_parameters(package: bytes, given: dict[str, str], config: Config) -> None:
    """Refuse parameters that the server or the steps would, before anything is uploaded.

    Args:
        package: of the pipeline.
        given: values by name.
        config: in the package.

    Raises:
        ConfigError: names all mistakes.
    """
    declared = schedule_parameters.of_package(package)
    free = {name: item for name, item in declared.items() if name not in SET_OTHERWISE}
    if wrong := schedule_parameters.mistakes(free, given, config):
        lines = "\n".join(f"  {mistake}" for mistake in wrong)
        raise ConfigError(f"the pipeline cannot be run with these parameters:\n{lines}")


def run_name(base: str) -> str:
    """A name for a run that no other has, so that it can be found after an answer was lost."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{base} {now:%Y-%m-%d %H:%M:%S} {uuid.uuid4().hex[:4]}"


def resume(api: Api, run_id: str, namespace: str) -> str:
    """Go on with a run that failed or was cancelled, by a new run with the same parameters.

    What is finished is reused and trainings have checkpoints. The server's own retry would keep all
    steps that succeeded, among them the last, so that the record stayed that of the first attempt.

    Returns:
        The id of the new run.

    Raises:
        AeganError: the run has not ended, or did what it should.
    """
    run = cluster.get_run(api, run_id)
    state = cluster.state_of(run)
    if state not in cluster.FINAL_STATES:
        raise AeganError(f"run {run_id} is {state}: only one that has ended can be resumed")
    if state == "SUCCEEDED":
        raise AeganError(
            f"run {run_id} SUCCEEDED: there is nothing to resume; `aegan submit` starts another"
        )
    kept = ("experiment_id", "pipeline_version_reference", "pipeline_spec", "runtime_config")
    body = {key: run[key] for key in (*kept, "service_account") if run.get(key)}
    if "pipeline_version_reference" in body:  # servers show the spec beside it and take only one
        body.pop("pipeline_spec", None)
    base = str(run.get("display_name", "")).split(" ")[0] or "resumed"
    body["display_name"] = run_name(base)
    return str(cluster.create_run(api, body, namespace)["run_id"])
