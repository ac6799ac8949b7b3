"""The section `tracking`: where runs are recorded besides the results' folder."""

from typing import Annotated

from pydantic import Field

from actionrec.config.models.section import PathText, Section, Shown


class TrackingConfig(Section):
    """Where runs are recorded besides the results' folder. No result depends on it."""

    mlflow: Annotated[
        str | None, Field(min_length=1), Shown("a folder, or an address such as `http://...`")
    ] = None
    """Record settings, figures and the places of files of each run with MLflow.

    The package `mlflow-skinny` or `mlflow` must be installed where Snakemake runs, see
    [the report](../docs/report.md#mlflow).
    """
    publish: Annotated[PathText | None, Shown("`s3://bucket/prefix`")] = None
    """Where `snakemake publish` copies results: [where](../docs/object-stores.md#results).

    It copies models, exports, metrics, predictions, tables and pages, and no videos and frames.
    """
