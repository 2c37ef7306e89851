"""In a sweep: one stage of one trial."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def trial_step(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    run_id: str,
    trials: str,
    trial: str,
    stage: str,
    attempts: str,
    fresh: str,
) -> str:
    """Do the stage; returns `done` or `failed`: a trial that fails must not end the others."""
    from aegan.config_file import with_parameters
    from aegan.stages import trial as steps

    config = with_parameters(config, data_source, num_accelerators)
    return steps.run(
        config, root, run_id, trials, int(trial), stage, attempts=int(attempts), fresh=fresh
    )
