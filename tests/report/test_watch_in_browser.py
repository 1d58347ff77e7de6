"""A page that is served while its run goes on loads itself again, keeps what the reader chose, and stops when told."""

from __future__ import annotations

import threading

import pytest
from paged import WAIT, big_table, make_run, results_of

from lorascope.report.page import page_of
from lorascope.report.page_run import run_source
from lorascope.report.serve import make_server

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the page was not opened")


@pytest.fixture
def live(tmp_path):
    """(address, now): the page of a run whose steps are `now["steps"]`."""
    now = {"steps": 5}
    folder = make_run(tmp_path / "toy")

    def page(version):
        steps = int(version)
        results = results_of(steps=steps, status="unfinished", best_step=None, best_validation_loss=None)
        return page_of([run_source(folder, results=results, table=big_table(2, steps))], live=version)

    server = make_server(page, lambda: str(now["steps"]), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", now
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_follows_the_run_keeps_the_choice_and_asks_nobody_else(browser, live):
    address, now = live
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(address, timeout=WAIT)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=WAIT)
    page.locator("#score").select_option("raw")
    page.locator("#slider").evaluate("e => { e.value = 2; e.dispatchEvent(new Event('input')); }")
    now["steps"] = 9
    sync_api.expect(page.locator("#slider")).to_have_attribute("max", "8", timeout=WAIT)
    assert page.locator("#step").text_content() == "step 3"
    assert page.locator("#score").input_value() == "raw"
    page.locator("#follow").uncheck()
    loads = asked.count(address)
    now["steps"] = 12
    page.wait_for_timeout(3500)
    assert asked.count(address) == loads
    assert set(asked) <= {address, f"{address}version", f"{address}favicon.ico"}
    assert [words for words in said if "favicon" not in words] == []
    context.close()
