"""A double of the Kubeflow Pipelines 2.17 API server, on loopback, that really runs what it is given.

It speaks the REST of v2beta1 as `kfp.Client` and our own client use it, and follows the real server's
source (backend/src/apiserver) where a rule can be met by a client; each rule's docstring or comment
names the place it stands for. Where it cannot follow, it is stricter than the real server:

- bodies with fields that the API does not know are refused (the real gateway drops them silently);
- names of pipelines and versions must be names of Kubernetes objects, as where they are kept in such;
- a list of one namespace holds nothing of another; it authenticates by a bearer token or cookie and
  authorises by namespace, but knows no roles but one: who may not upload.

    service.py      HTTP: routes, authentication, injected faults, a journal of calls
    bodies.py       bodies checked with the models of kfp_server_api; errors as grpc-gateway sends them
    listing.py      filters, sorting, pages
    specs.py        uploaded packages and parameters, checked with protobuf's PipelineSpec
    experiments.py · pipelines.py · uploads.py · runs.py · recurring.py
    health.py       healthz, of the API server and of the user interface
    nodes.py        the nodes of a run's workflow
    execution.py    a submitted package under kfp.local, in a process group of its own
"""

from tests.kfp_server.service import KfpServer

__all__ = ["KfpServer"]
