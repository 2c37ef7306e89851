"""The configuration is strict, and says everything that is wrong with it at once."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from aegan import config_file
from aegan.config import Autoencoder, Config
from aegan.config_file import from_json, json_schema, load_config, preset_names, validate
from aegan.errors import ConfigError
from tests.conftest import tiny

TINY = "name: tiny\ndata: {source: digits}\n"


def _file(folder: Path, text: str) -> str:
    path = folder / "run.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def _message(tree: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(tree, "run.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_survives_the_round_trip(name: str) -> None:
    config = load_config(name)
    assert from_json(config.to_json()) == config
    assert config.evaluation.thresholds, "a preset publishes nothing that was not judged"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_in_its_header_how_to_run_it(name: str) -> None:
    text = (resources.files("aegan") / "presets" / f"{name}.yaml").read_text("utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any(f"aegan run {name}" in line for line in header)


def test_there_are_presets() -> None:
    assert "digits" in preset_names()


def test_all_mistakes_are_reported_at_once() -> None:
    message = _message(
        {
            "seed": -1,
            "data": {"source": 5, "kind": "images", "test_fraction": 1.5},
            "autoencoder": {"hidden": [64, 0], "stpes": 10},
            "gan": {"space": "latent", "network": "conv"},
            "evaluation": {"thresholds": {"coverage": {}}},
            "compute": {"image": "aegan"},
        }
    )
    first, *lines = message.split("\n")
    starts = [
        "name: required and missing",
        "seed: input should be greater than or equal to 0, received -1 (int)",
        "data.source: input should be a valid string, received 5 (int)",
        "data.kind: input should be 'image', 'tabular' or 'sequence', received 'images' (str)",
        "data.test_fraction: input should be less than 1, received 1.5 (float)",
        "autoencoder.hidden.1: input should be greater than or equal to 1, received 0 (int)",
        "autoencoder.stpes: no such setting; expected one of ",
        "gan.network: `conv` needs images",
        "evaluation.thresholds.coverage: give `max`, `min` or both",
        "compute.image: 'aegan' names no fixed version",
    ]
    assert first == f"run.yaml: {len(starts)} mistakes"
    for start in starts:
        assert any(line.startswith(f"  {start}") for line in lines), start


def test_sections_are_compared_even_where_others_are_wrong() -> None:
    data = {"source": "x.npy", "kind": "tabular", "validation_fraction": 0.6, "test_fraction": 0.6}
    message = _message(tiny(data=data, autoencoder={"network": "conv"}, gan={"steps": 0}))
    assert "3 mistakes" in message
    assert "gan.steps: " in message
    assert "autoencoder.network: `conv` needs `data.kind: image`" in message
    assert "must be below 1, received 1.2" in message


def test_what_is_wrong_hides_no_contradiction_between_what_is_right() -> None:
    message = _message(
        {
            "name": "X",
            "data": {
                "source": "digits",
                "foo": 1,
                "validation_fraction": 0.6,
                "test_fraction": 0.6,
            },
            "gan": {"gamma": -1.0, "space": "data", "prior": "mixture"},
            "compute": {"memory": "8GB", "image": "aegan:latest"},
            "evaluation": {"thresholds": {"density": {"min": 2.0, "max": 1.0}}, "neighbours": 0},
        }
    )
    assert "9 mistakes" in message
    for line in ("data.validation_fraction: ", "gan.prior: ", "compute.image: "):
        assert line in message
    assert "evaluation.thresholds.density.min: no value is at least 2 and at most 1" in message


def test_a_wrong_setting_is_not_reported_again_for_what_it_contradicts() -> None:
    message = _message(tiny(gan={"space": "dta", "network": "conv"}))
    assert "1 mistake\n" in message
    assert "gan.space: " in message


def test_a_bound_that_no_model_can_reach_is_refused() -> None:
    message = _message(tiny(evaluation={"thresholds": {"coverage": {"min": 1.5}}}))
    assert "coverage lies between 0 and 1: no model can reach this" in message


def test_a_section_with_every_line_commented_out_is_at_its_defaults(tmp_path: Path) -> None:
    config = load_config(_file(tmp_path, TINY + "autoencoder:\n  # steps: 5\n"))
    assert config.autoencoder == Autoencoder()


def test_the_schema_for_editors_is_up_to_date_and_takes_every_preset() -> None:
    written = (Path(__file__).parents[2] / "docs" / "config.schema.json").read_text("utf-8")
    assert written == json_schema(), "run `make schema`"
    validator = jsonschema.Draft202012Validator(json.loads(written))
    for name in preset_names():
        text = (resources.files("aegan") / "presets" / f"{name}.yaml").read_text("utf-8")
        validator.validate(yaml.load(text, config_file._Loader))
    mistakes = tiny(gan={"stepz": 5, "steps": 0}) | {"sed": 1}
    assert len(list(validator.iter_errors(mistakes))) == 3


def test_a_single_mistake_is_not_called_several() -> None:
    assert _message(tiny(seed="one")).startswith("run.yaml: 1 mistake\n")


def test_an_unknown_key_names_every_known_one() -> None:
    message = _message(tiny(autoencoder={"layers": 3}))
    known = ", ".join(Autoencoder.model_fields)
    assert f"autoencoder.layers: no such setting; expected one of {known}" in message


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"datta": {}},
            f"datta: no such setting; expected one of {', '.join(Config.model_fields)}",
        ),
        (
            {"evaluation": {"thresholds": {"recall": {"minimum": 0.5}}}},
            "evaluation.thresholds.recall.minimum: no such setting; expected one of max, min",
        ),
    ],
)
def test_unknown_keys_are_explained_at_the_top_and_deep_down(
    sections: dict[str, Any], line: str
) -> None:
    assert line in _message(tiny(**sections))


def test_an_unknown_metric_names_the_known_ones() -> None:
    message = _message(tiny(evaluation={"thresholds": {"fid": {"max": 1}}}))
    assert "evaluation.thresholds.fid: input should be 'reconstruction_mse'" in message
    assert "'frechet_distance'" in message
    assert "received 'fid' (str)" in message


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"autoencoder": {"steps": "many"}}, "autoencoder.steps: input should be a valid integer"),
        ({"autoencoder": {"steps": True}}, "received True (bool)"),
        ({"autoencoder": {"steps": 1e3}}, "received 1000.0 (float)"),
        ({"autoencoder": {"hidden": 64}}, "autoencoder.hidden: input should be a valid list"),
        (
            {"autoencoder": {"hidden": [8, "x"]}},
            "autoencoder.hidden.1: input should be a valid int",
        ),
        ({"gan": {"learning_rate": "fast"}}, "gan.learning_rate: input should be a valid number"),
        ({"gan": None}, "received None (NoneType)"),
        ({"name": 3}, "name: input should be a valid string, received 3 (int)"),
        ({"name": "My Model"}, "name: expected lower-case letters, digits and hyphens"),
        ({"name": "model\n"}, "name: expected lower-case letters, digits and hyphens"),
        (
            {"name": "model-"},
            "beginning with a letter, not ending with a hyphen, received 'model-'",
        ),
        ({"seed": 2**31}, "seed: input should be less than 2147483648"),
        (
            {"publish": {"alias": "Champion"}},
            "publish.alias: expected lower-case letters",
        ),
        (
            {"compute": {"memory": "8 GB"}},
            "compute.memory: expected an amount of memory such as 8Gi",
        ),
        ({"compute": {"cpu": "two"}}, "compute.cpu: expected a number of cores such as 2"),
        ({"evaluation": {"samples": 49}}, "evaluation.samples: input should be greater than or"),
    ],
)
def test_values_of_the_wrong_type_or_range_are_refused(sections: dict[str, Any], line: str) -> None:
    assert line in _message(tiny(**sections))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "path",
    [
        "data.test_fraction",
        "autoencoder.learning_rate",
        "autoencoder.weight_decay",
        "autoencoder.checkpoint_seconds",
        "gan.gamma",
        "gan.ema_decay",
    ],
)
def test_numbers_that_are_not_finite_are_refused(path: str, value: float) -> None:
    section, key = path.split(".")
    assert f"{path}: input should be" in _message(tiny(**{section: {key: value}}))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1E-3", 0.001), ("2.5e-4", 0.00025), ("+1e-2", 0.01), (".5e-2", 0.005)],
)
def test_exponents_without_a_point_are_numbers(tmp_path: Path, text: str, value: float) -> None:
    path = _file(tmp_path, f"{TINY}autoencoder: {{learning_rate: {text}}}\n")
    config = load_config(path, [f"gan.learning_rate={text}"])
    assert config.autoencoder.learning_rate == value
    assert config.gan.learning_rate == value


def test_only_whole_scalars_are_read_as_numbers(tmp_path: Path) -> None:
    assert load_config(_file(tmp_path, "name: x\ndata: {source: run-1e-3}")).data.source == (
        "run-1e-3"
    )
    with pytest.raises(ConfigError, match=r"learning_rate: .* valid number, received '1e-3' \(str"):
        load_config(_file(tmp_path, f"{TINY}gan: {{learning_rate: '1e-3'}}"))


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (f"{TINY}seed: 1\ngan:\n  steps: 1\nseed: 2\n", 6, "seed"),
        (f"{TINY}gan:\n  steps: 1\n  hidden: [8]\n  steps: 2\n", 6, "steps"),
        ("name: tiny\ndata: {source: a, kind: image, source: b}", 2, "source"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError, match=f"line {line}: the key '{key}' stands twice; keep one"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "name: [tiny",
        "name: tiny\n\tdata: x",
        "name: 2026-02-30",  # looks like a date, and is none
        "[1, 2]: 3",  # a list cannot be a key
        "name: !!python/object/apply:os.getcwd []",
        "name: \0",
    ],
)
def test_what_is_not_yaml_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError, match="is not valid YAML: ") as caught:
        load_config(path)
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize(("text", "received"), [("", "None"), ("- a", r"\['a'\]"), ("5", "5")])
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str, received: str) -> None:
    with pytest.raises(ConfigError, match=f"expected a mapping of settings, received {received}"):
        load_config(_file(tmp_path, text))


def test_an_unknown_preset_names_the_known_ones() -> None:
    known = ", ".join(preset_names())
    with pytest.raises(ConfigError, match=f"no preset named 'digit': expected one of {known}, or"):
        load_config("digit")


def test_a_folder_named_like_a_preset_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_config("digits").name == "digits"


@pytest.mark.parametrize("name", ["missing.yaml", "missing/run", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(ConfigError, match="give the path of a YAML file or a preset") as caught:
        load_config(path)
    assert f"cannot read the configuration {path}" in str(caught.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*run\.yaml: .*utf-8"):
        load_config(str(path))


def test_set_overrides_the_file_and_the_last_one_wins(tmp_path: Path) -> None:
    path = _file(tmp_path, f"{TINY}gan: {{steps: 10, noise_size: 3}}")
    config = load_config(
        path,
        [
            "seed=4",
            "gan.steps=20",
            "gan.steps=30",
            "autoencoder.hidden=[8, 4]",
            "autoencoder.patience=null",
            "data.source=gs://bucket/a=b",
        ],
    )
    assert (config.seed, config.gan.steps, config.gan.noise_size) == (4, 30, 3)
    assert config.autoencoder.hidden == [8, 4]
    assert config.autoencoder.patience is None
    assert config.data.source == "gs://bucket/a=b"


def test_set_opens_sections_that_the_file_lacks(tmp_path: Path) -> None:
    config = load_config(
        _file(tmp_path, TINY),
        ["evaluation.thresholds.coverage.min=0.5", "publish.alias=candidate"],
    )
    assert config.evaluation.thresholds["coverage"].min == 0.5
    assert config.publish.alias == "candidate"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gan.steps", r"--set gan.steps: expected path.to.key=value, for example --set gan.steps="),
        ("=5", "--set =5: expected path.to.key=value"),
        ("name.first=5", "--set name.first=5: `name` is a value, not a section"),
        (
            "gan.steps=[1",
            r"--set gan.steps=\[1 is not valid YAML: ",
        ),
        ("gan.stpes=5", "gan.stpes: no such setting; expected one of .*steps"),
        ("gan.=5", "gan.: no such setting"),
        ("gan..steps=5", "gan.: no such setting"),
        ("seed=1e3", "seed: input should be a valid integer, received 1000.0"),
    ],
)
def test_a_malformed_set_says_what_was_expected(
    tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(_file(tmp_path, TINY), [override])


def test_the_json_is_canonical_and_complete() -> None:
    text = validate(tiny(), "f").to_json()
    tree = json.loads(text)
    assert text == json.dumps(tree, sort_keys=True, separators=(",", ":"))
    assert tree.keys() == Config.model_fields.keys()
    assert tree["autoencoder"].keys() == Autoencoder.model_fields.keys()
    assert from_json(text).to_json() == text


def test_the_order_of_the_file_does_not_matter() -> None:
    tree = tiny(evaluation={"thresholds": {"recall": {"min": 0}, "coverage": {"min": 0}}})
    reversed_tree = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(tree.items())
    }
    reversed_tree["evaluation"]["thresholds"] = {"coverage": {"min": 0}, "recall": {"min": 0}}
    one, other = validate(tree, "f"), validate(reversed_tree, "f")
    assert one.to_json() == other.to_json()
    assert one.digest() == other.digest()


def test_a_configuration_cannot_be_changed() -> None:
    config = validate(tiny(), "f")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "sections",
    [
        {"name": "other"},
        {"seed": 4},
        {"data": {"source": "elsewhere.npz"}},
        {"normalize": {"method": "standard"}},
        {"autoencoder": {"steps": 201}},
        {"gan": {"gamma": 0.5}},
        {"evaluation": {"neighbours": 4}},
        {"publish": {"alias": "candidate"}},
    ],
)
def test_the_digest_changes_with_a_setting(sections: dict[str, Any]) -> None:
    assert validate(tiny(**sections), "f").digest() != validate(tiny(), "f").digest()


def test_the_digest_ignores_where_a_model_is_trained() -> None:
    elsewhere = validate(tiny(compute={"cpu": "16", "accelerator_count": 1}), "f")
    assert elsewhere.digest() == validate(tiny(), "f").digest()
    assert elsewhere.digest("compute") != validate(tiny(), "f").digest("compute")


def test_the_digest_ignores_what_changes_no_weight() -> None:
    setting = {"checkpoint_seconds": 5, "residency": "streamed"}
    changed = validate(tiny(autoencoder=setting, gan=setting), "f")
    plain = validate(tiny(), "f")
    assert changed.digest() == plain.digest()
    assert changed.digest("autoencoder", "gan") == plain.digest("autoencoder", "gan")
    assert changed.to_json() != plain.to_json()


def test_the_digest_ignores_how_a_value_is_written() -> None:
    plain = validate(tiny(gan={"gamma": 1.0}), "f")
    assert validate(tiny(gan={"gamma": 1}), "f").digest() == plain.digest()
    assert validate(tiny(gan={"gamma": 1.0, "space": "latent"}), "f").digest() == plain.digest()


def test_the_digest_of_sections_changes_with_those_only() -> None:
    config, changed = (validate(tiny(gan={"steps": steps}), "f") for steps in (100, 101))
    assert config.digest("data", "seed") == changed.digest("data", "seed")
    assert config.digest("data", "gan") != changed.digest("data", "gan")


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"gan": {"network": "conv"}},
            "gan.network: `conv` needs images and a code is a vector; use `dense`, or"
            " `space: data`",
        ),
        (
            {"gan": {"space": "data", "prior": "mixture"}},
            "needs `space: latent`; use `prior: normal` with `space: data`",
        ),
        (
            {"data": {"source": "x.npy", "kind": "tabular"}, "autoencoder": {"network": "conv"}},
            "autoencoder.network: `conv` needs `data.kind: image`, received 'tabular'; use `dense`",
        ),
        (
            {
                "data": {"source": "x.npy", "kind": "sequence"},
                "gan": {"network": "conv", "space": "data"},
            },
            "gan.network: `conv` needs `data.kind: image`, received 'sequence'",
        ),
        (
            {"autoencoder": {"network": "recurrent"}},
            "autoencoder.network: `recurrent` needs `data.kind: sequence`, received 'image'",
        ),
        (
            {"autoencoder": {"network": "conv", "hidden": []}},
            "autoencoder.hidden: `conv` needs at least one layer",
        ),
        (
            {"autoencoder": {"kind": "variational", "code_activation": "relu"}},
            "autoencoder.code_activation: the code of `kind: variational` is kept near N(0, I)",
        ),
        (
            {"autoencoder": {"kind": "denoising", "noise": "masking", "noise_level": 1.0}},
            "autoencoder.noise_level: is the share of values that is masked and must be below 1",
        ),
        (
            {"gan": {"steps": 100, "warmup_steps": 100}},
            "gan.warmup_steps: must be fewer than `steps`, received 100 of 100",
        ),
        (
            {"gan": {"nesterov": True}},
            "gan.nesterov: needs `optimizer: sgd` and a `momentum` above 0",
        ),
        (
            {"autoencoder": {"momentum": 0.9}},
            "autoencoder.momentum: is of `sgd` and `rmsprop`, and `adam` does not know it",
        ),
        (
            {"gan": {"step_every": 10}},
            "gan.step_every: is of `schedule: step`, and this one is `cosine`",
        ),
        (
            {"autoencoder": {"ghost_statistics": True}},
            "autoencoder.ghost_statistics: is of `batch: full`",
        ),
        (
            {"autoencoder": {"free_bits": 0.1, "batch": "full"}},
            "autoencoder.free_bits: is of `kind: variational`, and this one is `plain`",
        ),
        (
            {"gan": {"discriminator_normalization": "batch"}},
            "gan.discriminator_normalization: `batch` mixes the samples of a batch",
        ),
        (
            {"gan": {"objective": "wasserstein", "interpolation_penalty": 0.0}},
            "gan.interpolation_penalty: `objective: wasserstein` needs a discriminator whose slope",
        ),
        (
            {
                "data": {"source": "x.npy", "kind": "sequence"},
                "gan": {"network": "recurrent", "space": "data", "spectral_normalization": True}
                | {"objective": "wasserstein", "interpolation_penalty": 0.0},
            },
            "gan.spectral_normalization: divides no matrix of a `recurrent` layer",
        ),
        (
            {"autoencoder": {"contraction": 0.1, "normalization": "batch"}},
            "autoencoder.normalization: `batch` mixes the samples of a batch, so a penalty on",
        ),
        (
            {"autoencoder": {"texture": 1}, "data": {"source": "x", "kind": "tabular"}},
            "autoencoder.texture: is of images, and the data is tabular",
        ),
        (
            {"gan": {"objective": "hinge", "draws_per_sample": 2}},
            "gan.draws_per_sample: weighs draws by the ratio of densities, which the logit of `hinge`",
        ),
        (
            {"gan": {"learning_rate": 0, "draws_per_sample": 2}},
            "gan.learning_rate: 0 leaves the generator at the mixture, so the discriminator must learn",
        ),
        (
            {"gan": {"learning_rate": 0, "discriminator_learning_rate": 0.001}},
            "received 1 of them and a rate of 0.001",
        ),
        (
            {
                "gan": {"learning_rate": 0, "prior": "normal"}
                | {"draws_per_sample": 2, "discriminator_learning_rate": 0.001}
            },
            "gan.learning_rate: 0 leaves the generator where it starts, which with `prior: normal` is",
        ),
        (
            {
                "gan": {"learning_rate": 0, "generator_steps": 2}
                | {"draws_per_sample": 2, "discriminator_learning_rate": 0.001}
            },
            "gan.generator_steps: are of a generator that learns, and 0 leaves it at the mixture",
        ),
        (
            {"data": {"source": "digits", "validation_fraction": 0.5, "test_fraction": 0.5}},
            "their sum must be below 1, received 1",
        ),
    ],
)
def test_impossible_combinations_are_refused(sections: dict[str, Any], line: str) -> None:
    assert line in _message(tiny(**sections))


@pytest.mark.parametrize(
    "image",
    [
        "aegan",
        "aegan:latest",
        "registry.example.com:5000/team/aegan",
        "registry.example.com:5000/team/aegan:latest",
    ],
)
def test_an_image_that_can_move_is_refused(image: str) -> None:
    message = _message(tiny(compute={"image": image}))
    assert f"compute.image: {image!r} names no fixed version" in message
    assert "give it by digest (name@sha256:…) or by a tag that never moves" in message


@pytest.mark.parametrize(
    "image",
    [
        "aegan:1.2.3",
        "registry.example.com:5000/team/aegan:1.2.3",
        f"registry.example.com:5000/team/aegan@sha256:{'0' * 64}",
        f"aegan:latest@sha256:{'0' * 64}",
    ],
)
def test_an_image_that_cannot_move_is_accepted(image: str) -> None:
    assert validate(tiny(compute={"image": image}), "f").compute.image == image


# What the documentation of `Gan` promises: no mixture without codes, no penalty where the objective
# needs none.
@pytest.mark.parametrize(
    ("gan", "expected"),
    [
        ({}, ("mixture", "relativistic", 0.0, 0.3)),
        ({"objective": "minimax"}, ("mixture", "minimax", 0.0, 0.0)),
        ({"objective": "non_saturating"}, ("mixture", "non_saturating", 0.0, 0.0)),
        ({"prior": "normal"}, ("normal", "relativistic", 0.0, 0.3)),
        ({"space": "data"}, ("normal", "non_saturating", 0.5, 0.0)),
        ({"space": "data", "objective": "relativistic"}, ("normal", "relativistic", 0.5, 0.3)),
        ({"space": "data", "gamma": 2.0, "beta_1": 0.9}, ("normal", "non_saturating", 0.9, 2.0)),
        ({"objective": "hinge"}, ("mixture", "hinge", 0.0, 0.0)),
        ({"objective": "minimax", "gamma": 0.1}, ("mixture", "minimax", 0.0, 0.1)),
    ],
)
def test_defaults_follow_the_space_and_the_objective(
    gan: dict[str, Any], expected: tuple[str, str, float, float]
) -> None:
    section = validate({"name": "x", "data": {"source": "digits"}, "gan": gan}, "f").gan
    assert (section.prior, section.objective, section.beta_1, section.gamma) == expected


def test_defaults_of_a_choice_survive_the_passage_between_steps() -> None:
    config = validate(tiny(gan={"space": "data"}), "f")
    assert from_json(config.to_json()).gan == config.gan
