"""Step 4: scores, report, verdict."""

from kfp import dsl

from aegan_components.image import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate(
    config: str,
    data_source: str,
    num_accelerators: str,
    root: str,
    dataset_uri: str,
    autoencoder_uri: str,
    gan_uri: str,
    fresh: str,
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    evaluation_uri: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> str:
    """Score what was trained; returns the verdict, `passed` or `rejected`.

    The verdict is the component's one returned value because conditions of local runs resolve no
    other kind of output.
    """
    from pathlib import Path

    from aegan.config_file import with_parameters
    from aegan.stages import evaluate
    from aegan.stages.stage import finite_facts

    config = with_parameters(config, data_source, num_accelerators)
    result = evaluate.run(config, root, dataset_uri, autoencoder_uri, gan_uri, fresh=fresh)
    for name, value in finite_facts(result).items():
        if isinstance(value, float):
            metrics.log_metric(name, value)
    page = evaluate.read_report(result)
    Path(report.path).write_bytes(page)
    Path(evaluation_uri).parent.mkdir(parents=True, exist_ok=True)
    Path(evaluation_uri).write_text(result.uri)
    return str(result.summary["verdict"])
