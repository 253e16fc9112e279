"""A back end's client, from the generated package alone: it links a company, sends a text, and reads its end."""

import json
import sys
import time
from collections.abc import Callable

from whats_app_onboarding_client import AuthenticatedClient
from whats_app_onboarding_client.api.companies import attempt, companies, message, send, start_attempt
from whats_app_onboarding_client.api.links import create_link, link
from whats_app_onboarding_client.models import (
    AttemptView,
    CompaniesPage,
    CompaniesState,
    LinkStatus,
    LinkView,
    MessageState,
    MessageStatus,
    MessageView,
    Method,
    NewAttempt,
    NewLink,
    NewMessage,
    ProblemView,
    State,
)

url, key, company, to = sys.argv[1:]
api = AuthenticatedClient(base_url=url, token=key, timeout=30)
text = NewMessage(to=to, text="hello")


def say(**said: object) -> None:
    print(json.dumps(said), flush=True)


def until(wanted: Callable[[AttemptView], object]) -> AttemptView:
    seen = ""
    for _ in range(100):
        answer = attempt.sync_detailed(company, client=api, wait=10, if_none_match=seen)
        seen = answer.headers.get("etag", seen)
        if isinstance(answer.parsed, AttemptView) and wanted(answer.parsed):
            return answer.parsed
    raise TimeoutError


made = create_link.sync(client=api, body=NewLink(company_id=company, company_name="Salon"))
assert isinstance(made, LinkView)
opened = link.sync(made.id, client=api)
assert isinstance(opened, LinkStatus)

start_attempt.sync(company, client=api, body=NewAttempt(method=Method.QR))
say(qr=until(lambda view: view.qr).qr.text)
linked = until(lambda view: view.state is State.LINKED)
page = companies.sync(client=api, state=CompaniesState.LINKED, limit=100)
assert isinstance(page, CompaniesPage)

sent = send.sync(company, client=api, body=text)
assert isinstance(sent, MessageView)
end = None
while end in {None, MessageState.QUEUED, MessageState.SENDING, MessageState.SENT}:
    time.sleep(0.1)
    stands = message.sync(company, sent.id, client=api)
    assert isinstance(stands, MessageStatus)
    end = stands.state
refused = send.sync("nobody", client=api, body=text)
assert isinstance(refused, ProblemView)
say(
    link=opened.state.value,
    attempt=linked.state.value,
    listed=any(one.session_id == linked.session_id for one in page.companies),
    message=end.value,
    refused=refused.type_,
)
