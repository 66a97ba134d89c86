"""What a dry run says: everything that was found is in exactly one place."""

from hypothesis import given
from hypothesis import strategies as st

from ossimport.model import ObjectInfo, Scanned, Verdict
from ossimport.planner import Batch, TaskLimits, plan
from ossimport.report.forecast import Forecast

LARGEST = 10**13


def forecast(*batches: Batch) -> Forecast:
    made = Forecast("job", "in/", parts_above=1000, largest=LARGEST)
    for batch in batches:
        made.add(batch)
    return made


def batches(entries: list[Scanned]) -> list[Batch]:
    return list(plan(entries, limits=lambda: TaskLimits(3, 10**15), clock=lambda: 0.0))


def entry(key: str, size: int = 1, **more: object) -> Scanned:
    return Scanned(ObjectInfo(key, size), key, **more)  # type: ignore[arg-type]


def test_each_kind_is_told_with_codes_examples_and_cures() -> None:
    said = forecast(
        *batches(
            [
                entry("small", 999),
                entry("large", 5_000_000, archived="GLACIER"),
                entry("bad\nname", 7),
                entry("huge", LARGEST + 1),
                entry("tmp", 3, verdict=Verdict.EXCLUDED, code="NotIncluded"),
                entry(
                    "dir", 0, verdict=Verdict.FAILED, code="EACCES", message="dir: no permission"
                ),
            ]
        )
    )
    text = said.text(complete=True)
    assert "Job job would, if it were submitted now:" in text
    assert "  copy  2 objects, 5.0 MB in about 2 tasks\n" in text
    assert "of these 1 object, 5.0 MB in parts" in text
    assert "    NotIncluded: 1 object, 3 B, such as tmp\n" in text
    assert r"InvalidKey: 1 object, 7 B, such as bad\x0aname" in text
    assert "cure: let the user that runs ossimport read the source" in text
    assert "  find archived 1 object, 5.0 MB\n    GLACIER: 1 object, 5.0 MB, such as large" in text
    assert "    below 1.0 kB                  1      999 B  ####" in text
    assert "(only a part was listed)" in said.text(complete=False)
    assert said.failing == 3
    data = said.as_json(complete=True)
    assert data["toRestore"]["GLACIER"]["examples"] == ["large"]
    assert data["copy"] == {
        "objects": 2,
        "bytes": 5_000_999,
        "examples": ["small", "large"],
        "tasks": 2,
    }


def test_nothing_found_is_told_too() -> None:
    assert "  list  0 objects, 0 B\n  copy  0 objects" in forecast().text(complete=True)


ENTRIES = st.builds(
    entry,
    st.text(max_size=5),
    st.integers(0, 2 * LARGEST),
    verdict=st.sampled_from([Verdict.COPY, Verdict.EXCLUDED, Verdict.FAILED]),
    code=st.sampled_from(["A", "B"]),
    archived=st.sampled_from(["", "GLACIER"]),
)


@given(st.lists(ENTRIES))
def test_the_sum_closes_whatever_is_found(entries: list[Scanned]) -> None:
    data = forecast(*batches(entries)).as_json(complete=True)
    for what in ("objects", "bytes"):
        terms = [data["copy"], *data["excluded"].values(), *data["failing"].values()]
        assert data["listed"][what] == sum(each[what] for each in terms)
        assert sum(each[what] for each in data["sizes"]) == data["copy"][what]
    assert data["listed"]["objects"] == len(entries)
    archived = [e for e in entries if e.archived and e.verdict is Verdict.COPY]
    assert sum(group["objects"] for group in data["toRestore"].values()) == len(archived)
    assert len(forecast(*batches(entries)).text(complete=True)) > 0
