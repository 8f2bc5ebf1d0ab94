"""Metadata of a data set and its files: feature dictionary, datapackage.json, Croissant, dataset card."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from afdp_exporter.patterns.features.extraction import TRAITS_VERSION
from afdp_exporter.training_data.dataset import SCHEMA_VERSION, Dataset, Feature, Kind, Role, Split

NAME = "afdp-deployments"
TITLE = "What deployments did to production"
_TYPES = {Kind.TEXT: "sc:Text", Kind.NUMBER: "sc:Float", Kind.BOOLEAN: "sc:Boolean", Kind.TIME: "sc:DateTime"}
_MEDIA = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv", "jsonl": "application/jsonl"}
ROLES = {
    Role.ID: ("id_", "who and when; no features"),
    Role.CONTEXT: ("ctx_", "the state of the system, known before"),
    Role.INPUT: ("chg_", "the change itself, known before"),
    Role.OUTCOME: ("out_", "what was measured, known after"),
    Role.LABEL: ("label", "what became of it"),
}
"""Prefix and description of the columns of each role."""
_CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

CARD = """---
pretty_name: {title}
size_categories: [{size}]
task_categories: [tabular-classification, tabular-regression]
tags: [deployments, observability, time-series]
configs:
- config_name: default
  data_files:
{paths}
---

# {title}

{summary}

## Composition
{rows} deployments ({parts}), laid out on {date}.
Schema {schema}, traits version {traits}.

| columns | number | what |
|---|---|---|
{roles}

Every column is described in `feature_dictionary.json`. What is unknown is empty, never zero.

## Splits
By time, never at random, cut at {cuts}.
{left_out} deployments within {embargo} before a cut are left out, so that no measurement of one split
reaches into the next.

## Use
Only `ctx_` and `chg_` columns may feed a model that predicts `label` or `out_` columns; everything else is known too
late or stands for a single deployment. Labels of the source `rule` were derived from the `out_` columns.

## Collection
Deployments as their senders announced them; impacts as measured from production metrics, with intervals from the
5 % to the 95 % point. An effect that is missing was not measured; an effect that is not `attributed` may be chance.

## Privacy
People are hashed with a salt that stays where the data came from. Free text is {wordy}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One written split: `path` beside the metadata, `format` parquet, csv or jsonl."""

    split: Split
    path: str
    format: str
    sha256: str
    size: int


def feature_dictionary(data: Dataset) -> list[dict[str, object]]:
    """Every column with its type, unit, role, and when it is known."""
    return [feature.entry() for feature in data.features]


def datapackage(data: Dataset, files: Sequence[File], *, created: datetime) -> dict[str, object]:
    """The content of datapackage.json (Data Package, Table Schema)."""
    return {
        "name": NAME,
        "title": TITLE,
        "version": SCHEMA_VERSION,
        "created": created.isoformat(),
        "description": _summary(data),
        "resources": [_resource(data, file) for file in files],
    }


def croissant(data: Dataset, files: Sequence[File], *, created: datetime, license_url: str) -> dict[str, object]:
    """The content of croissant.json (MLCommons Croissant 1.0); CSV and parquet only."""
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": NAME,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": _summary(data),
        "license": license_url,
        "url": "https://schema.org/Dataset",
        "version": SCHEMA_VERSION,
        "datePublished": created.date().isoformat(),
        "citeAs": TITLE,
        "creator": {"@type": "sc:Organization", "name": "afdp-exporter"},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": f"{file.split}-file",
                "name": f"{file.split}-file",
                "contentUrl": file.path,
                "encodingFormat": "application/x-parquet" if file.format == "parquet" else _MEDIA[file.format],
                "contentSize": f"{file.size} B",
                "sha256": file.sha256,
            }
            for file in files
        ],
        "recordSet": [_records(data, file) for file in files],
    }


def card(data: Dataset, files: Sequence[File], *, created: datetime) -> str:
    """The dataset card: front matter as dataset hubs read it, then what a user has to know."""
    counts = {file.split: sum(name == file.split for name in data.columns["split"]) for file in files}
    paths = "\n".join(f"  - split: {file.split}\n    path: {file.path}" for file in files)
    parts = ", ".join(f"{split} {count}" for split, count in counts.items())
    cuts = " and ".join(cut.isoformat() for cut in data.cuts) or "no moment (too few rows)"
    wordy = any(feature.name == "id_description" for feature in data.features)
    roles = "\n".join(
        f"| `{prefix}` | {sum(feature.role is role for feature in data.features)} | {text} |"
        for role, (prefix, text) in ROLES.items()
    )
    return CARD.format(
        title=TITLE,
        size=_size(data.rows),
        paths=paths,
        summary=_summary(data),
        rows=data.rows,
        parts=parts,
        date=created.date().isoformat(),
        schema=SCHEMA_VERSION,
        traits=TRAITS_VERSION,
        roles=roles,
        cuts=cuts,
        left_out=data.left_out,
        embargo=data.embargo,
        wordy="included, as was asked for" if wordy else "left out",
    )


def _summary(data: Dataset) -> str:
    return (
        f"{data.rows} deployments with the state of the system before each, the change that was made, "
        "and what it did to the metrics."
    )


def _size(rows: int) -> str:
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in limits if rows < limit), "n>1M")


def _resource(data: Dataset, file: File) -> dict[str, object]:
    return {
        "name": str(file.split),
        "path": file.path,
        "format": file.format,
        "mediatype": _MEDIA[file.format],
        "bytes": file.size,
        "hash": f"sha256:{file.sha256}",
        "schema": {
            "fields": [_field(feature) for feature in data.features],
            "primaryKey": ["id_deployment"],
            "missingValues": [""],
        },
    }


def _field(feature: Feature) -> dict[str, object]:
    found: dict[str, object] = {
        "name": feature.name,
        "type": str(feature.kind),
        "description": feature.description,
        "afdp:role": str(feature.role),
    }
    if feature.unit is not None:
        found["unit"] = feature.unit
    if not feature.nullable:
        found["constraints"] = {"required": True}
    return found


def _records(data: Dataset, file: File) -> dict[str, object]:
    return {
        "@type": "cr:RecordSet",
        "@id": str(file.split),
        "name": str(file.split),
        "key": {"@id": f"{file.split}/id_deployment"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{file.split}/{feature.name}",
                "name": feature.name,
                "description": feature.description,
                "dataType": _TYPES[feature.kind],
                "source": {"fileObject": {"@id": f"{file.split}-file"}, "extract": {"column": feature.name}},
            }
            for feature in data.features
        ],
    }
