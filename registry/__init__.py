"""What the literature says: records of papers, read and checked. Never imports torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.catalog import Catalog, check_catalog, check_files, load_catalog
    from registry.errors import Fault, FaultyFile, NetcompressError, UserError
    from registry.record import Claim, Paper
    from registry.survey import Survey, read_survey, survey_markdown
    from registry.vocabulary import Vocabulary, load_vocabulary

_HOMES = {
    "Catalog": "catalog",
    "Claim": "record",
    "Fault": "errors",
    "FaultyFile": "errors",
    "NetcompressError": "errors",
    "Paper": "record",
    "Survey": "survey",
    "UserError": "errors",
    "Vocabulary": "vocabulary",
    "check_catalog": "catalog",
    "check_files": "catalog",
    "load_catalog": "catalog",
    "load_vocabulary": "vocabulary",
    "read_survey": "survey",
    "survey_markdown": "survey",
}

__all__ = [
    "Catalog",
    "Claim",
    "Fault",
    "FaultyFile",
    "NetcompressError",
    "Paper",
    "Survey",
    "UserError",
    "Vocabulary",
    "check_catalog",
    "check_files",
    "load_catalog",
    "load_vocabulary",
    "read_survey",
    "survey_markdown",
]


def __getattr__(name: str) -> Any:
    """Imports on first use: ``registry.errors`` alone must stay quick to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'registry' has no attribute {name!r}")
    return getattr(importlib.import_module(f"registry.{_HOMES[name]}"), name)
