"""The sandbox's index and data files, against a model of both."""

import contextlib
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ossimport.sandbox.attributes import restore_object
from ossimport.sandbox.call import Call
from ossimport.sandbox.files import Content, Incoming, Piece, cut
from ossimport.sandbox.reading import get_object, head_object
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import Request
from ossimport.sandbox.store import Bucket, Entry, Store, Traits
from ossimport.sandbox.uploads import Part, Uploads

SMALL = 8  # bytes; the model's bodies are tiny
ENTRY = Entry("Normal", 0, "", 0, 0, "Standard", Traits())
KEYS = st.text(alphabet="ab/é\U0001f600", min_size=1, max_size=5)


def test_an_archived_object_is_restored_after_a_while_and_not_before(tmp_path: Path) -> None:
    request = Request("POST", "b", b"k", {}, {}, "127.0.0.1")
    with closing(Store(tmp_path)) as store:
        store.put("b", b"k", replace(ENTRY, storage_class="Archive"))

        def at(now: float) -> Call:
            return Call(store, Uploads(store), request, "cn-hangzhou", now)

        assert restore_object(at(1000.0)).status == 202
        assert head_object(at(1000.9)).headers["x-oss-restore"] == 'ongoing-request="true"'
        with pytest.raises(Refusal, match="RestoreAlreadyInProgress"):
            restore_object(at(1000.9))
        with pytest.raises(Refusal, match="InvalidObjectState"):
            get_object(at(1000.9))
        assert get_object(at(1001.0)).status == 200
        assert restore_object(at(1001.0)).status == 200


def pages(
    store: Store, prefix: bytes, after: bytes, delimiter: bytes, limit: int
) -> list[tuple[bytes, bool]]:
    """All entries of a listing, page by page, each with whether it is a common prefix."""
    found: list[tuple[bytes, bool]] = []
    while True:
        page = store.page("b", prefix, after, delimiter, limit)
        entries = [(o.key, False) for o in page.objects] + [(p, True) for p in page.prefixes]
        assert len(entries) <= limit
        found += sorted(entries)
        if not page.last:
            return found
        assert page.last == max(entries)[0]
        after = page.last


@given(
    keys=st.sets(KEYS, max_size=12),
    prefix=st.text(alphabet="ab/é", max_size=2),
    after=st.text(alphabet="ab/é", max_size=3),
    delimiter=st.sampled_from(["", "/", "b", "a/"]),
    limit=st.integers(1, 5),
)
def test_a_listing_is_the_sorted_keys_grouped(
    keys: set[str], prefix: str, after: str, delimiter: str, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as directory, closing(Store(Path(directory))) as store:
        with store.change() as owners:
            for key in keys:
                store.put_within(owners, "b", key.encode(), ENTRY)
        expected = set()
        for key in keys:
            if key.startswith(prefix) and key.encode() > after.encode():
                cut_at = key.find(delimiter, len(prefix)) if delimiter else -1
                name = key[: cut_at + len(delimiter)] if cut_at >= 0 else key
                if name.encode() > after.encode():
                    expected.add((name.encode(), cut_at >= 0))
        parts = (prefix.encode(), after.encode(), delimiter.encode())
        assert pages(store, *parts, limit) == sorted(expected)


@given(
    lengths=st.lists(st.integers(1, 5), max_size=5),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
)
def test_cut_pieces_hold_just_the_range(lengths: list[int], start: int, length: int) -> None:
    pieces = [Piece(str(n), 7, size) for n, size in enumerate(lengths)]

    def places(of: list[Piece]) -> list[tuple[str, int]]:
        return [(p.file, p.offset + n) for p in of for n in range(p.length)]

    assert places(list(cut(pieces, start, length))) == places(pieces)[start : start + length]


class StoreMachine(RuleBasedStateMachine):
    """Writes, copies, uploads, deletes, crashes; the objects have their bytes, the disk no more."""

    keys = st.sampled_from([b"a", b"b"])
    bodies = st.binary(max_size=3 * SMALL)

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.objects: dict[bytes, bytes] = {}
        self.uploads: dict[str, tuple[bytes, dict[int, bytes]]] = {}
        self.open()

    def open(self) -> None:
        self.store = Store(Path(self.directory.name))
        self.table = Uploads(self.store)
        self.reading: list[tuple[Content, bytes]] = []

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def incoming(self, body: bytes, small: int) -> Incoming:
        incoming = Incoming(self.store.files, small=small)
        for byte in body:
            incoming.write(bytes([byte]))
        incoming.close()
        return incoming

    @rule(key=keys, body=bodies)
    def put(self, key: bytes, body: bytes) -> None:
        incoming = self.incoming(body, SMALL)
        self.store.put("b", key, replace(ENTRY, size=len(body), pieces=incoming.pieces))
        incoming.keep()
        self.objects[key] = body

    @rule(key=keys, body=bodies)
    def break_off(self, key: bytes, body: bytes) -> None:
        incoming = self.incoming(body, SMALL)
        incoming.discard()

    @rule(key=keys, body=bodies)
    def fail(self, key: bytes, body: bytes) -> None:
        incoming = self.incoming(body, SMALL)
        entry = replace(ENTRY, size=len(body), pieces=incoming.pieces)
        with contextlib.suppress(ZeroDivisionError), self.store.change() as owners:
            self.store.put_within(owners, "b", key, entry)
            raise ZeroDivisionError
        incoming.discard()

    @rule(source=keys, copy=keys)
    def copy(self, source: bytes, copy: bytes) -> None:
        if source in self.objects:
            self.store.put("b", copy, self.store.get("b", source), shared=True)
            self.objects[copy] = self.objects[source]

    @rule(key=keys, body=bodies)
    def append(self, key: bytes, body: bytes) -> None:
        if key in self.objects:
            incoming, entry = self.incoming(body, 0), self.store.get("b", key)
            longer = replace(
                entry, size=entry.size + len(body), pieces=entry.pieces + incoming.pieces
            )
            self.store.put("b", key, longer)
            incoming.keep()
            self.objects[key] += body

    @rule(gone=st.sets(keys))
    def delete(self, gone: set[bytes]) -> None:
        self.store.delete("b", gone)
        for key in gone:
            self.objects.pop(key, None)

    @rule(key=keys)
    def begin_upload(self, key: bytes) -> None:
        self.uploads[self.table.begin("b", key, 0, "Standard", Traits())] = (key, {})

    @rule(data=st.data(), number=st.integers(1, 3), body=bodies)
    def part(self, data: st.DataObject, number: int, body: bytes) -> None:
        if self.uploads:
            upload_id = data.draw(st.sampled_from(list(self.uploads)))
            incoming = self.incoming(body, 0)
            self.table.put_part(upload_id, Part(number, "", 0, len(body), 0, incoming.pieces))
            incoming.keep()
            self.uploads[upload_id][1][number] = body

    @rule(data=st.data(), number=st.integers(1, 3), source=keys, start=st.integers(0, 9))
    def part_copy(self, data: st.DataObject, number: int, source: bytes, start: int) -> None:
        if self.uploads and source in self.objects:
            upload_id = data.draw(st.sampled_from(list(self.uploads)))
            pieces = cut(self.store.get("b", source).pieces, start, 5)
            part = Part(number, "", 0, sum(p.length for p in pieces), 0, pieces)
            self.table.put_part(upload_id, part, shared=True)
            self.uploads[upload_id][1][number] = self.objects[source][start : start + 5]

    @rule(data=st.data(), chosen=st.sets(st.integers(1, 3)))
    def complete(self, data: st.DataObject, chosen: set[int]) -> None:
        if self.uploads:
            upload_id = data.draw(st.sampled_from(list(self.uploads)))
            key, bodies = self.uploads.pop(upload_id)
            parts = [p for p in self.table.parts(upload_id) if p.number in chosen]
            pieces = tuple(piece for part in parts for piece in part.pieces)
            size = sum(piece.length for piece in pieces)
            self.table.complete("b", key, upload_id, replace(ENTRY, size=size, pieces=pieces))
            self.objects[key] = b"".join(bodies[n] for n in sorted(chosen & set(bodies)))

    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        if self.uploads:
            upload_id = data.draw(st.sampled_from(list(self.uploads)))
            key, _ = self.uploads.pop(upload_id)
            self.table.abort("b", key, upload_id)

    @rule(key=keys)
    def start_reading(self, key: bytes) -> None:
        if key in self.objects:
            pieces = self.store.get("b", key).pieces
            self.reading.append((Content(self.store.files, pieces), self.objects[key]))

    @rule()
    def end_reading(self) -> None:
        for content, expected in self.reading:
            assert b"".join(content.chunks(3)) == expected
            content.close()
        self.reading.clear()

    @rule(body=bodies)
    def crash(self, body: bytes) -> None:
        self.incoming(body, SMALL)  # was on its way
        self.store.close()
        self.open()

    @invariant()
    def every_object_has_its_bytes(self) -> None:
        for key in (b"a", b"b"):
            entry = self.store.find("b", key)
            assert (entry is None) == (key not in self.objects)
            if entry:
                with closing(Content(self.store.files, entry.pieces)) as content:
                    assert b"".join(content.chunks(2)) == self.objects[key]

    @invariant()
    def nothing_else_is_on_disk(self) -> None:
        if self.reading:
            return
        rows = self.store.db.execute("SELECT pieces FROM objects UNION SELECT pieces FROM parts")
        named = "".join(text for (text,) in rows)
        data = Path(self.directory.name) / "data"
        files = [str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()]
        bodies = [f"@{row[0]}" for row in self.store.db.execute("SELECT id FROM bodies")]
        assert [name for name in files + bodies if f'"{name}"' not in named] == []
        shares = self.store.db.execute("SELECT file FROM shares")
        assert [name for (name,) in shares if f'"{name}"' not in named] == []


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=200, stateful_step_count=30)


def test_buckets_are_kept(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.put_bucket(Bucket("b", 1, "private", "IA"))
        store.put("b", b"k", ENTRY)
        with pytest.raises(Refusal, match="BucketNotEmpty"):
            store.delete_bucket("b")
    with closing(Store(tmp_path)) as store:
        assert store.bucket("b") == Bucket("b", 1, "private", "IA")
        store.delete("b", [b"k"])
        store.delete_bucket("b")
        with pytest.raises(Refusal, match="NoSuchBucket"):
            store.bucket("b")
    with closing(Store(tmp_path)) as store:
        assert store.buckets() == []


def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    traits = Traits({"content-type": "a"}, "private", {"t": "ä"}, "target ü", 12.5)
    entry = Entry("Symlink", 5, "ABC", (1 << 64) - 1, 7, "Archive", traits, (Piece("x", 1, 2),))
    with closing(Store(tmp_path)) as store:
        store.put("b", "ü/ü".encode(), entry)
        assert store.get("b", "ü/ü".encode()) == entry
