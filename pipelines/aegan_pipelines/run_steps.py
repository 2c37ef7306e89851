"""The steps of a run as the server tells of them, and what they alone say of how the run ended."""

from __future__ import annotations

from collections.abc import Callable

from aegan_pipelines.rest import Json

WORST_FIRST = (
    "FAILED",
    "CANCELED",
    "CANCELING",
    "RUNNING",
    "PAUSED",
    "PENDING",
    "SUCCEEDED",
    "SKIPPED",
)
DRIVER = "-driver"
EVENTS = {
    "RUNNING": ("start", ""),
    "SUCCEEDED": ("done", ""),
    "FAILED": ("error", "the logs of its pods say why"),
}


def steps(run: Json, spec: Json) -> dict[str, str]:
    """The states of the steps that have begun, in the order in which they did.

    What the server calls a task is a node of the workflow: a step's own, which sums up its attempts,
    those of its pods, all called `executor`, and its driver, which counts only where it failed, since
    the step then has no state. Steps of one name, as in a loop, are told as one: the worst.
    """
    titles = _titles(spec)
    found: dict[str, list[str]] = {}
    nodes = (run.get("run_details") or {}).get("task_details") or []
    for node in sorted(nodes, key=lambda node: str(node.get("start_time"))):
        name, state = str(node.get("display_name")), str(node.get("state"))
        if state == "FAILED" and name not in titles:
            name = name.removesuffix(DRIVER)
        if name in titles and state in WORST_FIRST:
            found.setdefault(titles[name], []).append(state)
    return {title: min(states, key=WORST_FIRST.index) for title, states in found.items()}


def tell(
    states: dict[str, str], before: dict[str, str], show: Callable[[str, str, str], None]
) -> bool:
    """Tell which steps are in another state than before; whether any is.

    Args:
        states: of the steps now, from `steps`.
        before: the states that were told.
        show: is told each event: step, kind, text.
    """
    changed = {name: state for name, state in states.items() if before.get(name) != state}
    for name, state in changed.items():
        if state in EVENTS:
            show(name.replace("-", "_"), *EVENTS[state])
    return bool(changed)


def outcome(state: str, states: dict[str, str]) -> str:
    """How a run ended of which no record can be read: published, rejected, or its state.

    A model that the gate rejected is judged and never reaches `publish`, in a run that succeeds.
    """
    if states.get("publish") == "SUCCEEDED":
        return "published"
    judged = states.get("evaluate") in ("SUCCEEDED", "SKIPPED")
    left_out = states.get("publish", "SKIPPED") == "SKIPPED"
    return "rejected" if state == "SUCCEEDED" and judged and left_out else state.lower()


def _titles(spec: Json) -> dict[str, str]:
    """The names that people know steps by, by the names of their nodes; groups of steps are none."""
    components = spec.get("components") or {}
    titles = {}
    for component in (spec.get("root") or {}, *components.values()):
        for name, task in ((component.get("dag") or {}).get("tasks") or {}).items():
            of = components.get((task.get("componentRef") or {}).get("name")) or {}
            if "executorLabel" in of:
                titles[name] = str((task.get("taskInfo") or {}).get("name") or name)
    return titles
