"""The answers of the operators' routes, field by field; the API's description is made from them (app/openapi.py)."""

from pydantic import Field

from shared.core.protocol import Wire


class HealthView(Wire):
    """The process is alive."""

    status: str
    version: str
    engine: str = Field(description="The version of the WhatsApp library.")
    sockets: int = Field(description="Browsers that are connected to this process.")


class ReadyView(Wire):
    """State of each part: `ok`, or what is wrong with it."""

    status: str = Field(description="`ok` or `ill`.")
    redis: str
    workers: str
    store: str = Field(description="`ok` if a worker reaches the device store.")
    client: str = Field(description="`ok` if WhatsApp takes our client's version; 503 does not follow from it.")
    clock: str = Field(
        description="Whose host's clock differs from Redis', and by how much. Nothing here goes by it; 503 does not follow."
    )
