"""A client written from docs/messages.md alone. It sends valid jobs, and messages that no worker can handle.

Arguments: url of the broker, name of the queue, what to send (`good N` or `hostile`). Prints the expected reason of each
hostile message by its id, as JSON. It ends after every message is confirmed.
"""

import gzip
import json
import sys

import pika

KIND = "spike-projection"
UUID = "01936f3c-8c7e-7000-8000-000000000001"


def good(number):
    for organization in range(1, number + 1):
        body = json.dumps({"organization_id": organization}).encode()
        yield f"org-{organization}", None, {"type": KIND}, body


def hostile():
    """Yields name, expected reason, properties and body."""
    fine = json.dumps({"organization_id": 1}).encode()
    for name, reason, body in [
        ("one-byte-too-long", "oversized", b'{"organization_id": 1}'.ljust(256 * 1024 + 1)),
        ("a-megabyte", "oversized", b"x" * 1_000_000),
        ("latin-1", "not-utf8", '{"organization_id": "Zürich"}'.encode("latin-1")),
        ("compressed", "not-utf8", gzip.compress(fine)),
        ("empty", "malformed", b""),
        ("cut-off", "malformed", fine[:-1]),
        ("single-quotes", "malformed", b"{'organization_id': 1}"),
        ("two-in-one", "malformed", fine + fine),
        ("one-level-too-deep", "too-deep", b"[" * 65 + b"]" * 65),
        ("very-deep", "too-deep", b"[" * 200_000),
        ("a-fraction", "bad-payload", b'{"organization_id": 1.5}'),
        ("another-field", "bad-payload", b'{"organisation_id": 1}'),
        ("no-payload", "bad-payload", b"null"),
    ]:
        yield name, reason, {"type": KIND}, body
    yield "no-type", "no-kind", {}, fine
    yield "another-kind", "unknown-kind", {"type": "webhook-delivery"}, fine
    for name, properties in [
        ("a-blank-in-the-type", {"type": KIND + " "}),
        ("a-run-that-is-no-uuid", {"type": KIND, "headers": {"lockgate-run": "tonight"}}),
        ("a-key-that-is-no-text", {"type": KIND, "headers": {"lockgate-key": 7}}),
        ("a-tenant-that-is-too-long", {"type": KIND, "headers": {"lockgate-tenant": "t" * 201}}),
    ]:
        yield name, "bad-header", properties, fine
    # Headers that only the dispatcher uses, and with an invalid value.
    yield UUID, "bad-header", {"type": KIND, "headers": {"lockgate-dispatch": "first"}}, fine


def main(url, queue, what, number="0"):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    reasons = {}
    for name, reason, properties, body in hostile() if what == "hostile" else good(int(number)):
        properties = pika.BasicProperties(message_id=name, delivery_mode=2, **properties)
        # Confirmed one by one. A message that no queue accepts, or that the broker rejects, raises an
        # exception.
        channel.basic_publish("", queue, body, properties, mandatory=True)
        if reason:
            reasons[name] = reason
    connection.close()
    print(json.dumps(reasons))


main(*sys.argv[1:])
