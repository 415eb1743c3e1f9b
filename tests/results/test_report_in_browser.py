"""The report in a real browser: nothing is asked for outside, and tables are sorted, filtered and copied."""

import shutil

import pytest

import lvmbench
from tests.results.test_report import ARABIC, NAMES, SCRIPT, odd_runs, write

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the path")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    directory = write(tmp_path_factory.mktemp("report") / "odd", list(odd_runs()))
    return lvmbench.load(directory).report().as_uri()


@pytest.fixture
def visit(browser, address):
    """Open the report, in a browser of some settings; nothing may go wrong, nor anything be asked for."""
    contexts, wrong = [], []

    def visit(place="", **settings):
        contexts.append(context := browser.new_context(**settings))
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url[:5] not in OWN else None)
        page.goto(address + place)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


OWN = ("file:", "data:", "blob:")
BOARD = "#board > .scroll table.grid"


def column(page, header):
    """The texts of a column of the leaderboard, top down."""
    heads = [text.strip() for text in page.locator(f"{BOARD} thead th").all_inner_texts()]
    place = next(i for i, text in enumerate(heads) if text.startswith(header))
    return page.locator(f"{BOARD} tbody tr td:nth-child({place + 1})").all_inner_texts()


def test_the_page_opens_without_a_word(visit):
    page = visit()
    assert page.title() == "Report: demo (version 1)"
    assert page.locator("h2").first.inner_text() == "In short"


def test_names_are_shown_as_text(visit):
    page = visit()
    shown = page.locator("main").inner_text()
    assert all(name in shown for name in NAMES)
    assert column(page, "prior")[0] == SCRIPT
    assert page.locator(f"#board a:text-is('{ARABIC}')").first.is_visible()


def await_order(page, title, order):
    """Wait until a table is sorted by a column: it is some time after the click."""
    page.locator(f"{BOARD} th[aria-sort='{order}']", has_text=title).first.wait_for()


def test_columns_are_sorted_by_their_numbers(visit):
    page = visit()
    page.locator(f"{BOARD} th", has_text="Elbo").first.click()
    await_order(page, "Elbo", "ascending")
    rising = [float(text.split(" ")[0]) for text in column(page, "Elbo")]
    assert rising == sorted(rising)
    page.locator(f"{BOARD} th", has_text="Elbo").first.click()
    await_order(page, "Elbo", "descending")
    assert [float(text.split(" ")[0]) for text in column(page, "Elbo")] == rising[::-1]


def test_columns_are_sorted_by_the_keyboard(visit):
    page = visit()
    page.locator(f"{BOARD} th", has_text="posterior").locator("[tabindex='0']").or_(
        page.locator(f"{BOARD} th[tabindex='0']", has_text="posterior")
    ).first.focus()
    page.keyboard.press("Enter")
    await_order(page, "posterior", "ascending")
    assert column(page, "posterior") == sorted(column(page, "posterior"))


def test_rows_are_filtered(visit):
    page = visit()
    page.locator("#board input[type='search']").fill("vamp iaf")
    assert column(page, "prior") == ["vamp[components=50]"]
    assert column(page, "posterior") == ["iaf[flows=2]"]


def test_columns_are_chosen(visit):
    page = visit()
    before = page.locator(f"{BOARD} thead th").all_inner_texts()
    page.locator("#board").get_by_role("button", name="Columns").first.click()
    page.locator(".dt-button-collection button", has_text="Elbo").click()
    page.keyboard.press("Escape")
    assert page.locator(f"{BOARD} thead th").all_inner_texts() == [
        text for text in before if "Elbo" not in text
    ]


def test_what_is_shown_is_copied_as_csv(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#board").get_by_role("button", name="Copy csv").click()
    page.wait_for_selector(".dt-button-info")
    copied = page.evaluate("navigator.clipboard.readText()")
    head, *rows = copied.strip().splitlines()
    assert head.startswith('"rank","prior","posterior"')
    assert len(rows) == page.locator(f"{BOARD} tbody tr").count()
    assert f'"{SCRIPT}"' in rows[0]


def test_an_anchor_opens_what_it_is_in(visit):
    page = visit()
    page.locator(f"{BOARD} tbody tr td a").last.click()
    place = page.url.partition("#")[2]
    assert place.startswith("combination-")
    assert page.locator(f"[id='{place}'] table").is_visible()
    again = visit(f"#{place}")
    assert again.locator(f"[id='{place}'] table").is_visible()


def test_without_scripts_tables_are_whole(visit):
    page = visit(java_script_enabled=False)
    rows = page.locator(f"{BOARD} tbody tr")
    assert rows.count() == 8
    assert rows.first.is_visible()
    with_script = visit().evaluate(f"new DataTable.Api('{BOARD}').columns().count()")
    assert page.locator(f"{BOARD} thead th").count() == with_script


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper(visit, scheme):
    page = visit(color_scheme=scheme)
    paper, ink, drawn = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
        " getComputedStyle(document.querySelector('svg text')).fill]"
    )
    light = {
        name: sum(map(int, colour[4:-1].split(","))) / 3
        for name, colour in {"paper": paper, "ink": ink, "drawn": drawn}.items()
    }
    assert (light["paper"] > 200) == (scheme == "light")
    assert abs(light["paper"] - light["ink"]) > 150
    assert abs(light["paper"] - light["drawn"]) > 100


def test_a_phone_scrolls_down_only(visit):
    page = visit(viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_it_prints(visit):
    page = visit()
    assert page.pdf(format="A4")[:4] == b"%PDF"
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#board input[type='search']").is_visible()
