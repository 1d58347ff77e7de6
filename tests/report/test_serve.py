"""Watching a run: this machine only, this server's own name only, nothing but the page and its version."""

from __future__ import annotations

import http.client
import threading

import pytest

from lorascope.errors import LorascopeError, RunError
from lorascope.report.serve import LOOPBACK, make_server


@pytest.fixture
def served():
    """A server of a page that can be changed; `ask(path, host)` gives status, headers and body."""
    now = {"version": "1", "error": None, "made": 0}

    def page(version):
        if now["error"]:
            raise now["error"]
        now["made"] += 1
        return f"page {version}"

    server = make_server(page, lambda: now["version"], 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(path="/", host=None):
        connection = http.client.HTTPConnection(LOOPBACK, server.server_port, timeout=30)
        connection.request("GET", path, headers={"Host": host or f"{LOOPBACK}:{server.server_port}"})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    ask.now, ask.server = now, server
    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_bound_to_loopback(served):
    assert served.server.server_address[0] == "127.0.0.1"


def test_the_page_is_made_anew_when_the_run_has_gone_on_and_not_before(served):
    assert served()[2] == served()[2] == "page 1"
    assert served.now["made"] == 1
    assert served("/version")[2] == "1"
    served.now["version"] = "2"
    assert served()[2] == "page 2"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:8000", "[::1]"]
)
@pytest.mark.parametrize("path", ["/", "/version"])
def test_another_host_gets_nothing(served, host, path):
    status, _, body = served(path, host)
    assert status == 403
    assert "page" not in body
    assert served.now["made"] == 0


def test_localhost_is_its_name_too(served):
    assert served(host=f"localhost:{served.server.server_port}")[0] == 200


@pytest.mark.parametrize("path", ["/../etc/passwd", "/config.json", "/%2e%2e/x"])
def test_there_is_no_other_path(served, path):
    assert served(path)[0] == 404


def test_before_the_first_step_it_says_so_and_looks_again(served):
    served.now["error"] = RunError("no-measurements", "x has measured nothing yet")
    status, headers, body = served()
    assert (status, body) == (503, "x has measured nothing yet; load again")
    assert headers["Refresh"] == "3"
    served.now["error"] = None
    assert served()[0] == 200


def test_a_taken_port_is_explained(served):
    with pytest.raises(LorascopeError, match="cannot be used"):
        make_server(str, str, served.server.server_port)
