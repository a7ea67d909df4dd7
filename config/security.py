"""What browsers may do on our pages, for `settings.CONTENT_SECURITY_POLICY`."""

from __future__ import annotations

from typing import Any


def content_security_policy() -> dict[str, Any]:
    """Return the policy for every page: nothing from elsewhere, and no script in the page itself.

    `'unsafe-eval'` is for Alpine, which Unfold's pages are made with: it evaluates attributes of our own templates.
    Neither injected `<script>` nor `on…` attributes run. Styles in attributes are Unfold's and Chart.js's.
    """
    own = "'self'"
    return {
        "DIRECTIVES": {
            "default-src": [own],
            "script-src": [own, "'unsafe-eval'"],
            "style-src": [own, "'unsafe-inline'"],
            "img-src": [own, "data:"],
            "media-src": [own, "blob:"],
            "object-src": ["'none'"],
            "frame-ancestors": ["'none'"],
            "base-uri": [own],
            "form-action": [own],
        }
    }
