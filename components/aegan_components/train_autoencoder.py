"""Step 2: the autoencoder."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def train_autoencoder(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    dataset_uri: str,
    fresh: str,
    model: dsl.Output[dsl.Model],
) -> str:
    """Train and export the autoencoder; returns the URI of its outputs."""
    from aegan.config_file import with_parameters
    from aegan.stages import train_autoencoder
    from aegan.stages.stage import finite_facts

    config = with_parameters(config, data_source, num_accelerators)
    result = train_autoencoder.run(config, root, dataset_uri, fresh=fresh)
    model.metadata.update({"location": result.uri, **finite_facts(result)})
    return result.uri
