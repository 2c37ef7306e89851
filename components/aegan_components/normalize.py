"""Step 1: raw data to a normalised dataset."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def normalize(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    run_id: str,
    fresh: str,
    dataset: dsl.Output[dsl.Dataset],
) -> str:
    """Read, split and scale the source; returns the dataset's URI."""
    from aegan.config_file import with_parameters
    from aegan.stages import normalize

    config = with_parameters(config, data_source, num_accelerators)
    result = normalize.run(config, root, run_id, fresh=fresh)
    dataset.metadata.update({"location": result.uri, **result.summary})
    return result.uri
