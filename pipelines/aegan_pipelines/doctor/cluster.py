"""The Kubernetes cluster: namespace, rights, service account, and how Argo retries."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

import yaml

from aegan_pipelines.connection import POD_NAMESPACE
from aegan_pipelines.context import without_password
from aegan_pipelines.doctor.check import SECONDS, Check, Status

TIMEOUT = int(SECONDS)  # the client takes whole seconds only
KUBEFLOW = "kubeflow"
SERVICE_ACCOUNT = "aegan-pipeline"
SUBMITTING = ("create", "pipelines.kubeflow.org", "runs")
REGISTRY_LOGINS = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
READING = (("list", "", "pods"), ("get", "", "pods/log"))


def connect(config_file: str | None = None) -> tuple[Any, str] | Check:
    """The client of the cluster that this pod is in or the kubeconfig names, and its namespace."""
    name = "cluster"
    if importlib.util.find_spec("kubernetes") is None:
        cure = "pip install 'aegan[pipelines]'"
        return Check(name, "skip", "the Kubernetes client is not installed", cure)
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if config_file is None:
            config.load_incluster_config(client_configuration=settings)
            settings.retries = False
            with open(POD_NAMESPACE, encoding="utf-8") as file:
                return client.ApiClient(settings), file.read().strip()
    except config.ConfigException:
        pass
    try:
        config.load_kube_config(config_file, client_configuration=settings, persist_config=False)
        _, active = config.list_kube_config_contexts(config_file)
    except config.ConfigException:
        named = os.environ.get("KUBECONFIG")
        cure = "to check a cluster, set KUBECONFIG or run in a pod"
        found = f"KUBECONFIG is {named}, where none can be read" if named else "no kubeconfig"
        return Check(name, "skip", f"{found}, and this is no pod", cure)
    settings.retries = False
    return client.ApiClient(settings), active["context"].get("namespace") or KUBEFLOW


def cluster(api: Any, *, expected: bool) -> Check:
    """Whether the cluster answers, and its version.

    Args:
        api: the client.
        expected: whether a cluster was asked for; if not, an old kubeconfig is no failure.
    """
    from kubernetes import client

    where = without_password(api.configuration.host)
    try:
        version = client.VersionApi(api).get_code(_request_timeout=TIMEOUT)
    except client.ApiException as error:
        if error.status in (401, 403):
            cure = "log in again: the kubeconfig's credentials may have expired"
            return Check("cluster", "fail", f"{where} refuses us ({error.status})", cure)
        return Check("cluster", "fail", f"{where} answered {error.status}", "check the kubeconfig")
    except Exception as error:  # of urllib3, which is the client's own affair
        text = f"{where} does not answer ({type(error).__name__})"
        cure = "check the network and the kubeconfig's current context"
        return Check("cluster", "fail" if expected else "warn", text, cure)
    return Check("cluster", "ok", f"Kubernetes {version.git_version} at {where}")


def namespace(api: Any, name: str) -> Check:
    """Whether the namespace exists, and what Pod Security demands there."""
    from kubernetes import client

    try:
        found = client.CoreV1Api(api).read_namespace(name, _request_timeout=TIMEOUT)
    except client.ApiException as error:
        if error.status == 404:
            cure = f"kubectl create namespace {name}, or give --namespace another"
            return Check("namespace", "fail", f"there is no namespace {name}", cure)
        return unknown("namespace", error)
    level = (found.metadata.labels or {}).get("pod-security.kubernetes.io/enforce")
    return Check("namespace", "ok", f"{name}, Pod Security: {level or 'not enforced'}")


def permissions(api: Any, name: str, multi_user: bool | None) -> Check:
    """Whether this account may submit runs and read the logs of their pods.

    Args:
        api: the client.
        name: of the namespace.
        multi_user: whether the API server asks Kubernetes who may submit, if that is known: a server of
            one user asks for nothing.
    """
    from kubernetes import client

    denied = []
    for verb, group, resource in READING if multi_user is False else (SUBMITTING, *READING):
        kind, _, part = resource.partition("/")
        attributes = client.V1ResourceAttributes(
            namespace=name, verb=verb, group=group, resource=kind, subresource=part or None
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        answer = client.AuthorizationV1Api(api).create_self_subject_access_review(
            review, _request_timeout=TIMEOUT
        )
        if not answer.status.allowed:
            denied.append(f"{verb} {resource}")
    if not denied:
        submitting = "" if multi_user is False else "submitting runs and "
        return Check("permissions", "ok", f"{submitting}reading logs in {name}")
    cure = f"ask an administrator for the role kubeflow-edit in {name}"
    return Check("permissions", "warn", f"not allowed in {name}: {', '.join(denied)}", cure)


def service_account(api: Any, space: str, configured: str | None) -> Check:
    """Whether the identity of the runs' pods exists, and whose rights it has in the cloud."""
    from kubernetes import client

    name = configured or SERVICE_ACCOUNT
    try:
        found = client.CoreV1Api(api).read_namespaced_service_account(
            name, space, _request_timeout=TIMEOUT
        )
    except client.ApiException as error:
        if error.status == 404:
            status: Status = "fail" if configured else "warn"
            cure = (
                f"kubectl create serviceaccount {name} -n {space}, or in a checkout of the repository"
                f" kubectl apply -k manifests/base -n {space}"
            )
            return Check("service account", status, f"there is no {name} in {space}", cure)
        return unknown("service account", error)
    cloud = (found.metadata.annotations or {}).get("iam.gke.io/gcp-service-account")
    return Check("service account", "ok", f"{name}, acts as {cloud or 'no account of the cloud'}")


def pull_secrets(api: Any, space: str, names: list[str]) -> Check:
    """Whether the secrets exist by which nodes log in to a registry; what they hold is not looked at."""
    from kubernetes import client

    title, wrong = "pull secrets", []
    for name in names:
        try:
            found = client.CoreV1Api(api).read_namespaced_secret(
                name, space, _request_timeout=TIMEOUT
            )
        except client.ApiException as error:
            if error.status == 403:
                text = f"not allowed to look for {', '.join(names)} in {space} (get secrets)"
                return Check(title, "skip", text, f"kubectl get secret {name} -n {space}")
            if error.status != 404:
                return unknown(title, error)
            wrong.append(f"there is no {name} in {space}")
        else:
            if found.type not in REGISTRY_LOGINS:
                wrong.append(f"{name} is of the type {found.type}, which nodes do not log in with")
    if wrong:
        cure = f"kubectl create secret docker-registry NAME -n {space} --docker-server=…"
        return Check(title, "fail", "; ".join(wrong), cure)
    return Check(title, "ok", f"{', '.join(names)} in {space}")


def argo_retries(api: Any, space: str) -> Check:
    """What Argo does with a step whose pod was evicted."""
    from kubernetes import client

    name = "Argo retries"
    cure = "in a checkout of the repository: kubectl apply --server-side -k manifests/argo-retries"
    for place in dict.fromkeys((KUBEFLOW, space)):
        try:
            found = client.CoreV1Api(api).read_namespaced_config_map(
                "workflow-controller-configmap", place, _request_timeout=TIMEOUT
            )
            break
        except client.ApiException as error:
            problem = error
    else:
        return unknown(name, problem)
    strategy = retry_strategy(found.data or {})
    policy, limit = strategy.get("retryPolicy", "OnFailure"), strategy.get("limit")
    text = f"policy {policy}, limit {'not set' if limit is None else limit}"
    if policy == "OnFailure":
        return Check(name, "warn", f"{text}: evicted pods are not tried again", cure)
    if policy != "Always":
        return Check(
            name, "warn", f"{text}: steps that fail by themselves are not tried again", cure
        )
    if str(limit) != "0":
        text = f"{text}: nested templates multiply it, a failing step may start many times"
        return Check(name, "warn", text, cure)
    return Check(name, "ok", f"{text}: evicted pods are tried again as often as compute.retries")


def retry_strategy(data: dict[str, str]) -> dict[str, Any]:
    """The default retry strategy in Argo's ConfigMap; empty if there is none."""
    try:
        whole = yaml.safe_load(data.get("config", "")) or {}  # older installations: one key for all
        tree = yaml.safe_load(data.get("workflowDefaults", "")) or whole.get("workflowDefaults", {})
        return dict(tree["spec"]["templateDefaults"]["retryStrategy"])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}


def unknown(name: str, error: Any) -> Check:
    """A check that the cluster does not let us make."""
    try:
        reason = json.loads(error.body)["message"]
    except (ValueError, KeyError, TypeError):
        reason = error.reason
    return Check(name, "skip", f"{error.status}: {reason}")
