"""The sheet of labels of a factory's batch: one HTML page to print, which needs nothing else.

No script, no font, no image from elsewhere; the content security policy allows its own style and nothing more.
"""

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jinja2
import segno
from markupsafe import Markup

if TYPE_CHECKING:
    from bollard.identity.factory import Label

_STYLE = """
body { font: 11pt sans-serif; margin: 8mm; color: #000; background: #fff; }
main { display: flex; flex-wrap: wrap; gap: 4mm; }
section { width: 56mm; padding: 3mm; border: 0.3mm dashed #888; text-align: center; break-inside: avoid; }
section svg { width: 36mm; height: 36mm; }
b { display: block; font-size: 11pt; overflow-wrap: anywhere; }
code { display: block; font-size: 7.5pt; overflow-wrap: anywhere; }
@media print { header { display: none; } body { margin: 0; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{{ style_hash }}'">
<meta name="referrer" content="no-referrer">
<title>Labels {{ labels[0].identity }} to {{ labels[-1].identity }}</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<p>{{ labels|length }} labels. Each is a secret: it gives one device its identity, once. Print this page, put each
label on or into its device, then delete the file. This paragraph is not printed.</p>
</header>
<main>
{% for label in labels %}
<section>{{ qr(label.text()) }}<b>{{ label.identity }}</b><code>{{ label.text() }}</code></section>
{% endfor %}
</main>
</body>
</html>
"""


def render_labels(labels: Sequence["Label"]) -> bytes:
    """The page: a secret, as every label is."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    digest = hashlib.sha256(_STYLE.encode()).digest()
    page = environment.from_string(_PAGE).render(
        labels=labels,
        qr=_qr,
        style=Markup(_STYLE),  # noqa: S704  # our own constant; escaped, it would not match its hash
        style_hash=base64.b64encode(digest).decode(),
    )
    return page.encode()


def _qr(text: str) -> Markup:
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, nl=False, omitsize=True, svgclass=None, lineclass=None
    )
    return Markup(out.getvalue().decode())  # noqa: S704  # modules of a code as numbers; no text of others
