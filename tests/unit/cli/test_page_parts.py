"""Pages hold any text without it becoming markup."""

import html
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from motoko.cli.render.page_parts import element, page, table


class Read(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@given(st.text(), st.text())
def test_texts_stay_texts(text, attribute):
    made = page("title", [element("p", text, title=attribute), table(("a",), [[text]], [0])])
    read = Read()
    read.feed(made)
    tags = [tag for tag, _ in read.tags]
    plain = page("title", [element("p", "x", title="y"), table(("a",), [["x"]], [0])])
    other = Read()
    other.feed(plain)
    assert tags == [tag for tag, _ in other.tags]
    made.encode()


def test_markup():
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\ud800"
    made = page(evil, [element("p", evil, title='"><script>')])
    read = Read()
    read.feed(made)
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert html.escape("<script>alert(1)", quote=False) in made
    assert "\x1b" not in made
    assert "default-src 'none'" in made
