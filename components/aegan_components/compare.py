"""In a sweep, after the trials: the best of them."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def compare(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    run_id: str,
    trials: str,
    metric: str,
    outcomes: list,  # type: ignore[type-arg]
    report: dsl.Output[dsl.HTML],
    best_config: dsl.OutputPath(str),  # type: ignore[valid-type]
    dataset_uri: dsl.OutputPath(str),  # type: ignore[valid-type]
    autoencoder_uri: dsl.OutputPath(str),  # type: ignore[valid-type]
    gan_uri: dsl.OutputPath(str),  # type: ignore[valid-type]
    evaluation_uri: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> str:
    """Compare the trials; returns the verdict on the best, `passed` or `rejected`.

    What the trials came to lies in the root; `outcomes` is there to wait for them all.
    """
    from pathlib import Path

    from aegan.config_file import with_parameters
    from aegan.stages import compare

    config = with_parameters(config, data_source, num_accelerators)
    own, uris, verdict = compare.best_of(config, root, run_id, trials, metric)
    Path(report.path).write_bytes(compare.read_page(root, run_id))
    paths = (dataset_uri, autoencoder_uri, gan_uri, evaluation_uri)
    for path, text in zip((best_config, *paths), (own, *uris.values()), strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    return verdict
