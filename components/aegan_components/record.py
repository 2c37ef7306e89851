"""The exit handler: the run's record, whatever happened."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def record(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    run_id: str,
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    """Write `<root>/runs/<run id>/run.json`."""
    from aegan.config_file import with_parameters
    from aegan.stages import record

    config = with_parameters(config, data_source, num_accelerators)
    record.run(config, root, run_id, status.state, status.error_message or "")
