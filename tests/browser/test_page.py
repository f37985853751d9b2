"""docs/browser: the page that needs no Python, in Chromium, against the package."""

import http.server
import json
import threading
from functools import partial
from pathlib import Path

import pytest

import course

GOLDEN = Path(__file__).parents[3] / "shared/data/vocab/golden_strings.json"
# blanks, accents, capitals that grow, punctuation, scripts, emoji, control characters, long words, tokens written out
AWKWARD = ["", " ", "a", "  two  blanks\tand\na line ", "naïve café, Ångström", "STRASSE straße İstanbul ǅ", "don't (stop)—now…", "5,000 $ + 7 % = ≠ ½",
           "“quoted” ‚so‘ «or so»", "人民日报 said so", "日本語のテキスト", "한국어 문장", "नमस्ते दुनिया", "مرحبا بالعالم", "שלום", "Привет, мир!", "e\u0301 vs é",
           "zero\u200bwidth\u00adsoft\ufeff", "nul\0 and \ufffd", "bell\x07 escape\x1b", "non\u00a0breaking\u2003wide\u2028line", "👍🏽 👩‍👩‍👧 flags 🇦🇺",
           "x" * 100, "y" * 101, "un" * 60, "word##piece ## #", "[MASK]", "a [MASK] b[SEP]c", "[mask] [ MASK ] [UNK]", "http://a.b/c?d=e&f", "e-mail@x.org",
           "𝔊𝔬𝔱𝔥𝔦𝔠 𠀀 𪚥", "ﬁ ﬂ ﬃ", "Ωmega ΑΣ", "a\u0300\u0301\u0302b", "snake_case_and`ticks`", "~^|\\{}<>", "१२३ ٣٤٥ ⅷ", "\ue000private", "ꙮ ᚠ ߊ"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page as `course export --to browser` makes it."""
    pytest.importorskip("onnxruntime", reason='no onnxruntime: pip install "course[onnx]"')
    pytest.importorskip("onnx", reason='no onnx: pip install "course[onnx]"')
    from course.browser import write_page
    from course.export import real_texts
    made = tmp_path_factory.mktemp("page") / "page"
    write_page(folder=made, texts=real_texts(100))
    return made


@pytest.fixture
def page(chromium, folder, request):
    """The page, opened and ready, with what a reader should never see in page.complaints."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    opened = chromium.new_page(viewport={"width": 1024, "height": 900})
    opened.set_default_timeout(60_000)
    opened.complaints = []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else opened.complaints.append(asked.url))
    opened.goto(f"{address}/index.html")
    opened.wait_for_selector("body[data-ready=yes]")
    yield opened
    if pictures := request.config.getoption("--screenshot", default=None):
        pictures.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            opened.emulate_media(color_scheme=scheme)
            opened.screenshot(path=pictures / f"page-{scheme}.png", full_page=True)
    opened.close()
    server.shutdown()
    server.server_close()


def test_the_page_reads_and_answers_as_the_package_does(page, folder):
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 25e6
    # tokens: as with and without special tokens in a text
    texts = AWKWARD + [row["input"] for rows in (json.loads(GOLDEN.read_text("utf-8")).values() if GOLDEN.is_file() else [])
                       for row in rows if isinstance(row, dict) and isinstance(row.get("input"), str)]
    tokenizer = course.AutoTokenizer.from_pretrained("pocket/sentiment")
    for special in (True, False):
        found = page.evaluate("([texts, special]) => texts.map(text => course.tokenizer.encode(text, {special}).ids)", [texts, special])
        wanted = tokenizer(texts, split_special_tokens=not special, truncation=True, max_length=512)["input_ids"]
        assert [t for t, a, b in zip(texts, found, wanted, strict=True) if a != b] == []
    # labels, and how long they take
    answers = course.load_dataset("local_life").query("language == 'en'")["answer"].tolist()[:100]
    found = page.evaluate("async texts => { const all = []; for (const t of texts) all.push(await course.classify(t)); return all; }", answers)
    said = [max(one["labels"], key=lambda label: label["score"])["label"] for one in found]
    wanted = [one["label"] for one in course.pipeline("sentiment-analysis", model="pocket/sentiment")(answers)]
    assert sum(a == b for a, b in zip(said, wanted, strict=True)) >= 99
    print(f"\nmedian {sorted(one['ms'] for one in found)[50]:.0f} ms a text, {len(texts)} strings read alike")
    # gaps
    gap = "The [MASK] of the country is its capital."
    (guesses,) = page.evaluate("async text => (await course.fill(text)).gaps", gap)
    wanted = course.pipeline("fill-mask", model="pocket/encoder")(gap)
    assert len({g["word"] for g in guesses} & {w["token_str"] for w in wanted}) >= 4
    assert abs(guesses[0]["score"] - wanted[0]["score"]) < 0.1
    assert page.complaints == []


def test_the_page_is_used_with_the_keyboard_alone(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sentiment-text"
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("unhelpful [SEP]")
    page.wait_for_function("document.getElementById('sentiment-tokens').innerText.includes('sep')")      # six characters, no token
    tokens = page.locator("#sentiment-tokens li").all_inner_texts()
    assert tokens[0].startswith("[CLS]") and tokens[-1].startswith("[SEP]") and len([t for t in tokens if t.startswith("[SEP]")]) == 1
    shares = [int(text.split()[0]) for text in page.locator("#sentiment-answer .share").all_inner_texts()]
    assert len(shares) == 2 and 99 <= sum(shares) <= 101
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("We need a new ")
    page.wait_for_selector("#gap-hint:not([hidden])")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")                        # the button puts a gap where the cursor was
    page.wait_for_selector("#gap-answer .row")
    assert page.locator("#gap-text").input_value() == "We need a new [MASK]" and page.locator("#gap-answer .row").count() == 5
    assert page.evaluate("document.activeElement.id") == "gap-text"
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1024, "height": 900})
    assert page.complaints == []


def test_nothing_typed_is_no_answer_and_a_text_is_never_markup(page):
    page.fill("#sentiment-text", " \n ")
    page.wait_for_selector("#sentiment-hint:not([hidden])")
    assert page.locator("#sentiment-answer .row").count() == 0
    page.fill("#sentiment-text", "<img src=x onerror=alert(1)> <b>good</b> &amp; " + "a long text, that never ends. " * 120)
    page.wait_for_selector("text=the rest is longer than the model reads")
    assert page.locator("#sentiment-answer .row").count() == 2 and page.locator("#sentiment-hint").is_hidden()
    assert page.locator("#sentiment-tokens img, #sentiment-tokens b").count() == 0
    page.evaluate("void (course.classify = (ask => async text => { if (text === 'break') throw new Error('broken'); return ask(text); })"
                  "(course.classify.bind(course)))")
    page.fill("#sentiment-text", "break")
    page.wait_for_selector("text=The model could not answer. broken")
    page.fill("#sentiment-text", "go on")               # after a text that failed
    page.wait_for_function("document.getElementById('sentiment-tokens').innerText.includes('go')")
    assert page.locator("#loading").is_hidden() and page.complaints == []


def test_how_long_an_answer_takes(page):
    """Prints the time from a key to the frame that shows the answer; a figure, not a condition."""
    texts = course.load_dataset("local_life").query("language == 'en'")["answer"].tolist()[:25]
    page.evaluate("""() => {
        window.times = [];
        let began;
        document.addEventListener("keydown", () => { began = performance.now(); }, true);
        for (const name of ["sentiment", "gap"])
            new MutationObserver(() => requestAnimationFrame(() => {
                if (began) times.push(performance.now() - began);
                began = undefined;
            })).observe(document.getElementById(`${name}-tokens`), {childList: true});
    }""")
    for name, ending in (("sentiment", ""), ("gap", " We need more [MASK].")):
        for number, text in enumerate(texts):
            page.fill(f"#{name}-text", text + ending)
            page.wait_for_timeout(100)
            page.keyboard.press("!")
            page.wait_for_function(f"times.length > {number}")
        times = sorted(page.evaluate("times.splice(0)"))
        print(f"\n{name}: median {times[len(times) // 2]:.0f} ms from key to answer, 95 % within {times[int(0.95 * len(times))]:.0f} ms")
    assert page.complaints == []


def test_files_that_are_missing_are_named(chromium, folder, tmp_path):
    page = chromium.new_page()
    page.route("**/*", lambda route: route.fulfill(status=404) if "model.onnx" in route.request.url else route.fulfill(
        path=folder / route.request.url.partition("//page/")[2], content_type="text/javascript" if "js" in route.request.url[-4:] else None))
    page.goto("http://page/index.html")
    page.wait_for_selector(".error")
    assert "model.onnx.gz is missing (404)" in page.inner_text("#loading")
    page.unroute("**/*")
    page.route("**/*", lambda route: route.abort() if "vocab.txt" in route.request.url else route.fulfill(
        path=folder / route.request.url.partition("//page/")[2], content_type="text/javascript" if "js" in route.request.url[-4:] else None))
    page.reload()
    page.wait_for_selector(".error")
    assert "vocab.txt did not arrive: is there a connection?" in page.inner_text("#loading")
    page.close()
