import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from densenet_classifier import __version__
from densenet_classifier.formats import FORMATS
from densenet_classifier.page import Page, render

# HTML Living Standard, 13.1.2: elements that have no end tag.
VOID = {"br", "hr", "img", "input", "link", "meta"}
LOADING = {"action", "background", "cite", "data", "formaction", "href", "poster", "src", "srcset"}
HOSTILE = """"><script>alert('x')</script>&amp;$model${style}"""


class Document(HTMLParser):
    """What stands in a document: elements with their attributes, and the text of each kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, str] = {}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text[tag] = self.text.get(tag, "") + data

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, wanted: str) -> dict[str, str]:
        [found] = [each for _, each in self.elements if each.get("id") == wanted]
        return found


@pytest.fixture
def page() -> Page:
    return render("densenet121", "imagenet1k-v1")


@pytest.fixture
def document(page: Page) -> Document:
    return Document(page.html)


def directives(policy: str) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in policy.split(";"))
    return {name: value for name, _, value in parts}


def csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def test_every_element_is_closed_and_none_is_placed_wrongly(document: Document) -> None:
    assert document.open == []


def test_the_document_is_html_in_utf_8_and_english(page: Page, document: Document) -> None:
    assert page.html.startswith("<!doctype html>\n")
    assert document.attributes("html") == [{"lang": "en"}]
    # HTML Living Standard, 4.2.5.4: within the first 1024 bytes.
    assert b'<meta charset="utf-8">' in page.html.encode()[:1024]


def test_every_id_is_there_once_and_every_reference_has_one(document: Document) -> None:
    ids = [each["id"] for _, each in document.elements if "id" in each]
    references = [
        each[name]
        for _, each in document.elements
        for name in ("for", "aria-labelledby", "aria-describedby")
        if name in each
    ]
    assert len(set(ids)) == len(ids)
    assert set(references) <= set(ids)


def test_the_script_finds_all_it_looks_for(document: Document) -> None:
    ids = {each["id"] for _, each in document.elements if "id" in each}
    classes = {word for _, each in document.elements for word in each.get("class", "").split()}
    script = document.text["script"]
    assert set(re.findall(r'find\("#([\w-]+)"', script)) <= ids
    assert set(re.findall(r'(?:find|part)\("\.([\w-]+)', script)) <= classes


def test_nothing_is_loaded_from_elsewhere(page: Page, document: Document) -> None:
    links = {
        (tag, name, value)
        for tag, attributes in document.elements
        for name, value in attributes.items()
        if name in LOADING
    }
    assert links == {
        ("link", "href", "data:,"),  # an icon, so that browsers do not ask for /favicon.ico
        ("form", "action", "/predictions/densenet121"),
    }
    assert "://" not in page.html
    assert not re.search(r"@import|url\(", document.text["style"])
    assert not re.search(r"\bimport\b", document.text["script"])


def test_no_style_and_no_handler_stands_in_an_attribute(document: Document) -> None:
    names = {name for _, attributes in document.elements for name in attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}


def test_the_one_style_and_the_one_script_are_those_of_the_policy(
    page: Page, document: Document
) -> None:
    allowed = directives(page.content_security_policy)
    assert len(document.attributes("style")) == len(document.attributes("script")) == 1
    assert allowed["style-src"] == csp_hash(document.text["style"])
    assert allowed["script-src"] == csp_hash(document.text["script"])


def test_the_policy_allows_nothing_else(page: Page) -> None:
    allowed = directives(page.content_security_policy)
    assert {name: allowed[name] for name in allowed if name not in {"style-src", "script-src"}} == {
        "default-src": "'none'",
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_document_carries_the_policy_but_for_what_only_a_header_can_say(
    page: Page, document: Document
) -> None:
    [inside] = [
        each["content"]
        for each in document.attributes("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert f"{inside}; frame-ancestors 'none'" == page.content_security_policy


def test_the_headers_carry_the_policy(page: Page) -> None:
    assert page.headers == {
        "Content-Security-Policy": page.content_security_policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept",
    }


def test_the_page_says_what_answers(document: Document) -> None:
    said = " ".join(document.text["footer"].split())
    wanted = f"Answered by densenet121, version {__version__}, with the weights imagenet1k-v1."
    assert said == wanted


@pytest.mark.parametrize(
    ("weights", "explained"),
    [("demo", True), ("imagenet1k-v1", False), ("custom:0123456789ab", False)],
)
def test_demo_weights_are_explained(weights: str, *, explained: bool) -> None:
    document = Document(render("densenet121", weights).html)
    assert ("hidden" not in document.by_id("demo")) == explained
    assert document.text["code"].endswith(weights)


def test_without_a_script_the_form_sends_one_file(document: Document) -> None:
    form = document.by_id("upload")
    assert (form["method"], form["enctype"]) == ("post", "multipart/form-data")
    named = {each["name"]: each for each in document.attributes("input") if "name" in each}
    assert set(named) == {"file", "top_k"}
    assert named["file"]["type"] == "file"
    assert "multiple" not in named["file"]
    assert named["top_k"] == {"name": "top_k", "type": "hidden", "value": "5"}
    assert "Classify" in document.text["noscript"]


def test_the_token_is_hidden_and_never_part_of_a_form(document: Document) -> None:
    token = document.by_id("token")
    assert token["type"] == "password"
    assert token["autocomplete"] == "off"
    assert "name" not in token


def test_the_accepted_formats_are_the_servers(document: Document) -> None:
    accepted = document.by_id("file")["accept"].split(",")
    assert accepted == [f"image/{name.lower()}" for name in FORMATS]
    assert ", ".join(FORMATS) in document.text["form"]


def test_hostile_names_stay_text() -> None:
    plain, document = Document(render("m", "w").html), Document(render(HOSTILE, HOSTILE).html)
    assert [tag for tag, _ in document.elements] == [tag for tag, _ in plain.elements]
    assert document.open == []
    assert document.text["code"].endswith(HOSTILE)
    assert document.text["title"] == f"Image classification: {HOSTILE}"
    assert document.text["script"] == plain.text["script"]


def test_the_name_of_a_model_is_one_segment_of_the_path() -> None:
    document = Document(render("../a b?c/d", "w").html)
    assert document.by_id("upload")["action"] == "/predictions/..%2Fa%20b%3Fc%2Fd"


def test_equal_names_give_equal_pages(page: Page) -> None:
    assert render("densenet121", "imagenet1k-v1") == page
