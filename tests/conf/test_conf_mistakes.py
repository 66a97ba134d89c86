"""Every mistake has words of its own, says where it is, and mending that line makes it go away."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ossimport.config import SystemConfig, load_job, load_system, load_workers
from ossimport.errors import ConfigError, Problem

SECRET = "correcthorsebattery"

LOCAL = """\
jobName=local_test
srcType=local
srcPrefix={data}/
destAccessKey=the-id
destSecretKey=the-secret
destDomain=http://oss-cn-hangzhou.aliyuncs.com
destBucket=mybucket
destPrefix=docs/
"""
CLOUD = """\
jobName=local_test
srcType={source}
srcAccessKey=src-id
srcSecretKey=src-secret
srcDomain={domain}
srcBucket=bucket-125
srcPrefix=docs/
destAccessKey=the-id
destSecretKey=the-secret
destDomain=http://oss-cn-hangzhou.aliyuncs.com
destBucket=mybucket
"""
OSS = CLOUD.format(source="oss", domain="oss-cn-beijing.aliyuncs.com")
INSIDE = OSS.replace("bucket-125", "mybucket")
WHOLE = INSIDE.replace("srcPrefix=docs/\n", "")
GATEWAY = re.sub(r"Domain=.*", "Domain=http://10.0.0.7:8080", INSIDE)
S3 = CLOUD.format(source="s3", domain="s3.us-east-1.amazonaws.com")
HTTP = """\
srcType=http
httpListFilePath={data}/http.list
destAccessKey=the-id
destSecretKey=the-secret
destDomain=oss-cn-hangzhou.aliyuncs.com
destBucket=mybucket
"""
SYSTEM = "workingDir=.\nworkerTaskThreadNum=60\njavaHeapMaxSize=1024m\n"


class Case(NamedTuple):
    """A line that is wrong, what is to be said about it, and the line that is right."""

    bad: str
    message: str
    cure: str
    good: str
    base: str = LOCAL


CASES = [
    # how lines are written
    Case("destBucket＝mybucket", "full-width", "type =", "destBucket=mybucket"),
    Case("destBucket==mybucket", "two equals signs", "one =", "destBucket=mybucket"),
    Case('destBucket="mybucket"', "quotes", "remove", "destBucket=mybucket"),
    Case("destBucket='mybucket'", "quotes", "remove", "destBucket=mybucket"),
    Case("destBucket=“mybucket”", "quotes", "remove", "destBucket=mybucket"),
    Case('destPrefix="docs/"', "quotes", "remove", "destPrefix=docs/"),
    Case("destBucket:mybucket", "has no =", "key=value", "destBucket=mybucket"),
    Case(
        "destBucket=ｍybucket", "fullwidth latin small letter m", "English", "destBucket=mybucket"
    ),
    Case("destBucket=my\u200bbucket", "U+200B", "type it again", "destBucket=mybucket"),
    Case("destPrefix=do\x00cs/", "U+0000", "remove it", "destPrefix=docs/"),
    Case("scanThreadCount=1 # one", "not a whole number", "line of its own", "scanThreadCount=1"),
    Case("ｄestBucket=mybucket", "did you mean destBucket", "destBucket", "destBucket=mybucket"),
    Case("ｄｅｓｔＢｕｃｋｅｔ=mybucket", "did you mean destBucket", "dest", "destBucket=mybucket"),
    # keys
    Case("destbucket=mybucket", "did you mean destBucket", "destBucket", "destBucket=mybucket"),
    Case("destBuckt=mybucket", "did you mean destBucket", "destBucket", "destBucket=mybucket"),
    Case("targetDomain=a.b", "did you mean destDomain", "destDomain", "destDomain=10.0.0.1"),
    Case("colour=red", "no such key", "remove", ""),
    Case("flowerPort=5555", "belongs in sys.properties", "move", ""),
    Case("destBucket=", "the bucket to write to", "behind the =", "destBucket=mybucket"),
    Case("destDomain=", "the endpoint of OSS", "behind the =", "destDomain=10.0.0.1"),
    Case("destAccessKey=", "the access key id of OSS", "behind the =", "destAccessKey=x"),
    Case("destSecretKey=", "the access key secret of OSS", "behind the =", "destSecretKey=x"),
    Case("srcType=", "local, oss, qiniu", "behind the =", "srcType=local"),
    # identity and mode
    Case("jobName=abc", "4 to 128", "local_test", "jobName=abcd"),
    Case("jobName=my job", "4 to 128", "local_test", "jobName=my_job"),
    Case("jobName=a/../b", "4 to 128", "local_test", "jobName=a_b_"),
    Case(f"jobName={'a' * 129}", "4 to 128", "local_test", f"jobName={'a' * 128}"),
    Case("jobType=copy", "import, audit", "one of", "jobType=audit"),
    Case("jobType=Import", "import, audit", "write import", "jobType=import"),
    Case("isIncremental=yes", "neither true nor false", "true or false", "isIncremental=TRUE"),
    Case("isIncremental=1", "neither true nor false", "true or false", "isIncremental=True"),
    Case("incrementalModeInterval=899", "out of range", "from 900", "incrementalModeInterval=900"),
    Case("importSince=1500000000000", "milliseconds", "date +%s", "importSince=1500000000"),
    Case("importSince=2018-01-01", "not a unix time", "date +%s", "importSince=0"),
    Case("lastModify=-1", "negative", "date +%s", "lastModify=0"),
    # the source
    Case("srcType=ftp", "must be one of", "local, oss, qiniu", "srcType=local"),
    Case("srcType=OSS", "must be one of", "write oss", "srcType=oss", OSS),
    Case("srcType=baidu", "must be one of", "write bos", "srcType=bos", S3),
    Case("srcPrefix=data/", "not absolute", "from / on", "srcPrefix={data}/"),
    Case("srcPrefix=~/", "not absolute", "~ is not expanded", "srcPrefix={data}/"),
    Case("srcPrefix={data}", "must end with /", "write {data}/", "srcPrefix={data}/"),
    Case("srcPrefix={data}//", "// in it", "write {data}/", "srcPrefix={data}/"),
    Case("srcPrefix=/{data}/", "// in it", "write {data}/", "srcPrefix={data}/"),
    Case("srcPrefix=data\\docs\\", "\\ in it", "write it with /", "srcPrefix={data}/"),
    Case("srcPrefix={data}/none/", "does not exist", "mend the path", "srcPrefix={data}/"),
    Case("srcPrefix={data}/http.list", "is a file", "directory", "srcPrefix={data}/"),
    Case("srcPrefix={data}/http.list/", "is a file", "directory", "srcPrefix={data}/"),
    Case("srcPrefix=docs/ # x", "must end", "line of its own", "srcPrefix=docs/", OSS),
    Case("srcPrefix=docs", "must end with /", "write docs/", "srcPrefix=docs/", OSS),
    Case("srcPrefix=/docs/", "do not begin with /", "write docs/", "srcPrefix=docs/", OSS),
    Case("srcPrefix=docs", "must end with /", "write docs/", "srcPrefix=/docs/", S3),
    Case("srcBucket=a/b", "no / in it", "prefix", "srcBucket=a", S3),
    Case("srcBucket=", "the bucket to read", "behind the =", "srcBucket=a", S3),
    Case("srcAccessKey=", "the access key id", "behind the =", "srcAccessKey=a", S3),
    Case("srcSecretKey=", "the access key secret", "behind the =", "srcSecretKey=a", S3),
    Case("srcDomain=", "the endpoint of the source", "behind the =", "srcDomain=a.b", S3),
    Case("srcDomain=a b", "blank", "remove", "srcDomain=a.b", S3),
    Case("srcDomain=s3.x/y", "no path", "write s3.x", "srcDomain=s3.x/", S3),
    Case(
        "srcDomain=http://bucket-125.s3.us-east-1.amazonaws.com",
        "has the bucket in it",
        "write http://s3.us-east-1.amazonaws.com",
        "srcDomain=http://s3.us-east-1.amazonaws.com",
        S3,
    ),
    Case(
        "appId=0", "Tencent", "srcBucket=name-number", "appId=1", CLOUD.replace("bucket-125", "b")
    ),
    Case("httpListFilePath={data}/none", "no file", "mend", "httpListFilePath={list}", HTTP),
    Case("httpListFilePath={data}", "no file", "mend", "httpListFilePath={list}", HTTP),
    Case("httpListFilePath=", "the file of URLs", "behind", "httpListFilePath={list}", HTTP),
    Case("httpPrefixColumn=0", "out of range", "from 1", "httpPrefixColumn=1", HTTP),
    Case("relativePathColumn=1", "same number", "from 1", "relativePathColumn=2", HTTP),
    Case("httpSizeColumn=2", "same number", "from 1", "httpSizeColumn=3", HTTP),
    Case("httpMd5Column=1", "same number", "from 1", "httpMd5Column=0", HTTP),
    Case("cdnDomain=", "needs the host", "isDownloadFromCdn=false", "cdnDomain=c.com", ""),
    # the destination
    Case("destBucket=my/bucket", "no / in it", "prefix", "destBucket=mybucket"),
    Case("destBucket=MyBucket", "capital", "write mybucket", "destBucket=mybucket"),
    Case("destBucket=My_Bucket", "only lower-case", "console shows it", "destBucket=my-bucket"),
    Case("destBucket=ab", "3 to 63", "console", "destBucket=abc"),
    Case(f"destBucket={'a' * 64}", "3 to 63", "console", f"destBucket={'a' * 63}"),
    Case("destBucket=my_bucket", "letters, digits and -", "console", "destBucket=my-bucket"),
    Case("destBucket=mybucket-", "at its ends", "console", "destBucket=my-bucket"),
    Case("destPrefix=/docs/", "do not begin with /", "write docs/", "destPrefix=docs/"),
    Case("destPrefix=\\docs/", "do not begin with /", "write docs/", "destPrefix=docs/"),
    Case("destPrefix=/", "do not begin with /", "leave it empty", "destPrefix="),
    Case("destPrefix=docs/in/", "its own copies", "outside srcPrefix", "destPrefix=docs/", INSIDE),
    Case("destPrefix=docs/x", "its own copies", "outside srcPrefix", "destPrefix=docsx", INSIDE),
    Case("destPrefix=in/", "its own copies", "outside srcPrefix", "destPrefix=", WHOLE),
    Case("destPrefix=docs/in/", "its own copies", "outside", "destPrefix=docs/", GATEWAY),
    Case(f"destPrefix={'é' * 512}", "1023 bytes", "shorter", f"destPrefix={'é' * 510}/"),
    Case(
        "destDomain=http://mybucket.oss-cn-hangzhou.aliyuncs.com",
        "has a bucket in it",
        "write http://oss-cn-hangzhou.aliyuncs.com and the bucket mybucket",
        "destDomain=http://oss-cn-hangzhou.aliyuncs.com/",
    ),
    Case(
        "destDomain=mybucket.oss-accelerate.aliyuncs.com",
        "has a bucket in it",
        "oss-accelerate.aliyuncs.com",
        "destDomain=oss-accelerate.aliyuncs.com",
    ),
    Case("destDomain=http://a.b/c", "no path", "write http://a.b", "destDomain=http://a.b"),
    Case("destDomain=http://a b", "blank", "remove", "destDomain=http://a.b"),
    Case("destDomain=ftp://a.b", "http:// or https://", "write host", "destDomain=https://a.b"),
    Case("destDomain=http:/a.b", "not an endpoint", "http://host", "destDomain=http://a.b"),
    Case("destDomain=a.b:0", "1 to 65535", "host:port", "destDomain=a.b:1"),
    Case("destDomain=a.b:65536", "1 to 65535", "host:port", "destDomain=a.b:65535"),
    Case("destDomain=a.b?x", "not an endpoint", "host:port", "destDomain=a.b"),
    Case(
        "destDomain=oss-cn-hangzhou",
        "a region, not an endpoint",
        "write http://oss-cn-hangzhou.aliyuncs.com",
        "destDomain=http://oss-cn-hangzhou.aliyuncs.com",
    ),
    Case("destRegion=Hangzhou!", "not a region", "cn-hangzhou", "destRegion=oss-cn-hangzhou"),
    Case("destAccessKey=a b", "blank", "remove", "destAccessKey=ab"),
    Case("destSecretKey=a b", "no key contains", "copy the key again", "destSecretKey=ab"),
    Case("destSecurityToken=ａ", "no key contains", "copy the key again", "destSecurityToken=a"),
    Case("isServerSideEncryption=on", "neither", "true or false", "isServerSideEncryption=true"),
    # tasks and transfer
    Case("taskObjectCountLimit=0", "out of range", "from 1 to 50000", "taskObjectCountLimit=1"),
    Case("taskObjectCountLimit=50001", "out of range", "50000", "taskObjectCountLimit=50000"),
    Case("taskObjectCountLimit=1,000", "not a whole", "from 1", "taskObjectCountLimit=1000"),
    Case("taskObjectCountLimit=１０", "fullwidth", "English", "taskObjectCountLimit=10"),
    Case(f"taskObjectCountLimit={'9' * 5000}", "out of range", "50000", "taskObjectCountLimit=9"),
    Case("taskObjectSizeLimit=0", "out of range", "from 1", "taskObjectSizeLimit=1"),
    Case("scanThreadCount=0", "out of range: 1 to 32", "from 1 to 32", "scanThreadCount=1"),
    Case("scanThreadCount=33", "out of range: 1 to 32", "from 1 to 32", "scanThreadCount=32"),
    Case("scanThreadCount=-1", "out of range", "from 1 to 32", "scanThreadCount=10000"),
    Case("maxMultiThreadScanDepth=17", "1 to 16", "from 1 to 16", "maxMultiThreadScanDepth=16"),
    Case("multipartUploadThreshold=1023k", "1m to 5g", "50m", "multipartUploadThreshold=1m"),
    Case("multipartUploadThreshold=6g", "1m to 5g", "50m", "multipartUploadThreshold=5g"),
    Case("multipartUploadThreshold=150", "150 bytes", "50m", "multipartUploadThreshold=1048576"),
    Case("multipartUploadThreshold=50MB", "not a size", "50m", "multipartUploadThreshold=50M"),
    Case("multipartUploadPartSize=1.5g", "not a size", "50m", "multipartUploadPartSize=1536m"),
    Case("multipartUploadPartSize=-5m", "not a size", "50m", "multipartUploadPartSize=101k"),
    Case("uploadThreadNumPerLargeFile=0", "1 to 100", "from 1", "uploadThreadNumPerLargeFile=1"),
    Case("isAuditAfterImport=ture", "neither", "true or false", "isAuditAfterImport=true"),
    Case("auditMode=md5", "simple, general, detailed", "one of", "auditMode=detailed"),
    Case("auditMode=Simple", "simple, general, detailed", "write simple", "auditMode=simple"),
    Case(
        "expressTunnelProxyType=x", "default, back-to", "one of", "expressTunnelProxyType=default"
    ),
    Case("expressTunnelProxyHost=ftp://a", "http", "host", "expressTunnelProxyHost=http://a"),
    # references
    Case(
        "destPrefix=${env:NO_SUCH}", "NO_SUCH is not set", "set NO_SUCH", "destPrefix=${env:SET}/"
    ),
    Case("destPrefix=${file:none}", "there is no file", "create it", "destPrefix=${file:value}/"),
    Case("destPrefix=${file:.}", "cannot be read", "text file", "destPrefix=${file:value}/"),
    Case("destBucket=${env:NO_SUCH}", "NO_SUCH is not set", "set NO_SUCH", "destBucket=${env:SET}"),
    Case("destPrefix=${file:large}", "too large", "text file", "destPrefix=${file:value}/"),
    Case("destPrefix=${file:binary}", "not UTF-8", "text file", "destPrefix=${file:value}/"),
    Case("destPrefix=${HOME}/", "not a reference", "${env:NAME}", "destPrefix=${workingDir}/"[:11]),
    Case("destPrefix=a${env:SET", "not a reference", "${file:PATH}", "destPrefix=a${env:SET}/"),
]
# Secrets, and keys that do not exist: what is behind a misspelt key may be a secret.
HIDDEN = {
    "srcAccessKey",
    "destAccessKey",
    "destSecretKey",
    "destSecurityToken",
    "destbucket",
    "destBuckt",
    "ｄestBucket",
    "ｄｅｓｔＢｕｃｋｅｔ",
    "colour",
    "flowerPort",
}
HIDDEN_IN_SYSTEM = {"redisUrl", "srcType"}
SPECIAL_BASES = {
    "appId": CLOUD.format(source="cos", domain="sh").replace("bucket-125", "b"),
    "cdnDomain": CLOUD.format(source="youpai", domain="v0.api.upyun.com")
    + "isDownloadFromCdn=true\n",
}
SYSTEM_CASES = [
    Case("workingDir=~/x", "~ is not expanded", "whole path", "workingDir=x"),
    Case("workingDir=D:/x", "Windows", "this machine", "workingDir=x"),
    Case("workingDir=value", "a file, not a directory", "name a directory", "workingDir=x"),
    Case("workingDir=${workingDir}/x", "not a reference", "${env:NAME}", "workingDir=x"),
    Case("workerUser=root", "did you mean workerUserName", "workerUserName", "workerUserName=root"),
    Case("slaveUserName=a", "did you mean workerUserName", "workerUserName", "workerUserName=a"),
    Case("slaveTaskThreadNum=1", "mean workerTaskThreadNum", "Task", "workerTaskThreadNum=1"),
    Case("workerCount=3", "did you mean workerProcessNum", "workerProcess", "workerProcessNum=3"),
    Case("workerMaxThroughput=1", "workerMaxThroughput(KB/s)", "", "workerMaxThroughput(KB/s)=1"),
    Case("srcType=local", "belongs in the job file", "move", ""),
    Case("workerTaskThreadNum=0", "out of range", "from 1", "workerTaskThreadNum=1"),
    Case("workerMaxThroughput(KB/s)=-1", "out of range", "0", "workerMaxThroughput(KB/s)=0"),
    Case("javaHeapMaxSize=15m", "16m to 1024g", "50m", "javaHeapMaxSize=16m"),
    Case("javaHeapMaxSize=lots", "not a size", "50m", "javaHeapMaxSize=4g"),
    Case("flowerPort=65536", "1 to 65535", "from 1", "flowerPort=65535"),
    Case("sandboxPort=0", "1 to 65535", "from 1", "sandboxPort="),
    Case("workerProcessNum=0", "1 to 1024", "from 1", "workerProcessNum="),
    Case("redisUrl=localhost:6379", "redis://", "own server", "redisUrl=redis://localhost:6379"),
    Case("redisUrl=http://a", "redis://", "own server", "redisUrl=rediss://a"),
    Case(
        "redisUrl=sentinel://a:1;sentinel://b:1",
        "master_name is missing",
        "?master_name=NAME",
        "redisUrl=sentinel://a:1;sentinel://b:1/0?master_name=mymaster",
    ),
    Case("workerRecordMd5=no", "neither", "true or false", "workerRecordMd5=false"),
    Case("workerUserName=a b", "blank", "remove", "workerUserName=ab"),
]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SET", "set")
    for name in ("NO_SUCH", "OSSIMPORT_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "http.list").write_text("http://127.0.0.1/ a.jpg\n")
    (tmp_path / "value").write_text("value\n")
    (tmp_path / "large").write_text("x" * (1 << 16) + "x")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    return tmp_path


@pytest.fixture
def system(directory: Path) -> SystemConfig:
    (directory / "sys.properties").write_text(SYSTEM)
    return load_system(directory / "sys.properties")


def _with_line(base: str, line: str, directory: Path) -> tuple[str, int]:
    """`base` with the line in place of the one of its key, or at the end; and its number."""
    data = directory / "data"
    fill = {"{data}": str(data), "{list}": str(data / "http.list")}
    for name, value in fill.items():
        base, line = base.replace(name, value), line.replace(name, value)
    lines = base.splitlines()
    key = line.split("=")[0]
    number = next((i for i, old in enumerate(lines) if old.split("=")[0] == key), len(lines))
    lines[number : number + 1] = [line]
    return "\n".join(lines), number + 1


def _without(base: str, key: str) -> str:
    return "".join(f"{line}\n" for line in base.splitlines() if line.split("=")[0] != key)


def _problems(path: Path, text: str, system: SystemConfig | None) -> tuple[Problem, ...]:
    path.write_text(text, encoding="utf-8")
    try:
        if system is None:
            load_system(path)
        else:
            load_job(path, system)
    except ConfigError as error:
        return error.problems
    return ()


def _shown(line: str, hidden: set[str], data: Path) -> str:
    """How the value of a line must come back in a message."""
    key, equals, value = line.replace("＝", "=", 1).partition("=")
    if not value or key in hidden:
        return "**redacted**" if value else "" if equals else line
    value = value.replace("{data}", str(data)).replace("\0", "\\x00").replace("\u200b", "\\u200b")
    return value if len(value) <= 200 else f"{value[:200]}..."


def _check(case: Case, base: str, path: Path, system: SystemConfig | None) -> None:
    key = case.bad.replace("＝", "=").replace(":", "=").split("=")[0]
    right_key = case.good.split("=")[0]
    base = _without(base, right_key) if right_key != key else base
    text, number = _with_line(base, case.bad, path.parent)

    (problem,) = _problems(path, text, system)

    assert (problem.file, problem.line, problem.key) == (str(path), number, key)
    assert problem.value == _shown(
        case.bad, HIDDEN if system else HIDDEN_IN_SYSTEM, path.parent / "data"
    )
    assert case.message in problem.message
    cure = case.cure.replace("{data}", str(path.parent / "data"))
    assert cure in problem.cure
    assert str(problem).startswith(f"{path}:{number}: {key}=")

    mended, _ = _with_line(base, case.good, path.parent)
    assert _problems(path, mended, system) == ()


@pytest.mark.skipif(os.name == "nt", reason="the paths are POSIX ones")
@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.bad)[1:40])
def test_a_mistake_in_a_job_file(case: Case, system: SystemConfig, directory: Path) -> None:
    base = SPECIAL_BASES.get(case.bad.split("=")[0], case.base)
    _check(case, base, directory / "job.cfg", system)


@pytest.mark.skipif(os.name == "nt", reason="the paths are POSIX ones")
@pytest.mark.parametrize("case", SYSTEM_CASES, ids=lambda case: ascii(case.bad)[1:40])
def test_a_mistake_in_sys_properties(case: Case, directory: Path) -> None:
    _check(case, SYSTEM, directory / "sys.properties", None)


@pytest.mark.parametrize("key", ["destAccessKey", "destSecretKey", "destDomain", "destBucket"])
def test_a_missing_key_has_no_line(key: str, system: SystemConfig, directory: Path) -> None:
    text, _ = _with_line(_without(LOCAL, key), "destPrefix=docs/", directory)

    (problem,) = _problems(directory / "job.cfg", text, system)

    assert (problem.line, problem.key, problem.value) == (0, key, "")
    assert "is missing" in problem.message
    assert f"add a line {key}=" in problem.cure


def test_two_different_values_of_a_key_name_both_lines(
    system: SystemConfig, directory: Path
) -> None:
    text, number = _with_line(LOCAL, "destBucket=mybucket", directory)

    (problem,) = _problems(directory / "job.cfg", text + "\ndestBucket=other", system)

    assert (problem.key, problem.value) == ("destBucket", "other")
    assert problem.line == len(text.splitlines()) + 1
    assert f"lines {number} and {problem.line}" in problem.message


@pytest.mark.parametrize("source", ["http://10.0.0.8:8080", "http://10.0.0.7:8081"])
def test_a_bucket_of_the_same_name_at_another_server_is_another_bucket(
    source: str, directory: Path, system: SystemConfig
) -> None:
    path = directory / "job.cfg"
    domain = "srcDomain=http://10.0.0.7:8080"
    path.write_text(f"{GATEWAY}destPrefix=docs/in/\n".replace(domain, f"srcDomain={source}"))
    assert load_job(path, system).dest.prefix == "docs/in/"


@pytest.mark.parametrize("second", ["", "mybucket"])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_the_same_key_again_is_a_warning(
    second: str, place: str, system: SystemConfig, directory: Path
) -> None:
    text, _ = _with_line(LOCAL, "destBucket=mybucket", directory)
    again = f"destBucket={second}"
    (directory / "job.cfg").write_text(
        f"{again}\n{text}" if place == "before" else text + f"\n{again}"
    )

    job = load_job(directory / "job.cfg", system)

    assert job.dest.bucket == "mybucket"
    assert len(job.warnings) == 1
    assert "destBucket: the key is on lines" in job.warnings[0]


def test_all_mistakes_of_a_file_come_at_once_in_the_order_of_lines(
    system: SystemConfig, directory: Path
) -> None:
    bad = [
        "jobName=a",
        "srcType=Local",
        "srcPrefix=relative",
        "destAccessKey=",
        f"destSecretKey={SECRET} x",
        "destDomain=http://mybucket.oss-cn-hangzhou.aliyuncs.com",
        "destBucket=My/Bucket",
        "destPrefix＝/docs",
        "taskObjectCountLimit=50001",
        "scanThreadCount==3",
        'auditMode="general"',
        "workerUser=root",
    ]

    problems = _problems(directory / "job.cfg", "\n".join(bad), system)

    assert [p.line for p in problems] == list(range(1, 13))
    assert [p.key for p in problems] == [b.replace("＝", "=").split("=")[0] for b in bad]
    assert len({p.message for p in problems}) == 12


def test_two_mistakes_in_one_path_come_at_once(system: SystemConfig, directory: Path) -> None:
    text, _ = _with_line(LOCAL, "srcPrefix={data}//none", directory)

    problems = _problems(directory / "job.cfg", text, system)

    assert [p.key for p in problems] == ["srcPrefix"] * 3
    assert ["// in it" in p.message for p in problems] == [True, False, False]
    assert ["must end with /" in p.message for p in problems] == [False, True, False]
    assert ["not exist" in p.message for p in problems] == [False, False, True]


@pytest.mark.parametrize(
    "line",
    [
        f"destSecretKey={SECRET}＝",
        f"destSecretKey＝{SECRET}",
        f"destSecretKey=={SECRET}",
        f'destSecretKey="{SECRET}"',
        f"destSecretKey {SECRET}",
        f"destSecretKey:{SECRET}",
        f"destSecretKey={SECRET} blank",
        f"destsecretkey={SECRET}",
        f"destSecretKy={SECRET}",
        f"destAccessKeySecret={SECRET}",
        f"secret={SECRET}",
        f"destAccessKey={SECRET} x",
        f"destSecretKey=a\ndestSecretKey={SECRET}",
        f"destDomain=http://me:{SECRET}@oss-cn-hangzhou.aliyuncs.com",
        f"destDomain=me:{SECRET}@oss-cn-hangzhou.aliyuncs.com",
        f"{SECRET} by itself",
        f"{SECRET}",
        f"expressTunnelAuthToken={SECRET} x",
        f"destSecretKey={SECRET}${{env:NO_SUCH}}",
        f"workerPassword={SECRET}",
        f"redisUrl=redis://:{SECRET}@h",
    ],
)
def test_a_secret_is_never_shown(line: str, system: SystemConfig, directory: Path) -> None:
    base, _ = _with_line(_without(LOCAL, line.partition("=")[0]), "destPrefix=docs/", directory)

    problems = _problems(directory / "job.cfg", f"{line}\n{base}", system)

    assert problems
    assert SECRET not in str(ConfigError(problems))
    assert SECRET not in repr(problems)


def test_a_secret_of_the_system_is_never_shown(directory: Path) -> None:
    text = f"redisUrl=http://:{SECRET}@h\nworkerPassword={SECRET}\x07\nslavePassword={SECRET}"

    problems = _problems(directory / "sys.properties", text, None)

    assert len(problems) == 3
    assert SECRET not in repr(problems)


def test_a_value_that_is_not_utf8(system: SystemConfig, directory: Path) -> None:
    text, _ = _with_line(LOCAL, "destPrefix=docs/", directory)
    path = directory / "job.cfg"
    path.write_bytes(text.encode() + "\ncdnDomain=中文\n".encode("gbk"))

    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load_job(path, system)

    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("cdnDomain", len(text.splitlines()) + 1)


@contextmanager
def _without_rights() -> Iterator[None]:
    """Run as a user that owns nothing, if this one may do so."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.parametrize("mode", [0o311, 0o644], ids=["not to be listed", "not to be entered"])
def test_a_directory_that_cannot_be_read(mode: int, system: SystemConfig) -> None:
    with tempfile.TemporaryDirectory() as name:  # others may not enter tmp_path
        Path(name).chmod(0o755)
        path = Path(name, "job.cfg")
        path.write_text(LOCAL.replace("{data}", f"{name}/data"))
        Path(name, "data").mkdir()
        Path(name, "data").chmod(mode)

        with _without_rights(), pytest.raises(ConfigError) as caught:
            load_job(path, system)

        Path(name, "data").chmod(0o755)
    (problem,) = caught.value.problems
    assert problem.key == "srcPrefix"
    assert problem.message == "the directory cannot be read: Permission denied"


@pytest.mark.parametrize("bad", ["a b", "http://a", "a=b", "主机", "a/b", "-a"])
def test_a_line_of_the_workers_file_that_is_no_host(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "workers"
    path.write_text(f"# hosts\n192.168.1.6\n{bad}\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="not a host") as caught:
        load_workers(path)

    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.value) == (str(path), 3, bad)


def test_a_host_twice_and_a_file_without_hosts(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    path.write_text("a\nb\na\n")
    with pytest.raises(ConfigError, match="on line 1 already"):
        load_workers(path)

    path.write_text("# none\n\n")
    with pytest.raises(ConfigError, match="names no host"):
        load_workers(path)


def test_the_workers_file_in_order(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    path.write_bytes(b"\xef\xbb\xbf192.168.1.6 \r\n\r\n# more\r\nworker-2.local\r\nfe80::1")

    assert load_workers(path) == ("192.168.1.6", "worker-2.local", "fe80::1")


def test_files_that_cannot_be_used(system: SystemConfig, tmp_path: Path) -> None:
    none = tmp_path / "none"
    with pytest.raises(ConfigError, match=f"system configuration:{none} not found"):
        load_system(none)
    with pytest.raises(ConfigError, match=f"job configuration:{none} not found"):
        load_job(none, system)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_job(tmp_path, system)
    utf16 = tmp_path / "utf16"
    utf16.write_text(LOCAL, encoding="utf-16")
    with pytest.raises(ConfigError, match="UTF-16"):
        load_job(utf16, system)
    large = tmp_path / "large"
    large.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigError, match="larger than"):
        load_job(large, system)


def test_an_unknown_source_type_hides_no_other_mistake(
    system: SystemConfig, directory: Path
) -> None:
    path = directory / "job.cfg"
    path.write_text("srcType=foo\nmultipartUploadThreshold=1x\ntaskObjectCountLimit=-3\n")
    with pytest.raises(ConfigError) as caught:
        load_job(path, system)
    keys = {problem.key for problem in caught.value.problems}
    wanted = {"srcType", "multipartUploadThreshold", "taskObjectCountLimit"}
    assert wanted | {"destDomain", "destBucket", "destAccessKey", "destSecretKey"} <= keys
