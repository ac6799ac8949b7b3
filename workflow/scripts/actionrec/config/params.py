"""What rules make depends on: the values of the configuration that rules name as their params."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionrec.config import queries
from actionrec.config.queries import Config
from actionrec.spec import native_keys, relevance, toolkits


def archive_identity(config: Config, file: str) -> str | list[str]:
    """Return what tells an archive from another: its checksum, or else its addresses.

    With a checksum, another mirror gives the same file and is no reason to download it again.
    """
    found = queries.archive_of_file(config, file)
    return found["sha256"] or found["urls"]


def flow_files(config: Config, cls: str) -> str | None:
    """Return the user's folder of a class's .flo files, if flow is read from such."""
    path = config["flow"]["path"]
    return str(Path(path, cls)) if path else None


def spec_keys(config: Config, experiment: str, task: str) -> dict[str, Any]:
    """Return the user's TAO keys that the results of a task depend on."""
    keys = toolkits.keys_of_task(queries.overrides(config, experiment), task)
    return relevance.relevant(keys, config["tao"]["toolkit"])


def native_settings(config: Config, experiment: str, task: str) -> dict[str, Any]:
    """Return the native engine's own settings that the results of a task depend on."""
    settings = native_keys.keys_of_task(queries.native(config, experiment), task)
    return relevance.relevant(settings, config["tao"]["toolkit"], "native.")


def current_values(config: Config, experiment: str) -> dict[str, Any]:
    """Return the values of all keys of a spec that change no result, by dotted name."""
    native = queries.native(config, experiment)
    return relevance.current_values({**queries.overrides(config, experiment), "native": native})


def validation_part(config: Config) -> str:
    """Return the part of a split that validates, val or test."""
    return "test" if config["splits"]["validation"] == "test" else "val"


def weights_origin(config: Config, experiment: str, stream: str) -> Mapping[str, str]:
    """Return where the configuration says that the weights of a stream come from."""
    return dict(sorted(queries.pretrained(config, experiment)[stream].items()))


def ngc_checksum(config: Config, model: str, version: str, file: str) -> str | None:
    """Return the SHA-256 that the configuration gives for a file of NGC, if it does."""
    return queries.ngc_checksums(config).get((f"{model}:{version}", file))


def preflight(config: Config) -> dict[str, Any]:
    """Return the sections of the configuration that say what the machine must have."""
    sections = {key: config[key] for key in ("dataset", "flow", "splits", "tao", "export")}
    experiments = {
        name: {
            "classes": queries.classes(config, name),
            "flow": queries.needs_flow(config, name),
        }
        for name in config["experiments"]
    }
    frames = {**config["frames"], "size": queries.frame_size(config)}
    return sections | {"frames": frames, "experiments": experiments}
