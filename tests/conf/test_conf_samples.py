"""Every job file that the original published loads, and so does every file that ships here."""

import os
from pathlib import Path

import pytest

from ossimport.config import (
    SOURCE_TYPES,
    JobConfig,
    SystemConfig,
    load_job,
    load_system,
    load_workers,
)
from ossimport.config.keys import JOB_KEYS, SYSTEM_KEYS
from ossimport.errors import ConfigError
from tests.conf.published import SAMPLES, lines

CONF = Path(__file__).parents[2] / "conf"
CHINESE = "# 迁移任务的名字，必须唯一"


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OSSIMPORT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def system(tmp_path: Path) -> SystemConfig:
    (tmp_path / "sys.properties").write_text("workingDir=.\n")
    return load_system(tmp_path / "sys.properties")


def _real(sample: str, directory: Path) -> list[str]:
    """The sample's lines, with a directory of this machine where it names a Windows path."""
    windows = SAMPLES[sample]["srcPrefix"].startswith("D:")
    return lines(sample, srcPrefix=f"{directory}/") if windows else lines(sample)


def _load(data: bytes, system: SystemConfig, directory: Path) -> JobConfig:
    path = directory / "job.cfg"
    path.write_bytes(data)
    return load_job(path, system)


FORMS = {
    "with LF": lambda text: text.encode(),
    "with CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "with CR": lambda text: text.replace("\n", "\r").encode(),
    "with a BOM": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "with Chinese comments": lambda text: text.replace("\n", f"\n{CHINESE}\n").encode(),
    "with GBK comments": lambda text: text.replace("\n", f"\n{CHINESE}\n").encode("gbk"),
    "with blanks behind": lambda text: text.replace("\n", " \t\n").encode(),
    "with blanks around =": lambda text: text.replace("=", " = ").encode(),
    "without a last line end": lambda text: text.rstrip("\n").encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_published_sample_loads(
    sample: str, form: str, system: SystemConfig, tmp_path: Path
) -> None:
    text = "\n".join(_real(sample, tmp_path)) + "\n"

    job = _load(FORMS[form](text), system, tmp_path)

    expected = SAMPLES[sample]
    assert job.source.type == expected["srcType"]
    assert job.source.access_key == expected.get("srcAccessKey", "")
    assert job.source.secret_key.reveal() == expected.get("srcSecretKey", "")
    assert job.source.bucket == expected.get("srcBucket", "")
    assert job.source.domain == expected.get("srcDomain", "")
    assert job.dest.bucket == "mybucket"
    assert job.dest.prefix == expected.get("destPrefix", "")
    assert job.dest.secret_key.reveal() == "dest-secret"
    assert job.audit_after is True
    assert job.task_objects == int(expected.get("taskObjectCountLimit", "10000"))


def test_what_is_special_about_each_sample(system: SystemConfig, tmp_path: Path) -> None:
    job = {
        name: _load("\n".join(_real(name, tmp_path)).encode(), system, tmp_path) for name in SAMPLES
    }

    assert job["local"].source.prefix == f"{tmp_path}/"
    assert job["local"].dest.region == "cn-hangzhou-zmf"
    assert job["oss"].dest.region == "cn-hangzhou"
    assert job["oss"].source.prefix == "src/"
    assert job["s3"].scan_threads == 32
    assert job["cos"].source.app_id == 1252883280
    assert job["cos"].source.prefix == "docs/"
    assert (job["azure"].multipart_threshold, job["azure"].part_size) == (50 << 20, 150 << 20)
    assert (job["et"].name, job["et"].audit_mode) == ("local_test_md", "simple")


@pytest.mark.parametrize(
    ("sample", "key"),
    [
        ("oss", "srcBucket"),
        ("s3", "scanThreadCount"),
        ("azure", "multipartUploadThreshold"),
        ("et", "isUseExpressTunnel"),
    ],
)
def test_a_sample_s_oddity_is_a_warning(
    sample: str, key: str, system: SystemConfig, tmp_path: Path
) -> None:
    text = _real(sample, tmp_path)
    number = next(i for i, line in enumerate(text, 1) if line.startswith(f"{key}="))

    job = _load("\n".join(text).encode(), system, tmp_path)

    assert [w for w in job.warnings if w.startswith(f"{tmp_path}/job.cfg:{number}: {key}: ")]


@pytest.mark.skipif(os.name == "nt", reason="there the path is a good one")
@pytest.mark.parametrize("sample", ["local", "et"])
def test_the_windows_path_is_all_that_is_wrong_with_a_local_sample(
    sample: str, system: SystemConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        _load("\n".join(lines(sample)).encode(), system, tmp_path)

    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("srcPrefix", "D:/data/oss/")
    assert "Windows" in problem.message


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "http.list").write_text("http://127.0.0.1/ a.jpg\n")
    for name, value in {
        "SRC_ACCESS_KEY": "src-id",
        "SRC_SECRET_KEY": "src-secret",
        "SRC_BUCKET": "from-here",
        "SRC_APP_ID": "1252883280",
        "SRC_DIRECTORY": f"{tmp_path}/",
        "HTTP_LIST": str(tmp_path / "http.list"),
        "DEST_ACCESS_KEY": "dest-id",
        "DEST_SECRET_KEY": "dest-secret",
        "DEST_BUCKET": "to-here",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("source_type", SOURCE_TYPES)
def test_the_shipped_sample_of_every_source_loads(source_type: str, system: SystemConfig) -> None:
    job = load_job(CONF / "samples" / f"{source_type}.cfg", system)

    assert (job.source.type, job.dest.bucket, job.warnings) == (source_type, "to-here", ())


@pytest.mark.usefixtures("_environment")
def test_the_shipped_template_has_every_key(system: SystemConfig) -> None:
    assert load_job(CONF / "job.cfg", system).warnings == ()
    assert _keys(CONF / "job.cfg") == {key.name for key in JOB_KEYS}
    assert _keys(CONF / "sys.properties") == {key.name for key in SYSTEM_KEYS}


@pytest.mark.usefixtures("_environment")
def test_the_values_in_the_template_are_the_defaults(system: SystemConfig, tmp_path: Path) -> None:
    required = ("src", "dest", "jobName")
    short = [line for line in _lines(CONF / "job.cfg") if line.startswith(required)]

    full = load_job(CONF / "job.cfg", system)

    assert _load("\n".join(short).encode(), system, tmp_path) == full


def test_the_demo_needs_no_environment() -> None:
    system = load_system(CONF / "sys.properties")

    job = load_job(CONF / "local_job.cfg", system)

    assert job.name == "local_test"
    assert job.source.prefix == f"{system.working_dir}/docs/"
    assert (job.dest.scheme, job.dest.host, job.dest.port) == (
        "http",
        "127.0.0.1",
        system.sandbox_port,
    )
    assert (job.dest.bucket, job.dest.prefix) == ("ossimport-demo", "demo/")
    assert (job.dest.access_key, job.dest.secret_key.reveal()) == ("sandbox", "sandbox-secret")
    assert job.warnings == ()
    assert system.warnings == ()


def test_the_shipped_workers_file_loads() -> None:
    assert load_workers(CONF / "workers") == ("127.0.0.1",)


def test_the_original_s_system_files_load(tmp_path: Path) -> None:
    path = tmp_path / "sys.properties"
    path.write_text(
        "workingDir=/root/import\nworkerUserName=root\nworkerPassword=******\nprivateKeyFile=\n"
        "sshPort=22\nworkerTaskThreadNum=60\nworkerMaxThroughput(KB/s)=100000000\n"
        "dispatcherThreadNum=1\nworkerAbortWhenUncatchedException=false  \n"
        "workerRecordMd5=false\njavaHeapMaxSize=1024m"
    )

    system = load_system(path)

    assert system.working_dir == Path("/root/import")
    assert (system.ssh_user, system.ssh_password.reveal(), system.ssh_port) == (
        "root",
        "******",
        22,
    )
    assert (system.task_threads, system.throughput) == (60, 0)
    assert (system.flower_port, system.sandbox_port) == (None, None)
    assert system.buffer_bytes == 1 << 30


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def _keys(path: Path) -> set[str]:
    return {line.split("=")[0] for line in _lines(path)}
