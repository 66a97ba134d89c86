"""console.sh and import.sh, with a stand-in for Python that only writes down what it is asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.installation import ROOT

# Says that it is new enough, makes a .venv with itself as the interpreter, and notes every call.
PYTHON = """\
#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    *sys.version_info*) exit "${TOO_OLD:-0}" ;;
    *ensurepip*) exit "${NO_VENV:-0}" ;;
    "-V") echo "Python 3.99.${PATCH:-0}" ;;
    "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    "-m pip --version") exit "${NO_PIP:-0}" ;;
    "-m pip install "*) exit "${NO_NETWORK:-0}" ;;
    "-m ossimport "*) echo "home=$OSS_IMPORT_HOME args=$*"; exit "${VERB_EXIT:-0}" ;;
esac
"""


class Clone:
    """A directory with the two scripts and a PATH on which only the stand-in is Python."""

    def __init__(self, place: Path) -> None:
        self.home = place / "a clone"
        self.home.mkdir()
        for name in ("console.sh", "import.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.home)
        self.bin = place / "bin"
        self.bin.mkdir()
        for tool in ("bash", "cat", "cksum", "cp", "dirname", "mkdir", "readlink", "rm", "sh"):
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)
        python = self.bin / "python3"
        python.write_text(PYTHON)
        python.chmod(0o755)
        self._calls = place / "calls"

    def run(
        self,
        script: Path | str,
        *arguments: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        self._calls.write_text("")
        return subprocess.run(
            [str(self.bin / "bash"), str(script), *arguments],
            env={"PATH": str(self.bin), "CALLS": str(self._calls), **(env or {})},
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, what: str) -> int:
        """How often Python was asked for this."""
        return self._calls.read_text().count(what)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_the_first_run_installs_with_pinned_versions_and_the_second_runs_at_once(
    clone: Clone,
) -> None:
    first = clone.run("console.sh", "stat", "--json")
    assert first.returncode == 0
    assert first.stdout == f"home={clone.home} args=-m ossimport stat --json\n"
    assert "Installing ossimport" in first.stderr
    assert clone.calls(f"--constraint {clone.home}/constraints.txt --editable {clone.home}") == 1

    second = clone.run("console.sh", "stat")
    assert second.stderr == ""
    assert clone.calls("pip") == 0
    assert clone.calls("venv") == 0


def test_import_sh_is_the_verb_import(clone: Clone) -> None:
    answer = clone.run("import.sh", "--yes", "--job", "my job.cfg", env={"VERB_EXIT": "2"})
    assert answer.stdout.endswith("args=-m ossimport import --yes --job my job.cfg\n")
    assert answer.returncode == 2


def test_they_work_from_any_directory_and_through_links(clone: Clone, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(clone.home / "import.sh")
    (elsewhere / "relative").symlink_to("absolute")
    (elsewhere / "console").symlink_to(Path("..") / clone.home.name / "console.sh")
    for script in ("absolute", "relative", "console"):
        from_there = clone.run(script, "stat", cwd=elsewhere)
        assert from_there.returncode == 0, from_there.stderr
        answer = clone.run(elsewhere / script, "stat", cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.startswith(f"home={clone.home} ")
    kept = clone.run("console.sh", "stat", env={"OSS_IMPORT_HOME": "/opt/other"})
    assert kept.stdout.startswith("home=/opt/other ")


def test_what_changes_the_installation_makes_it_anew(clone: Clone) -> None:
    clone.run("console.sh", "stat")
    for name in ("pyproject.toml", "constraints.txt"):
        with (clone.home / name).open("a") as file:
            file.write("# changed\n")
        clone.run("console.sh", "stat")
        assert clone.calls("-m pip install") == 1, name
        assert clone.calls("venv") == 0
    clone.run("console.sh", "stat", env={"PATCH": "1"})
    assert clone.calls("-m pip install") == 1
    clone.run("console.sh", "stat")
    moved = clone.home.rename(clone.home.with_name("moved"))
    clone.run(moved / "console.sh", "stat", cwd=moved)
    assert clone.calls("-m pip install") == 1


def test_half_a_venv_that_an_interrupted_run_left_is_made_again(clone: Clone) -> None:
    half = clone.home / ".venv" / "bin"
    half.mkdir(parents=True)
    (half / "python").symlink_to("/nowhere/python3")
    answer = clone.run("console.sh", "stat")
    assert answer.returncode == 0
    assert clone.calls("-m venv --clear") == 1
    assert clone.calls("-m pip install") == 1


def test_a_failed_installation_is_told_and_tried_again_next_time(clone: Clone) -> None:
    failed = clone.run("console.sh", "stat", env={"NO_NETWORK": "1"})
    assert failed.returncode == 3
    assert failed.stdout == ""
    assert "Error: pip could not install ossimport." in failed.stderr
    assert "PIP_INDEX_URL" in failed.stderr
    assert clone.calls("-m ossimport") == 0
    assert clone.run("console.sh", "stat").returncode == 0


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({"TOO_OLD": "1"}, "sudo apt install python3 python3-venv · macOS: brew install"),
        ({"NO_VENV": "1"}, "sudo apt install python3-venv"),
    ],
)
def test_a_system_that_lacks_something_is_told_what_to_install(
    clone: Clone, lacking: dict[str, str], told: str
) -> None:
    answer = clone.run("console.sh", "stat", env=lacking)
    assert answer.returncode == 3
    assert told in answer.stderr
    assert answer.stdout == ""


def test_both_are_clean_for_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed; the extra `dev` has it for Linux on x86-64")
    scripts = [ROOT / "console.sh", ROOT / "import.sh"]
    found = subprocess.run(
        [shellcheck, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_version_is_pinned_exactly_and_from_nowhere_in_particular() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all("==" in pin.partition(";")[0] for pin in pins)
    assert not [pin for pin in pins if "/" in pin or "@" in pin or pin.startswith("-")]
    assert pins == sorted(pins, key=str.lower)
