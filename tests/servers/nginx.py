"""nginx, the real one, with settings that web servers have in the wild."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.installation import free_port

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

# What is under /NAME/ is the tree of files, served so.
_CONF = """
daemon off;
master_process off;
error_log {home}/error.log;
pid {home}/pid;
events {{ worker_connections 200; }}
http {{
  access_log off;
  types {{ text/plain txt; image/jpeg jpg; }}
  default_type application/octet-stream;
  client_body_temp_path {home}/tmp;
  proxy_temp_path {home}/tmp;
  fastcgi_temp_path {home}/tmp;
  uwsgi_temp_path {home}/tmp;
  scgi_temp_path {home}/tmp;
  merge_slashes off;
  server {{
    listen 127.0.0.1:{port};
    location /plain/ {{ alias {root}/; }}
    location /whole/ {{ alias {root}/; max_ranges 0; }}
    location /nohead/ {{
      if ($request_method = HEAD) {{ return 405; }}
      alias {root}/;
    }}
    location /awkward/ {{
      if ($request_method = HEAD) {{ return 403; }}
      alias {root}/;
      max_ranges 0;
      etag off;
    }}
    location /noetag/ {{ alias {root}/; etag off; }}
    location /gzip/ {{ alias {root}/; gzip on; gzip_types *; gzip_min_length 1; }}
    location /gzipped/ {{ alias {root}/; gzip_static always; }}
    location /headers/ {{
      alias {root}/;
      add_header Cache-Control "max-age=60";
      add_header Content-Language "de";
      add_header Content-Disposition "attachment";
      add_header Expires "Thu, 01 Jan 2026 00:00:00 GMT";
    }}
    location /slow/ {{ alias {root}/; limit_rate 200k; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /plain/$1 permanent; }}
    location /found/ {{ rewrite ^/found/(.*)$ http://localhost:{port}/moved/$1 redirect; }}
    location /round/ {{ return 302 /round/; }}
    location /denied/ {{ return 403; }}
    location /busy/ {{ add_header Retry-After 7 always; return 503; }}
  }}
}}
"""


class RunningNginx:
    """Serves the files below `root`."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port

    def url(self, name: str = "plain") -> str:
        """The prefix under which everything is served in this way."""
        return f"http://127.0.0.1:{self.port}/{name}/"

    def put(self, key: str, body: bytes, mtime_ns: int = 1_600_000_000_000_000_000) -> None:
        """Write a file."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, ns=(mtime_ns, mtime_ns))


@contextmanager
def run_nginx(home: Path) -> Iterator[RunningNginx]:
    """Run nginx until the end of the block; skips the test where there is none."""
    if PROGRAM is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    root, port = home / "root", free_port()
    root.mkdir(parents=True)
    (home / "tmp").mkdir()
    conf = home / "nginx.conf"
    text = _CONF.format(home=home, root=root, port=port)
    if os.geteuid() == 0:
        text = "user root;\n" + text
    conf.write_text(text)
    process = subprocess.Popen(
        [PROGRAM, "-e", f"{home}/error.log", "-c", str(conf)], stderr=subprocess.PIPE
    )
    try:
        _wait(home, process)
        yield RunningNginx(root, port)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _wait(home: Path, process: "subprocess.Popen[bytes]") -> None:
    """nginx writes its pid when it listens."""
    deadline = time.monotonic() + 60
    while not (home / "pid").exists():
        assert process.poll() is None, (home / "error.log").read_text()
        assert time.monotonic() < deadline, "nginx did not start"
        time.sleep(0.01)
