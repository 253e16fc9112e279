"""The reference for people says all that the description says, and asks nobody else for anything."""

import re

from app.openapi import document
from app.reference import render


async def test_it_names_every_operation_schema_and_event_and_needs_no_key(web):
    del web.headers["authorization"]
    page = await web.get("/docs")
    assert page.status_code == 200
    made = document()
    names = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    missing = [name for name in [*names, *made["components"]["schemas"]] if f'id="{name}"' not in page.text]
    assert missing == []
    assert [name for name in made["webhooks"] if f"<code>{name}</code>" not in page.text] == []


async def test_every_link_inside_leads_somewhere_and_nothing_is_loaded_from_elsewhere(web):
    page = (await web.get("/docs")).text
    targets = re.findall(r'(?:href|src)="([^"]+)"', page)
    inside = {one[1:] for one in targets if one.startswith("#")}
    assert inside <= set(re.findall(r'id="([^"]+)"', page))
    outside = {one for one in targets if not one.startswith("#")}
    assert outside == {"/docs/style.css", "/api/v1/openapi.json"}
    assert (await web.get("/docs/style.css")).headers["content-type"].startswith("text/css")
    assert "<script" not in page
    assert "unsafe" not in (await web.get("/docs")).headers["content-security-policy"]


def test_texts_of_the_description_never_become_markup():
    made = document()
    made["info"]["description"] = "<script>alert(1)</script> and `<b>`"
    page = render(made)
    assert "<script>" not in page
    assert "<code>&lt;b&gt;</code>" in page
