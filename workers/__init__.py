"""Celery glue: everything a worker does that is not in the `ossimport` package."""
