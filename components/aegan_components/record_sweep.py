"""The exit handler of a sweep: its record, whatever happened."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def record_sweep(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    run_id: str,
    trials: str,
    metric: str,
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    """Write `<root>/runs/<run id>/run.json`, and the comparison of what finished."""
    from aegan.config_file import with_parameters
    from aegan.stages import compare

    config = with_parameters(config, data_source, num_accelerators)
    compare.run_record(
        config, root, run_id, trials, metric, status.state, status.error_message or ""
    )
