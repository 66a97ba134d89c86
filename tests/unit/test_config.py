"""What loaded settings are: defaults, derived values, references, secrets, fingerprints, JSON."""

import copy
import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossimport.config import (
    DestConfig,
    Endpoint,
    FilterConfig,
    JobConfig,
    Secret,
    SourceConfig,
    SystemConfig,
    endpoint,
    endpoint_region,
    load_job,
    load_system,
    load_workers,
)
from ossimport.config.keys import JOB_KEYS, SYSTEM_KEYS
from ossimport.config.kinds import Mistake, Mistakes
from ossimport.config.places import local_directory
from ossimport.errors import ConfigError

any_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("OSSIMPORT_")]:
        monkeypatch.delenv(name)
    return tmp_path


def _system(directory: Path, text: str = "") -> SystemConfig:
    path = directory / "sys.properties"
    path.write_text(text)
    return load_system(path)


def _job(directory: Path, **changed: str) -> JobConfig:
    values = {
        "srcType": "local",
        "srcPrefix": f"{directory}/",
        "destAccessKey": "id",
        "destSecretKey": "secret",
        "destDomain": "oss-cn-shanghai-internal.aliyuncs.com",
        "destBucket": "mybucket",
    }
    path = directory / "job.cfg"
    path.write_text("\n".join(f"{k}={v}" for k, v in (values | changed).items()), encoding="utf-8")
    return load_job(path, _system(directory))


# Defaults and derived values


def test_a_short_job_file_has_the_documented_defaults(home: Path) -> None:
    job = _job(home)

    assert job == JobConfig(
        name="local_test",
        source=SourceConfig(type="local", prefix=f"{home}/"),
        dest=DestConfig(
            access_key="id",
            secret_key=Secret("secret"),
            host="oss-cn-shanghai-internal.aliyuncs.com",
            bucket="mybucket",
            region="cn-shanghai",
        ),
    )
    assert (job.job_type, job.incremental, job.incremental_interval_s) == ("import", False, 86400)
    assert (job.import_since, job.last_modify, job.skip_existing) == (0, 0, False)
    assert (job.task_objects, job.task_bytes) == (10_000, 1_000_000_000)
    assert (job.scan_threads, job.scan_depth, job.upload_threads) == (1, 1, 3)
    assert (job.multipart_threshold, job.part_size) == (150 << 20, 50 << 20)
    assert (job.audit_after, job.audit_mode) == (True, "general")


def test_an_empty_value_is_the_default_too(home: Path) -> None:
    optional = {key.name: "" for key in JOB_KEYS if key.name[:4] not in ("srcT", "srcP", "dest")}

    assert _job(home, **optional, destRegion="", destPrefix="", destSecurityToken="") == _job(home)


def test_an_empty_system_file_has_the_documented_defaults(home: Path) -> None:
    system = _system(home, "\n".join(f"{key.name}=" for key in SYSTEM_KEYS))

    assert system == _system(home)
    assert (system.home, system.working_dir, system.path) == (home, home, home / "sys.properties")
    assert (system.redis_url.reveal(), system.flower_port, system.sandbox_port) == ("", None, None)
    assert (system.task_threads, system.throughput, system.buffer_bytes) == (240, 0, 1 << 30)
    assert system.worker_processes == len(os.sched_getaffinity(0))


def test_every_value_of_the_system_file_arrives(home: Path) -> None:
    system = _system(
        home,
        "workingDir=/w/y/../x\nworkerUserName=u\nworkerPassword=p w\n"
        "privateKeyFile=${workingDir}/k\nsshPort=23\nworkerTaskThreadNum=7\nworkerMaxThroughput(KB/s)=2\ndispatcherThreadNum=3\n"
        "workerAbortWhenUncatchedException=true\nworkerRecordMd5=True\njavaHeapMaxSize=64m\n"
        "redisUrl=redis://h\nflowerPort=1\nsandboxPort=2\nworkerProcessNum=4\n",
    )

    assert system == SystemConfig(
        path=home / "sys.properties",
        home=home,
        working_dir=Path("/w/x"),
        redis_url=Secret("redis://h"),
        flower_port=1,
        sandbox_port=2,
        worker_processes=4,
        task_threads=7,
        throughput=2048,
        abort_on_uncaught=True,
        record_md5=True,
        buffer_bytes=64 << 20,
        ssh_user="u",
        ssh_password=Secret("p w"),
        ssh_key="/w/x/k",
        ssh_port=23,
    )


def test_every_value_of_a_job_file_arrives(home: Path) -> None:
    job = _job(
        home,
        jobName="a_name",
        jobType="audit",
        importSince="1",
        lastModify="2",
        isSkipExistFile="true",
        srcType="youpai",
        srcAccessKey="op",
        srcSecretKey="pass word",
        srcSecurityToken="st",
        srcDomain="v0.api.upyun.com/",
        srcBucket="b",
        srcPrefix="/p/",
        isDownloadFromCdn="true",
        cdnDomain="http://c.com",
        destSecurityToken="dt",
        destDomain="https://1.2.3.4:8",
        destPrefix="x/",
        destRegion="cn-beijing",
        isServerSideEncryption="true",
        taskObjectCountLimit="3",
        taskObjectSizeLimit="4k",
        scanThreadCount="5",
        maxMultiThreadScanDepth="6",
        multipartUploadThreshold="3m",
        multipartUploadPartSize="2m",
        uploadThreadNumPerLargeFile="7",
        isAuditAfterImport="false",
        auditMode="detailed",
    )

    assert job == JobConfig(
        name="a_name",
        job_type="audit",
        import_since=1,
        last_modify=2,
        skip_existing=True,
        source=SourceConfig(
            type="youpai",
            access_key="op",
            secret_key=Secret("pass word"),
            security_token=Secret("st"),
            domain="v0.api.upyun.com",
            bucket="b",
            prefix="p/",
            download_from_cdn=True,
            cdn_domain="http://c.com",
        ),
        dest=DestConfig(
            access_key="id",
            secret_key=Secret("secret"),
            security_token=Secret("dt"),
            scheme="https",
            host="1.2.3.4",
            port=8,
            bucket="mybucket",
            prefix="x/",
            region="cn-beijing",
            server_side_encryption=True,
        ),
        task_objects=3,
        task_bytes=4096,
        scan_threads=5,
        scan_depth=6,
        multipart_threshold=3 << 20,
        part_size=2 << 20,
        upload_threads=7,
        audit_after=False,
        audit_mode="detailed",
    )


def test_the_filters_arrive(home: Path) -> None:
    job = _job(
        home,
        include="*.jpg; *.png",
        exclude="tmp/",
        includeRegex="^a",
        excludeRegex="[[b]$",
        minSize="1k",
        maxSize="2g",
        modifiedAfter="2026-01-31",
        modifiedBefore="2026-01-31T08:00:00+08:00",
    )

    assert job.filter == FilterConfig(
        include="*.jpg; *.png",
        exclude="tmp/",
        include_regex="^a",
        exclude_regex="[[b]$",
        min_size=1024,
        max_size=2 << 30,
        modified_after=1769817600,
        modified_before=1769817600,
    )


def test_every_mistake_of_a_filter_is_named(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _job(
            home,
            include="a;[b;{c",
            excludeRegex="(",
            minSize="2k",
            maxSize="1k",
            modifiedAfter="yesterday",
        )

    found = [(problem.key, problem.message) for problem in caught.value.problems]
    assert found == [
        ("include", "in the pattern [b: a [ is not closed"),
        ("include", "in the pattern {c: a { is not closed"),
        (
            "excludeRegex",
            "the value is no regular expression: missing ), unterminated subpattern at position 0",
        ),
        ("maxSize", "it is less than minSize: nothing is taken"),
        ("modifiedAfter", "the value is neither a date nor a unix time in seconds"),
    ]
    assert all(problem.cure for problem in caught.value.problems)


BUCKET = {"srcType": "s3", "srcAccessKey": "i", "srcSecretKey": "s", "srcDomain": "h.com"}


def test_an_inventory_needs_the_names_of_its_columns(home: Path) -> None:
    for name in ("i.csv", "manifest.json"):
        (home / name).write_text("x")
    bucket = BUCKET | {"srcBucket": "b"}
    assert _job(home, **bucket, inventoryFile=f"{home}/manifest.json").source.inventory
    named = _job(home, **bucket, inventoryFile=f"{home}/i.csv", inventoryColumns="Key, Size")
    assert named.source.inventory_columns == "Key, Size"
    for columns, message in (
        ("", "not a manifest"),
        ("Size", "no column Key"),
        ("Key,key", "twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            _job(home, **bucket, inventoryFile=f"{home}/i.csv", inventoryColumns=columns)
    with pytest.raises(ConfigError, match="only one of them"):
        _job(home, **bucket, inventoryFile=f"{home}/manifest.json", keyListFile=f"{home}/i.csv")


def test_a_list_of_urls_without_sizes_is_not_filtered_by_size(home: Path) -> None:
    (home / "list").write_text("http://h/ a\n")
    with pytest.raises(ConfigError, match="httpSizeColumn"):
        _job(home, srcType="http", httpListFilePath=f"{home}/list", minSize="1")


def test_the_values_of_single_sources_arrive(home: Path) -> None:
    (home / "list").write_text("")
    cloud = {"srcAccessKey": "a", "srcSecretKey": "b", "srcBucket": "ccc", "srcPrefix": ""}
    http = {"httpPrefixColumn": "2", "relativePathColumn": "1"}
    http |= {"httpSizeColumn": "4", "httpMd5Column": "3"}

    listed = _job(home, srcType="http", httpListFilePath=f"{home}/list", **http).source
    cos = _job(home, srcType="cos", srcDomain="ap-guangzhou", appId="125", **cloud).source
    qiniu = _job(home, srcType="qiniu", srcDomain="q.com", getObjectMetaMode="head", **cloud).source

    assert (listed.http_list_path, listed.prefix) == (f"{home}/list", "")
    assert (listed.http_prefix_column, listed.relative_path_column) == (2, 1)
    assert (listed.http_size_column, listed.http_md5_column) == (4, 3)
    assert (cos.domain, cos.app_id) == ("ap-guangzhou", 125)
    assert qiniu.meta_mode == "head"
    assert _job(home, isAllowSymbolicLink="true").source.allow_symlinks is True


def test_a_threshold_of_exactly_1m_is_accepted(home: Path) -> None:
    assert _job(home, multipartUploadThreshold="1m").multipart_threshold == 1 << 20


@pytest.mark.parametrize(("text", "size"), [("100k", 50 << 20), ("1", 50 << 20), ("101k", 103424)])
def test_a_part_of_100k_or_less_becomes_the_default(text: str, size: int, home: Path) -> None:
    job = _job(home, multipartUploadPartSize=text)

    assert job.part_size == size
    assert any("50m is used" in warning for warning in job.warnings) == (size == 50 << 20)


def test_an_interval_below_an_hour_is_a_warning_where_it_counts(home: Path) -> None:
    assert _job(home, incrementalModeInterval="900").warnings == ()

    (warning,) = _job(home, isIncremental="true", incrementalModeInterval="900").warnings

    assert "job.cfg:8: incrementalModeInterval: " in warning


def test_an_incremental_job_has_its_rounds_and_an_audit_none(home: Path) -> None:
    rounds = {"incrementalModeInterval": "7200", "incrementalMaxDelete": "9"}
    job = _job(home, isIncremental="true", **rounds)
    told = job.incremental, job.incremental_interval_s, job.incremental_max_delete
    assert told == (True, 7200, 9)
    with pytest.raises(ConfigError, match="jobType=audit has no rounds"):
        _job(home, isIncremental="true", jobType="audit", **rounds)


def test_a_dest_prefix_that_is_no_directory_is_a_warning(home: Path) -> None:
    assert "beginning of file names" in _job(home, destPrefix="docs").warnings[0]
    assert _job(home, destPrefix="docs/").warnings == ()


def test_keys_of_other_sources_are_not_looked_at(home: Path) -> None:
    job = _job(
        home,
        httpListFilePath="c:/example/http.list",
        appId="none",
        srcDomain="a b",
        srcSecretKey="${env:NO_SUCH_VARIABLE}",
        getObjectMetaMode="neither",
    )

    assert job == _job(home)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("oss-cn-hangzhou.aliyuncs.com", ("http", "oss-cn-hangzhou.aliyuncs.com", 80)),
        ("http://127.0.0.1:9580", ("http", "127.0.0.1", 9580)),
        ("HTTPS://A.example", ("https", "a.example", 443)),
        ("https://a.example:8443/", ("https", "a.example", 8443)),
        ("127.0.0.1:80", ("http", "127.0.0.1", 80)),
        ("sandbox:9580", ("http", "sandbox", 9580)),
    ],
)
def test_the_forms_of_an_endpoint(text: str, where: tuple[str, str, int], home: Path) -> None:
    dest = _job(home, destDomain=text).dest

    assert endpoint(text) == Endpoint(*where) == (dest.scheme, dest.host, dest.port)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
        ("vpc100-oss-us-west-1.aliyuncs.com", "us-west-1"),
        ("cn-beijing.oss.aliyuncs.com", "cn-beijing"),
        ("oss-accelerate.aliyuncs.com", ""),
        ("oss-accelerate-overseas.aliyuncs.com", ""),
        ("files.example.com", ""),
        ("127.0.0.1", ""),
    ],
)
def test_the_region_comes_from_the_endpoint_else_it_is_hangzhou(
    host: str, region: str, home: Path
) -> None:
    job = _job(home, destDomain=host)

    assert endpoint_region(host) == region
    assert job.dest.region == (region or "cn-hangzhou")
    guessed = not region and host != "127.0.0.1"
    assert any("names no region" in warning for warning in job.warnings) == guessed
    assert _job(home, destDomain=host, destRegion="cn-beijing").dest.region == "cn-beijing"
    assert _job(home, destDomain=host, destRegion="cn-beijing").warnings == ()


def test_the_region_of_an_oss_source_is_found_in_the_same_way(home: Path) -> None:
    source = {"srcType": "oss", "srcAccessKey": "a", "srcSecretKey": "b", "srcBucket": "bucket"}

    def region(**more: str) -> tuple[str, int]:
        job = _job(home, **source, srcPrefix="", **more)
        return job.source.region, len(job.warnings)

    assert region(srcDomain="oss-cn-beijing.aliyuncs.com") == ("cn-beijing", 0)
    assert region(srcDomain="http://127.0.0.1:80") == ("cn-hangzhou", 0)
    assert region(srcDomain="files.example.com") == ("cn-hangzhou", 1)
    assert region(srcDomain="files.example.com", srcRegion="oss-us-west-1") == ("us-west-1", 0)


def test_a_qiniu_source_may_have_several_domains_and_a_region(home: Path) -> None:
    source = {"srcType": "qiniu", "srcAccessKey": "a", "srcSecretKey": "b", "srcBucket": "bucket"}
    one = _job(home, **source, srcDomain="http://a.example.com/").source
    assert (one.domain, one.region) == ("http://a.example.com", "")
    both = _job(
        home, **source, srcDomain="a.example.com,https://b.example.com:8443", srcRegion="z0"
    )
    assert both.source.domain == "a.example.com,https://b.example.com:8443"
    assert both.source.region == "z0"
    with pytest.raises(ConfigError, match="srcDomain"):
        _job(home, **source, srcDomain="a.example.com,")


@pytest.mark.parametrize("directory", ["conf", "etc"])
def test_the_installation_is_above_conf_else_where_the_file_is(directory: str, home: Path) -> None:
    (home / directory).mkdir()

    system = _system(home / directory, "workingDir=work")

    assert system.home == (home if directory == "conf" else home / "etc")
    assert system.working_dir == system.home / "work"


def test_a_relative_path_of_the_system_file_is_made_absolute(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "sys.properties").write_text("")
    monkeypatch.chdir(home / "conf")

    system = load_system(Path("sys.properties"))

    assert (system.path, system.home) == (home / "conf" / "sys.properties", home)


def test_the_environment_s_redis_goes_before_the_file_s(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSSIMPORT_REDIS_URL", "rediss://:pw@there/1")
    assert _system(home, "redisUrl=not a url").redis_url.reveal() == "rediss://:pw@there/1"

    monkeypatch.setenv("OSSIMPORT_REDIS_URL", "there:6379?pw")
    with pytest.raises(ConfigError, match="variable OSSIMPORT_REDIS_URL: ") as caught:
        _system(home)
    assert "pw" not in str(caught.value)

    monkeypatch.setenv("OSSIMPORT_REDIS_URL", "")
    assert _system(home, "redisUrl=unix:///run/redis").redis_url.reveal() == "unix:///run/redis"


def test_two_services_cannot_have_one_port(home: Path) -> None:
    with pytest.raises(ConfigError, match="flowerPort has the same number"):
        _system(home, "flowerPort=5555\nsandboxPort=5555")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("c:\\data\\", r"\ in it"),
        ("c:/data", "must end with /"),
        ("c:/data//", "// in it"),
        ("data/", "not absolute"),
    ],
)
def test_paths_on_windows_have_drives_and_slashes(path: str, message: str) -> None:
    with pytest.raises((Mistake, Mistakes)) as caught:
        local_directory(path, windows=True)

    found = getattr(caught.value, "each", [caught.value])
    assert message in found[0].message


def test_comments_begin_with_a_hash_or_as_in_java_with_an_exclamation_mark(home: Path) -> None:
    assert _system(home, "# flowerPort=1\n  #x\n! flowerPort=2\n!y").flower_port is None


# References


def test_references_expand_in_any_value(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_BUCKET", "bucket")
    (home / "data").mkdir()
    (home / "secret").write_text("the-secret\n")
    (home / "threads").write_text("8\r\n")

    job = _job(
        home,
        srcPrefix="${workingDir}/data/",
        destBucket="my-${env:TEST_BUCKET}-${env:TEST_BUCKET}",
        destSecretKey="${file:secret}",
        scanThreadCount=f"${{file:{home}/threads}}",
    )

    assert job.source.prefix == f"{home}/data/"
    assert job.dest.bucket == "my-bucket-bucket"
    assert job.dest.secret_key.reveal() == "the-secret"
    assert job.scan_threads == 8


def test_what_a_reference_gives_is_not_expanded_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TEXT", "${env:HOME}")

    assert _job(home, destPrefix="${env:TEST_TEXT}/").dest.prefix == "${env:HOME}/"


def test_only_the_last_line_end_of_a_file_is_dropped(home: Path) -> None:
    (home / "password").write_text(" two blanks  \n\n")

    with pytest.raises(ConfigError, match="invisible"):
        _system(home, "workerPassword=${file:password}")

    (home / "password").write_text(" two blanks  \n")
    system = _system(home, "workerPassword=${file:password}")
    assert system.ssh_password.reveal() == " two blanks  "


def test_an_environment_variable_that_is_not_text_is_a_mistake(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TEXT", "a\udcffb")

    with pytest.raises(ConfigError, match="TEST_TEXT is not UTF-8 text"):
        _job(home, destPrefix="${env:TEST_TEXT}/")


def test_a_reference_to_an_empty_variable_is_an_empty_value(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TEXT", "")

    assert _job(home, scanThreadCount="${env:TEST_TEXT}").scan_threads == 1
    with pytest.raises(ConfigError, match="the value is empty"):
        _job(home, destBucket="${env:TEST_TEXT}")


# Secrets


def test_a_secret_prints_as_redacted_in_every_way() -> None:
    secret = Secret("open sesame")

    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!s:.3}",
        " ".join(map(str, [secret])),
    ]

    assert set(shown) == {"**redacted**", "**r"}
    assert secret.reveal() == "open sesame"


def test_secrets_compare_by_their_text_and_are_false_when_empty() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert (bool(Secret("")), bool(Secret("a"))) == (False, True)
    assert copy.deepcopy(Secret("a")) == pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


def test_no_secret_is_in_the_text_of_settings(home: Path) -> None:
    job = _job(home, destSecretKey="S3cr3t", destSecurityToken="S3cr3tToken")
    system = _system(home, "redisUrl=redis://:S3cr3t@h\nworkerPassword=S3cr3t")

    assert "S3cr3t" not in repr(job) + str(job) + repr(system) + str(system) + job.fingerprint
    with pytest.raises(FrozenInstanceError):
        job.name = "other"  # type: ignore[misc]  # that it cannot be done is the point


def test_no_secret_is_in_an_error_or_its_pickle(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _job(home, destSecretKey="S3cr3t ", destAccessKey="S3cr3t x", destSecurityToken="S3cr3t x")

    assert len(caught.value.problems) == 2
    assert "S3cr3t" not in str(caught.value) + repr(caught.value)
    assert b"S3cr3t" not in pickle.dumps(caught.value.problems)


# JSON and fingerprint

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(0, 2**40)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    int: numbers,
    bool: st.booleans(),
    Secret: st.builds(Secret, text),
    tuple[str, ...]: st.lists(text, max_size=2).map(tuple),
}


def _any(kind: type, **given_values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    values = {f.name: VALUES[f.type] for f in fields(kind) if f.name not in given_values}
    return st.builds(kind, **values, **given_values)


sources = _any(SourceConfig, type=st.sampled_from(["local", "s3", "azure"]))
jobs = _any(JobConfig, source=sources, dest=_any(DestConfig), filter=_any(FilterConfig))


@given(jobs)
def test_json_brings_back_every_field(job: JobConfig) -> None:
    again = JobConfig.from_json(job.to_json())

    assert again == job
    assert again.fingerprint == job.fingerprint


@pytest.mark.parametrize(
    "damaged",
    ["", "[]", "{}", '{"name": 1}', '{"source": {}, "dest": {}, "warnings": []}', "null"],
)
def test_json_of_another_version_is_a_clear_error(damaged: str) -> None:
    with pytest.raises(ConfigError, match="another version") as caught:
        JobConfig.from_json(damaged)

    assert "submit it again" in caught.value.problems[0].cure


def test_json_with_a_field_too_many_or_too_few_is_another_version_s(home: Path) -> None:
    data = json.loads(_job(home).to_json())
    for changed in (data | {"new": 1}, {k: v for k, v in data.items() if k != "name"}):
        with pytest.raises(ConfigError, match="another version"):
            JobConfig.from_json(json.dumps(changed))


RESULT = (
    "job_type import_since last_modify incremental skip_existing audit_after audit_mode",
    "audit_repair",
    "source.type source.domain source.bucket source.prefix source.app_id",
    "source.download_from_cdn source.cdn_domain source.http_list_path source.http_prefix_column",
    "source.key_list source.inventory source.inventory_columns",
    "source.relative_path_column source.http_size_column source.http_md5_column",
    "source.meta_mode source.allow_symlinks",
    "dest.scheme dest.host dest.port dest.bucket dest.prefix dest.server_side_encryption strict",
    "dest.storage_class dest.acl dest.preserve dest.meta_map",
)
FILTER_FIELDS = {f"filter.{f.name}" for f in fields(FilterConfig)}
RESULT_FIELDS = {name for line in RESULT for name in line.split()} | FILTER_FIELDS
ALL_FIELDS = {
    *(f.name for f in fields(JobConfig) if f.name not in ("source", "dest", "filter")),
    *(f"source.{f.name}" for f in fields(SourceConfig)),
    *(f"dest.{f.name}" for f in fields(DestConfig)),
    *FILTER_FIELDS,
}


@pytest.mark.parametrize("name", sorted(ALL_FIELDS))
@given(data=st.data())
@settings(max_examples=15)
def test_the_fingerprint_changes_with_the_result_only(name: str, data: st.DataObject) -> None:
    job = data.draw(jobs)
    part, _, field_name = name.rpartition(".")
    owner = getattr(job, part) if part else job
    (kind,) = (f.type for f in fields(owner) if f.name == field_name)
    old = getattr(owner, field_name)
    new = data.draw(VALUES[kind].filter(lambda value: value != old))
    other = replace(owner, **{field_name: new})

    changed = replace(job, **{part: other}) if part else other

    counts = name in RESULT_FIELDS
    if name == "source.access_key":  # of azure it is the account, so the place that is read
        counts = job.source.type == "azure"
    assert (changed.fingerprint != job.fingerprint) == counts


# Whatever the file


@any_file
@given(data=st.binary(max_size=300))
def test_no_file_raises_anything_but_a_config_error(data: bytes, home: Path) -> None:
    _load_all(data, home)


lines = st.builds(
    lambda key, sep, value: key + sep + value,
    st.sampled_from(sorted({key.name for key in (*JOB_KEYS, *SYSTEM_KEYS)})),
    st.sampled_from(["=", " = ", "==", "＝", ":", ""]),
    st.text(max_size=12)
    | st.sampled_from(
        [
            "local",
            "http",
            "cos",
            "/",
            "//",
            "/\0/",
            "/" + "x" * 5000 + "/",
            "${file:" + "x" * 5000 + "}",
            "${file:\0}",
            "${env:PATH}",
            "${workingDir}",
            "${",
            "9" * 5000,
            "-1",
            "1m",
            "true",
            "http://a:99999",
            "a.b",
            "\\",
            "@",
        ]
    ),
)


@any_file
@given(data=st.lists(lines, max_size=12))
def test_no_key_with_any_value_raises_anything_but_a_config_error(
    data: list[str], home: Path
) -> None:
    _load_all("\n".join(data).encode("utf-8", "surrogatepass"), home)


def _load_all(data: bytes, home: Path) -> None:
    path = home / "any"
    path.write_bytes(data)
    system = SystemConfig(path=path, home=home, working_dir=home)
    for load in (lambda p: load_job(p, system), load_system, load_workers):
        with suppress(ConfigError):
            load(path)


def test_settings_are_quick_to_import() -> None:
    heavy = "pydantic", "oss2", "celery", "redis", "cryptography", "asyncio", "tornado"
    code = f"import sys, ossimport.config; print([m for m in {heavy} if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
