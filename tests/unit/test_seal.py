"""Settings are sealed under one key for the whole cluster."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from ossimport.errors import ConfigError
from ossimport.seal import Sealer, cluster_key

KEY = Fernet.generate_key()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OSSIMPORT_CLUSTER_KEY", raising=False)
    return tmp_path


@given(st.text())
def test_what_is_sealed_comes_back(plain: str) -> None:
    sealer = Sealer(KEY, "a test")

    token = sealer.seal(plain)

    assert sealer.unseal(token) == plain
    assert len(plain) < 8 or plain.encode("utf-8", "surrogatepass") not in token


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer(KEY, "a test")

    assert sealer.seal("same") != sealer.seal("same")


def test_a_token_of_another_key_is_a_clear_error() -> None:
    token = Sealer(Fernet.generate_key(), "elsewhere").seal("text")

    with pytest.raises(ConfigError, match="sealed under another cluster key") as caught:
        Sealer(KEY, "conf/cluster.key").unseal(token)

    (problem,) = caught.value.problems
    assert problem.file == "conf/cluster.key"
    assert "OSSIMPORT_CLUSTER_KEY" in problem.cure
    assert token.decode() not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "change",
    [lambda t: t[:-1], lambda t: b"", lambda t: t[:20] + bytes([t[20] ^ 1]) + t[21:]],
)
def test_a_token_that_was_changed_is_refused(change: object) -> None:
    sealer = Sealer(KEY, "a test")
    assert callable(change)

    with pytest.raises(ConfigError):
        sealer.unseal(change(sealer.seal("text")))


def test_the_first_use_makes_a_key_that_only_the_owner_reads(home: Path) -> None:
    token = cluster_key(home).seal("text")

    path = home / "conf" / "cluster.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in (home / "conf").iterdir()] == ["cluster.key"]
    assert cluster_key(home).unseal(token) == "text"


def test_processes_that_begin_together_get_one_key(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ossimport.seal import cluster_key; "
        "print('ready', flush=True); sys.stdin.read(); "
        "print(cluster_key(Path(sys.argv[1])).seal('text').decode())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(6)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    tokens = [process.communicate(timeout=60)[0].strip() for process in started]

    assert [cluster_key(home).unseal(token) for token in tokens] == ["text"] * 6
    assert [entry.name for entry in (home / "conf").iterdir()] == ["cluster.key"]


def test_the_environment_goes_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSSIMPORT_CLUSTER_KEY", f"{KEY.decode()}\n")

    token = cluster_key(home).seal("text")

    assert not (home / "conf").exists()
    assert Sealer(KEY, "a test").unseal(token) == "text"


@pytest.mark.parametrize("key", ["short", "é" * 44, "A" * 43, "A" * 44 + "!", "="])
def test_a_garbled_key_names_where_it_is_and_is_not_shown(
    key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "cluster.key").write_text(key)
    with pytest.raises(ConfigError, match="32 bytes in URL-safe base64") as in_file:
        cluster_key(home)
    monkeypatch.setenv("OSSIMPORT_CLUSTER_KEY", key)
    with pytest.raises(ConfigError) as in_environment:
        cluster_key(home)

    assert in_file.value.problems[0].file == str(home / "conf" / "cluster.key")
    assert in_environment.value.problems[0].file == "OSSIMPORT_CLUSTER_KEY"
    assert key == "=" or key not in str(in_file.value) + str(in_environment.value)


def test_an_empty_key_file_is_refused_not_replaced(home: Path) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "cluster.key").touch()

    with pytest.raises(ConfigError, match="not 32 bytes"):
        cluster_key(home)

    assert (home / "conf" / "cluster.key").read_bytes() == b""


def test_a_key_that_cannot_be_read_or_made_is_a_clear_error(home: Path) -> None:
    (home / "conf").write_text("a file where the directory should be")
    with pytest.raises(ConfigError, match="cannot be read or made") as caught:
        cluster_key(home)
    assert "OSSIMPORT_CLUSTER_KEY" in caught.value.problems[0].cure

    os.unlink(home / "conf")
    (home / "conf" / "cluster.key").mkdir(parents=True)
    with pytest.raises(ConfigError, match="Is a directory"):
        cluster_key(home)


def test_a_sealer_does_not_show_its_key() -> None:
    assert KEY.decode() not in repr(Sealer(KEY, "a test"))
