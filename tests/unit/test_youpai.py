"""UPYUN: signatures, pages that lie, refusals, the CDN, and what travels with an object."""

import asyncio
import hashlib
import io
import json
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
import requests
import upyun
from hypothesis import given
from hypothesis import strategies as st
from upyun.modules.sign import make_signature

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.listing import MOST_EMPTY
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.sources.base import Checksum
from ossimport.sources.lanes.level_walk import Child, LevelPage, LevelScan
from ossimport.sources.youpai import UpyunSigner, YoupaiSource
from ossimport.transport import Endpoint
from tests.contract.at_oss import at_oss
from tests.contract.test_source_youpai import access_to
from tests.servers.youpai import LAST_PAGE, Answer, YoupaiServer

T = TypeVar("T")
ALL = Lane()


@pytest.fixture
def server() -> Iterator[YoupaiServer]:
    with YoupaiServer().running() as running:
        yield running


def opened(server: YoupaiServer, prefix: str = "", **settings: Any) -> YoupaiSource:
    page_size = settings.pop("page_size", 2)
    return YoupaiSource(access_to(server, **settings), prefix, page_size=page_size)


def run(source: YoupaiSource, work: Callable[[YoupaiSource], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        try:
            return await work(source)
        finally:
            await source.close()

    return asyncio.run(main())


def keys_of(source: YoupaiSource) -> list[str]:
    return [entry.info.key for entry in source.scan(ALL)]


# -- signatures ------------------------------------------------------------------------------------

words = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=20)


@given(st.sampled_from(["GET", "HEAD"]), words, words, words, st.integers(0, 2**32))
def test_we_sign_as_the_sdk_does(
    method: str, operator: str, password: str, path: str, now: int
) -> None:
    signed = UpyunSigner(operator, password).sign(method, f"/s/{path}", now)
    assert signed["authorization"] == make_signature(
        username=operator,
        password=hashlib.md5(password.encode()).hexdigest(),
        method=method,
        uri=f"/s/{path}",
        date=signed["date"],
    )


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_the_vendor_s_sdk_can_use_the_server(
    server: YoupaiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests.adapters, "DEFAULT_RETRIES", 0)  # the SDK changes it for all
    up = upyun.UpYun(
        server.service,
        server.operator,
        "pass word",
        timeout=60,
        endpoint=f"127.0.0.1:{server.port}",
    )
    up.mkdir("/a/empty/")
    up.put("/a/\u4e2d b~.txt", b"body", checksum=True, headers={"x-upyun-meta-x": "1"})
    file = io.BytesIO()
    up.get("/a/\u4e2d b~.txt", file)
    assert file.getvalue() == b"body"
    assert up.getinfo("/a/\u4e2d b~.txt")["file-size"] == "4"
    assert [item["name"] for item in up.getlist("/a/")] == ["empty", "\u4e2d b~.txt"]
    page = up.get_list_with_iter("/a/", limit=1)
    assert [item["type"] for item in page["files"]] == ["F"]
    assert keys_of(opened(server)) == ["a/\u4e2d b~.txt"]
    wrong = upyun.UpYun(
        server.service, server.operator, "wrong", timeout=60, endpoint=f"127.0.0.1:{server.port}"
    )
    with pytest.raises(upyun.UpYunServiceException):
        wrong.getinfo("/a/\u4e2d b~.txt")
    up.up_rest.hp.session.close()
    wrong.up_rest.hp.session.close()


def test_secrets_are_not_shown(server: YoupaiServer) -> None:
    assert "pass word" not in repr(access_to(server))


# -- objects ---------------------------------------------------------------------------------------

ODD = [
    "a b",
    "a+b",
    "a%20b",
    "100%",
    "..",
    ".",
    "d/./x",
    "q?#&=",
    "\u4e2d/\U0001f389",
    "~t",
    "\\",
    "'\"",
]


@pytest.mark.parametrize("cdn", [False, True])
def test_odd_names_arrive(server: YoupaiServer, cdn: bool) -> None:
    for key in ODD:
        server.put(f"in/{key}", key.encode())
    server.folders.discard("in/./")
    server.folders.discard("in/d/./")

    with YoupaiServer().running() as edge:
        edge.is_cdn, edge.files, edge.folders = True, server.files, server.folders
        where = Endpoint("http", "127.0.0.1", edge.port) if cdn else None

        async def reads(source: YoupaiSource) -> None:
            for key in ODD:
                info = await source.stat(key)
                assert bytes((await source.read(info, 0, info.size)).body) == key.encode()
                assert bytes((await source.read(info, 0, 1)).body) == key.encode()[:1]

        run(opened(server, "in/", cdn=where), reads)
        assert bool([ask for ask in edge.asks if ask.method == "GET"]) is cdn
        assert all("authorization" not in ask.headers for ask in edge.asks)
        assert bool([a for a in server.asks if a.method == "GET" and not a.is_list]) is not cdn


def test_what_the_service_is_asked(server: YoupaiServer) -> None:
    server.put("a", b"body")
    (entry,) = opened(server).scan(ALL)
    assert [ask.headers["x-list-order"] for ask in server.asks] == ["asc"]
    with YoupaiServer().running() as edge:
        edge.is_cdn, edge.files = True, server.files

        async def work(source: YoupaiSource) -> None:
            info = await source.stat("a")
            await source.read(info, 0, 4)
            await source.read(info, 0, 0)

        run(opened(server, cdn=Endpoint("http", "127.0.0.1", edge.port)), work)
        run(opened(server), work)
        asks = [*server.asks, *edge.asks]
        assert [ask.method for ask in edge.asks] == ["GET"]
        assert not [ask for ask in asks if "if-match" in ask.headers]


def test_what_travels_with_an_object(server: YoupaiServer) -> None:
    server.put(
        "a",
        b"body",
        content_type="text/x",
        x_upyun_meta_cache_control="max-age=9",
        x_upyun_meta_content_disposition="attachment",
        x_upyun_meta_owner="me",
    )
    (entry,) = opened(server).scan(ALL)
    payload = run(opened(server), lambda source: source.read(entry.info, 0, 4))
    assert at_oss(payload) == {
        "Content-Type": "text/x",
        "Cache-Control": "max-age=9",
        "Content-Disposition": "attachment",
        "x-oss-meta-owner": "me",
    }
    assert payload.checksum == Checksum("md5", hashlib.md5(b"body").hexdigest())


def test_a_part_has_no_checksum_of_the_whole(server: YoupaiServer) -> None:
    server.put("a", b"body")
    info = ObjectInfo("a", 4, 1_600_000_000 * 10**9)
    assert run(opened(server), lambda source: source.read(info, 1, 2)).checksum is None


def test_a_directory_is_no_object(server: YoupaiServer) -> None:
    server.put("a/b", b"")
    with pytest.raises(Permanent) as caught:
        run(opened(server), lambda source: source.stat("a"))
    assert caught.value.code == "NotFound"


def test_older_nodes_list_in_lines(server: YoupaiServer) -> None:
    server.speaks_json = False
    for key in ("a\tb", "b", "{c", "d/e", "d/f", "d/g"):
        server.put(key, b"x", 5)
    entries = list(opened(server).scan(ALL))
    assert [e.info for e in entries] == [
        ObjectInfo(key, 1, 5 * 10**9) for key in ("a\tb", "b", "d/e", "d/f", "d/g", "{c")
    ]


def test_a_truncated_body_is_tried_again(server: YoupaiServer) -> None:
    server.put("a", b"body")
    info = run(opened(server), lambda source: source.stat("a"))
    server.faults = lambda ask: Answer(200, b"bo", {"content-length": "4"})
    with pytest.raises(Transient) as caught:
        run(opened(server), lambda source: source.read(info, 0, 4))
    assert caught.value.key == "a"


# -- refusals --------------------------------------------------------------------------------------


def checked(source: YoupaiSource) -> StorageError:
    with pytest.raises(StorageError) as caught:
        source.check()
    with pytest.raises(type(caught.value)) as again:
        list(source.scan(ALL))
    assert again.value.code == caught.value.code
    assert (caught.value.op, again.value.op) == ("check", "scan")
    return caught.value


@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"operator": "nobody"}, "Unauthorized", "srcAccessKey"),
        ({"password": "wrong"}, "SignatureDoesNotMatch", "srcSecretKey"),
        ({"service": "other"}, "Unauthorized", "srcBucket"),
    ],
)
def test_wrong_settings_stop_the_job_with_a_cure(
    server: YoupaiServer, changed: dict[str, str], code: str, cure: str
) -> None:
    error = checked(opened(server, **changed))
    assert (type(error), error.code) == (Fatal, code)
    assert "Cure: " in str(error)
    assert cure in str(error)
    assert error.request_id == "0a1b2c"


@pytest.mark.parametrize(
    ("answer", "kind", "code", "words"),
    [
        (Answer(429, b"", {"retry-after": "7"}), Transient, "Throttled", "isDownloadFromCdn"),
        (Answer(503, b"<h1>503 x</h1>System Error"), Transient, "ServerError", "System Error"),
        (Answer(403, b'{"code":40300001,"msg":"user blocked"}'), Fatal, "Blocked", "console"),
        (Answer(403, b"<h1>403 F</h1>Not Access"), Fatal, "AccessDenied", "right to read"),
        (Answer(404, b"<h1>404</h1>bucket not exist"), Fatal, "NoSuchBucket", "srcBucket"),
        (
            Answer(401, b"<h1>401 U</h1>Sign error (sign = md5(...)) , Date offset error!"),
            Transient,
            "RequestTimeTooSkewed",
            "clock",
        ),
        (Answer(302, b"", {"location": "http://x/"}), Fatal, "HTTP302", "srcDomain"),
        (Answer(404, b""), Fatal, "NotFound", "srcDomain"),
        (Answer(404, b"<h1>404 Not Found</h1><hr>nginx"), Fatal, "NotFound", "srcDomain"),
        (Answer(200, b"<html>hello"), Transient, "BadResponse", "srcDomain"),
        (Answer(200, b'{"files": [{"name": 5}]}'), Transient, "BadResponse", "srcDomain"),
    ],
)
def test_refusals_say_what_to_do(
    server: YoupaiServer, answer: Answer, kind: type[StorageError], code: str, words: str
) -> None:
    server.faults = lambda ask: answer
    error = checked(opened(server))
    assert (type(error), error.code) == (kind, code)
    assert words in str(error)
    if isinstance(error, Transient) and code == "Throttled":
        assert error.retry_after == 7


def test_a_wrong_clock_is_named(server: YoupaiServer) -> None:
    source = YoupaiSource(access_to(server), "", clock=lambda: 1_000_000_000)
    error = checked(source)
    assert (type(error), error.code) == (Transient, "RequestTimeTooSkewed")
    assert "clock" in str(error)


def test_a_cdn_s_refusal_is_about_one_object(server: YoupaiServer) -> None:
    server.put("a", b"x")
    with YoupaiServer().running() as edge:
        edge.faults = lambda ask: Answer(401, b"token sign error")
        source = opened(server, cdn=Endpoint("http", "127.0.0.1", edge.port))
        with pytest.raises(Permanent, match="hotlinking") as caught:
            run(source, lambda source: source.read(ObjectInfo("a", 1), 0, 1))
        assert caught.value.code == "AccessDenied"
        with pytest.raises(Fatal, match="hotlinking"):
            opened(server, cdn=Endpoint("http", "127.0.0.1", edge.port)).check()


def test_a_check_reads_a_byte_from_below(server: YoupaiServer) -> None:
    server.put("a/b/c", b"xy")
    opened(server).check()
    reads = [ask for ask in server.asks if not ask.is_list]
    assert [(ask.target, ask.headers["range"]) for ask in reads] == [("/photos/a/b/c", "bytes=0-0")]
    opened(server, "none/").check()


# -- pages -----------------------------------------------------------------------------------------


class Pages:
    """Directories whose pages a test writes, each a list of children and the next marker."""

    def __init__(self, pages: dict[tuple[str, str], tuple[list[Child], str]]) -> None:
        self._pages = pages

    def __call__(self, directory: str, marker: str) -> "Future[LevelPage]":
        answer: Future[LevelPage] = Future()
        children, after = self._pages.get((directory, marker), ([], ""))
        answer.set_result(LevelPage(children, after))
        return answer


def files(*names: str) -> list[Child]:
    return [Child(name, False) for name in names]


@pytest.mark.parametrize(
    "pages",
    [
        {"": (files("a", "b"), "1"), "1": (files("c"), "1")},
        {"": (files("a", "b"), "1"), "1": (files("c"), "2"), "2": (files("d"), "1")},
        {"": (files("a", "b"), "1"), "1": (files("a", "b"), "2")},
        {"": (files("a", "c"), "1"), "1": (files("b"), "")},
        {"": (files("a", "c"), "1"), "1": (files("e", "d"), "")},
        {"": (files("b", "a"), "1"), "1": (files("c", "a"), "")},
        {"": (files("a", "a"), "")},
        {"": (files("a/b"), "")},
        {"": (files(""), "")},
        {"": ([], "1"), "1": ([], "2"), "2": ([], "3"), "3": ([], "1")},
        {"": (files("c", "a"), "1"), "1": (files("d"), "2"), "2": (files("b"), "1")},
    ],
)
def test_a_listing_that_leads_nowhere_stops_the_job(
    pages: dict[str, tuple[list[Child], str]],
) -> None:
    scan = LevelScan(Pages({("", marker): page for marker, page in pages.items()}), ALL, 1)
    with pytest.raises(Fatal) as caught:
        list(scan)
    assert caught.value.code == "ListingLoops"
    assert "Cure: " in str(caught.value)


def test_pages_without_names_are_not_followed_for_ever() -> None:
    ever: dict[tuple[str, str], tuple[list[Child], str]] = {
        ("", str(number or "")): ([], str(number + 1)) for number in range(MOST_EMPTY + 1)
    }
    with pytest.raises(Fatal) as caught:
        list(LevelScan(Pages(ever), ALL, 1))
    assert caught.value.code == "ListingLoops"


def test_empty_pages_and_other_orders_are_no_loops() -> None:
    pages = Pages(
        {
            ("", ""): ([], "1"),
            ("", "1"): (files("d", "b"), "2"),
            ("", "2"): ([], "3"),
            ("", "3"): (files("c", "a"), ""),
        }
    )
    assert [e.info.key for e in LevelScan(pages, ALL, 1)] == ["b", "d", "a", "c"]


def test_directories_that_lead_up_are_told_and_not_entered() -> None:
    pages = Pages({("", ""): ([Child("..", True), Child(".", True), Child("a", False)], "")})
    entries = list(LevelScan(pages, ALL, 1))
    assert [(e.info.key, e.verdict, e.code) for e in entries] == [
        (".", Verdict.EXCLUDED, "OddName"),
        ("..", Verdict.EXCLUDED, "OddName"),
        ("a", Verdict.COPY, ""),
    ]


def test_what_is_no_place_is_refused() -> None:
    for text in ("x", "[1]", "[[1,2,3]]", '"ab"'):
        with pytest.raises(Fatal, match="no place"):
            LevelScan(Pages({}), Lane(text), 1)


class Tree:
    """A store of random directories, listed forward or backward, in pages of a few."""

    def __init__(self, choice: random.Random, backward: bool) -> None:
        self.choice = choice
        self._backward = backward
        self._page_size = choice.choice([1, 2, 3, 7])
        self.folders: dict[str, dict[str, bool]] = {"": {}}
        for _ in range(choice.randrange(1, 60)):
            depth = choice.randrange(1, 5)
            parts = [choice.choice("abcdefgh") + str(choice.randrange(5)) for _ in range(depth)]
            for above in range(depth):
                level = self.folders.setdefault("".join(f"{p}/" for p in parts[:above]), {})
                if not level.setdefault(parts[above], above < depth - 1):
                    break

    @property
    def keys(self) -> set[str]:
        return {
            path + name
            for path, level in self.folders.items()
            for name, is_folder in level.items()
            if not is_folder
        }

    def remove_one(self) -> None:
        """Remove an object; its directory stays."""
        path, _, name = self.choice.choice(sorted(self.keys)).rpartition("/")
        del self.folders[f"{path}/" if path else ""][name]

    def fetch(self, directory: str, marker: str) -> "Future[LevelPage]":
        level = self.folders.get(directory, {})
        names = sorted(level, reverse=self._backward)
        if marker:
            names = [n for n in names if (n < marker if self._backward else n > marker)]
        page = names[: self._page_size]
        after = page[-1] if len(names) > len(page) else ""
        answer: Future[LevelPage] = Future()
        answer.set_result(LevelPage([Child(name, level[name]) for name in page], after))
        return answer


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("seeds", [range(start, start + 300) for start in (0, 300)])
def test_kills_and_splits_lose_nothing_and_double_nothing(seeds: range, changes: bool) -> None:
    """A store that does not list by name may be killed and cut, or may change, but not both."""
    for seed in seeds:
        choice = random.Random(seed)
        tree = Tree(choice, backward=not changes and choice.random() < 0.5)
        walk_with_accidents(tree, choice, changes)


def walk_with_accidents(tree: Tree, choice: random.Random, changes: bool) -> None:
    before, depth = tree.keys, choice.randrange(1, 6)
    lanes, seen = [ALL], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = LevelScan(tree.fetch, lane, depth)
        found = []  # what a killed master has not written down
        for entry in scan:
            found.append(entry.info.key)
            while choice.random() < 0.4 and (given := scan.split()):
                assert given.until == lane.until
                lanes.append(given)
                lane = lane._replace(until=scan.until)
            if choice.random() < 0.4:
                seen += found
                found, lane = [], lane._replace(cursor=entry.cursor)
            if choice.random() < 0.2:
                found = []
                lanes.append(lane)
                break
            if changes and tree.keys and choice.random() < 0.1:
                tree.remove_one()
        seen += found
    assert len(set(seen)) == len(seen)
    assert tree.keys <= set(seen) <= before


def test_nothing_is_cut_where_little_is_left() -> None:
    pages = Pages(
        {
            ("", ""): ([Child("a", False), Child("b", True)], ""),
            ("b/", ""): (files("1", "2"), "x"),
            ("b/", "x"): (files("3"), ""),
        }
    )
    scan = LevelScan(pages, ALL, 9)
    assert [(entry.info.key, scan.split()) for entry in scan] == [
        ("a", None),
        ("b/1", None),
        ("b/2", None),
        ("b/3", None),
    ]


def test_an_end_is_kept_though_pages_have_shifted() -> None:
    pages = Pages(
        {
            ("", ""): ([Child("a", False), Child("c", True)], "next"),
            ("", "next"): (files("d"), ""),
            ("c/", ""): (files("0", "1", "2"), ""),
        }
    )
    scan = LevelScan(pages, Lane("", '[["gone","c"],["","1"]]'), 9)
    assert [(entry.info.key, scan.split()) for entry in scan] == [
        ("a", None),
        ("c/0", None),
        ("c/1", None),
    ]


def test_a_wide_tree_is_shared(server: YoupaiServer) -> None:
    for folder in range(20):
        for number in range(10):
            server.put(f"{folder:02d}/{number}", b"")
    scan = opened(server, page_size=100).scan(ALL)
    entries = iter(scan)
    begun = [next(entries) for _ in range(5)]
    given = scan.split()
    assert given is not None
    begun += entries
    given_keys = [e.info.key for e in opened(server, page_size=100).scan(given)]
    assert len(begun) + len(given_keys) == 200
    assert 80 <= len(given_keys) <= 120


def test_a_directory_of_many_is_gone_on_with_where_it_was(server: YoupaiServer) -> None:
    for number in range(1000):
        server.put(f"flat/{number:04d}", b"")
    entries = list(opened(server, page_size=50).scan(ALL))
    server.asks.clear()
    rest = list(opened(server, page_size=50).scan(Lane(entries[960].cursor)))
    assert rest == entries[961:]
    assert len([ask for ask in server.asks if ask.is_list]) == 2  # the root, and the last page


def test_the_last_page_s_marker_is_known(server: YoupaiServer) -> None:
    server.faults = lambda ask: Answer(
        200, json.dumps({"files": [], "iter": LAST_PAGE}).encode(), {"content-type": "x/json"}
    )
    assert keys_of(opened(server)) == []
