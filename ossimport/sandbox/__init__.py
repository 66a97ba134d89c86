"""A local OSS endpoint, to try a migration and to test against. It is not a storage product."""
