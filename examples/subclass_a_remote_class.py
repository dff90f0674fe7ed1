"""A class of the child, subclassed here: its methods run there and call the overriding ones here."""

import html.parser

import saranwrap

remote = saranwrap.wrap(html.parser)

PAGE = """
<h1>Saranwrap</h1>
<p>One <a href="guide.md">guide</a>, one <a href="protocol.md">protocol</a>.</p>
"""


class Links(remote.HTMLParser):
    """Collects the targets of links, and the text."""

    def __init__(self):
        super().__init__()
        self.targets = []
        self.words = []

    def handle_starttag(self, tag, attrs):
        """Called by the remote parser for each opening tag."""
        if tag == "a":
            self.targets.append(dict(attrs)["href"])

    def handle_data(self, data):
        """Called by the remote parser for each piece of text."""
        self.words += data.split()


parser = Links()
parser.feed(PAGE)
parser.close()

print("links:", parser.targets)
print("words:", " ".join(parser.words))
assert parser.targets == ["guide.md", "protocol.md"]
assert parser.words[0] == "Saranwrap"
assert isinstance(parser, remote.HTMLParser)
