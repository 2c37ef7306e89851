"""Step 3: the mixture and the GAN."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def train_gan(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    dataset_uri: str,
    autoencoder_uri: str,
    fresh: str,
    model: dsl.Output[dsl.Model],
) -> str:
    """Train and export the samplers; returns the URI of their outputs."""
    from aegan.config_file import with_parameters
    from aegan.stages import train_gan
    from aegan.stages.stage import finite_facts

    config = with_parameters(config, data_source, num_accelerators)
    result = train_gan.run(config, root, dataset_uri, autoencoder_uri, fresh=fresh)
    model.metadata.update({"location": result.uri, **finite_facts(result)})
    return result.uri
