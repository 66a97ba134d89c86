"""Moves objects into Alibaba Cloud OSS and proves that every one arrived."""

__version__ = "3.0.0"
