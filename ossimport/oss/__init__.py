"""The protocol of OSS, for both ends of a job: signatures, requests, listings and refusals."""
