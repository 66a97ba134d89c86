"""The record of plan, claims and outcomes: in Redis, and in memory for tests."""
