"""What OSS gets of what came with an object, in a job that says nothing of it."""

from ossimport.config.meta_map import META
from ossimport.fidelity.arriving import Arriving, Keep, arriving
from ossimport.model import Origin
from ossimport.sources.base import Payload


def arrived(about: Payload | Origin) -> Arriving:
    """Headers by OSS's names, and the names of what is lost."""
    prefix = META if isinstance(about, Origin) else about.meta_prefix
    return arriving(Keep(), prefix, about.headers)


def at_oss(about: Payload | Origin) -> dict[str, str]:
    """Headers by OSS's names."""
    return arrived(about).headers
