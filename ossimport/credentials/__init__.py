"""Who signs the requests to one end of a job: fixed keys, or some that expire and are renewed."""

from ossimport.credentials.keys import Credentials, Keys
from ossimport.credentials.providers import keys_of

__all__ = ["Credentials", "Keys", "keys_of"]
