"""The page's server: whom it answers, what its answers allow a browser, and what it does with what it is asked."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from tests.web_kit import serving
from trackbridge.errors import MisuseError
from trackbridge.store.store import open_store
from trackbridge.web.asked import chart_asked, comparison_asked, table_asked
from trackbridge.web.axes import short_titles
from trackbridge.web.guard import Access, is_loopback
from trackbridge.web.serving import listening_socket


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Message
    body: bytes


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("cola", name="only", root=tmp_path / "runs", config={"lr": 2e-5}) as run:
        run.log({"eval/mcc": 0.5}, step=1)
    return tmp_path / "runs"


def ask(access: Access, path: str = "/", *, method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", access.port, timeout=20)) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def data(access: Access, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(ask(access, path).body)
    return answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0x7f000001", ""])
def test_a_host_that_is_not_this_machine_is_refused(root: Path, host: str) -> None:
    with serving(root) as access:
        assert ask(access, Host=host).status == 421


def test_loopback_is_answered_by_each_of_its_names(root: Path) -> None:
    with serving(root) as access:
        for host in ("127.0.0.1", f"127.0.0.1:{access.port}", "localhost:1", "[::1]", "[::1]:80", "LOCALHOST"):
            assert ask(access, Host=host).status == 200, host


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_but_reading_is_answered(root: Path, method: str) -> None:
    with serving(root) as access:
        assert ask(access, "/data/runs", method=method).status == 405


@pytest.mark.parametrize("path", ["/", "/data/runs", "/static/runs.js", "/nothing", "/run/none"])
def test_every_answer_lets_a_browser_do_nothing_but_show_it(root: Path, path: str) -> None:
    with serving(root) as access:
        headers = ask(access, path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


def test_a_token_is_asked_for_taken_from_the_address_once_and_kept_as_a_cookie(root: Path) -> None:
    with serving(root, host="0.0.0.0", token="secret token") as access:
        assert ask(access).status == 401
        assert ask(access, "/?token=wrong").status == 401
        assert ask(access, "/data/runs", Cookie=f"trackbridge-{access.port}=wrong").status == 401
        let_in = ask(access, "/run/x?token=secret+token&axis=time")
        cookie = str(let_in.headers["Set-Cookie"])

        assert let_in.status == 303
        assert let_in.headers["Location"] == "/run/x?axis=time"
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ask(access, "/data/runs", Cookie=cookie.partition(";")[0]).status == 200


def test_a_token_leads_to_no_other_host(root: Path) -> None:
    with serving(root, host="0.0.0.0", token="secret") as access:
        assert ask(access, "//evil.example/?token=secret").headers["Location"] == "/evil.example/"


def test_the_address_to_open_carries_the_token(root: Path) -> None:
    assert Access("127.0.0.1", 7077).url == "http://127.0.0.1:7077/"
    assert Access("0.0.0.0", 7077, "a b").url == "http://localhost:7077/?token=a+b"
    assert Access("::1", 7077).url == "http://[::1]:7077/"
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "host")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_runs_are_answered_with_their_cells_and_what_is_wrong_with_a_filter_in_words(root: Path) -> None:
    with serving(root) as access:
        table = data(access, "/data/runs")
        trouble = data(access, "/data/runs?where=lr+%3E")

    assert (table["n_runs"], table["n_rows"], table["metrics"]) == (1, 1, ["eval/mcc"])
    assert ">only</a>" in table["body"]
    assert trouble == {"error": "the filter ends where a value after '>' was expected"}


def test_a_scatter_of_runs_without_metrics_says_so(root: Path) -> None:
    with tb.start_run("cola", name="bare", root=root):
        pass

    with serving(root) as access:
        told = data(access, "/data/scatter?where=name%3Dbare&y=eval/mcc")

    assert "No score to draw" in told["html"]


def test_a_run_that_is_deleted_leaves_the_table_and_its_page(root: Path) -> None:
    with serving(root) as access:
        run = open_store(root).runs()[0]
        assert ask(access, f"/run/{run.run_id}").status == 200
        for path in sorted(Path(run.path).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        Path(run.path).rmdir()
        access_again = data(access, "/data/chart?metric=eval/mcc&runs=" + run.run_id)

    assert "svg" in access_again


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    taken = listening_socket("127.0.0.1", 0)
    port = taken.getsockname()[1]

    with pytest.raises(MisuseError, match=f"cannot listen at 127.0.0.1:{port}.*try another --port"):
        listening_socket("127.0.0.1", port)
    taken.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"axis": "steps"}, "there is no axis 'steps'"),
        ({"range": "a..b"}, "range is 'a'; expected a number"),
        ({"smoothing": "inf"}, "expected a finite number"),
        ({"runs": ",".join(["a"] * 201)}, "201 runs are picked; pick at most 200"),
    ],
)
def test_a_chart_that_cannot_be_drawn_is_told_why(query: dict[str, str], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        chart_asked(query)


def test_what_is_asked_is_kept_within_bounds() -> None:
    assert chart_asked({"width": "1e9", "smoothing": "7"}).width == 4000
    assert chart_asked({"smoothing": "7"}).view.smoothing == 0.999
    assert table_asked({"limit": "100000", "offset": "-3"}).limit == 400
    assert table_asked({"columns": "best(a%2Cb),100%25"}).columns == ("best(a,b)", "100%")
    with pytest.raises(MisuseError, match="cannot compare at 'worst'"):
        comparison_asked({"at": "worst"})


def test_axes_are_named_by_as_few_parts_as_tell_them_apart() -> None:
    assert short_titles(["a.lr", "b.lr", "c.layers"]) == ["a.lr", "b.lr", "layers"]
