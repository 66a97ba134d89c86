"""Numbers in sentences."""


def counted(number: int, noun: str) -> str:
    """`1 object`, `0 objects`, `12345 objects`; of nouns whose plural ends with s."""
    return f"{number} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """The noun as it stands behind that number."""
    return noun if number == 1 else f"{noun}s"
