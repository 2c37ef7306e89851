"""Step 5: a new version in the registry, and the alias on it."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def publish(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    dataset_uri: str,
    autoencoder_uri: str,
    gan_uri: str,
    evaluation_uri: str,
    fresh: str,
    run_id: str,
) -> str:
    """Publish what passed the gate; returns the version's URI."""
    from aegan.config_file import with_parameters
    from aegan.stages import publish

    config = with_parameters(config, data_source, num_accelerators)
    uris = (dataset_uri, autoencoder_uri, gan_uri, evaluation_uri)
    result = publish.run(config, root, *uris, fresh=fresh, run_id=run_id)
    return str(result.summary["uri"])
