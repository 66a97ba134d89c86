"""Where objects go: Alibaba Cloud OSS, and a destination in memory for tests."""
