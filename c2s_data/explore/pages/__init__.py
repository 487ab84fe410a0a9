"""Pages for a browser: what they show, packed; the page around it; who writes and who serves it."""
