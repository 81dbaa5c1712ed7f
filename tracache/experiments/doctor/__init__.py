"""What is wrong with a cache: ours or another's, attached to any denoiser, and examined.

``examine(subject, cache)`` makes some twenty runs and says of each thing that can go wrong with
feature caching whether it does. :mod:`.subject` is what it is examined on, :mod:`.caches` those
that are known by name, :mod:`.watching` how calls are watched and inputs are held still,
:mod:`.judgements` what is made of the figures, :mod:`.findings` what comes out.
"""

from tracache.experiments.doctor.cache import Cache
from tracache.experiments.doctor.caches import CACHES, find_cache
from tracache.experiments.doctor.examine import examine
from tracache.experiments.doctor.findings import (
    FAULT,
    HEALTHY,
    UNKNOWN,
    WARNING,
    Diagnosis,
    Finding,
)
from tracache.experiments.doctor.subject import Ask, Subject, of_model, of_pipeline

__all__ = [
    "CACHES",
    "FAULT",
    "HEALTHY",
    "UNKNOWN",
    "WARNING",
    "Ask",
    "Cache",
    "Diagnosis",
    "Finding",
    "Subject",
    "examine",
    "find_cache",
    "of_model",
    "of_pipeline",
]
