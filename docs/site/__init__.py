"""`python -m docs.site`: the documents as a small static site, in `site/`.

Sphinx with MyST reads the very pages that stand in the repository; nothing is written for the site alone but its
contents. It asks no other host for anything. Every link is checked: those between pages by Sphinx, all of what was built
by `links.faults`.
"""
