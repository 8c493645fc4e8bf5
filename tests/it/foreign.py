"""A client that knows nothing but docs/messages.md: puts jobs in front of a worker, and what no worker can make a job of.

Arguments: the broker's url, the queue, what to send (`good N` or `hostile`). Prints as JSON what each hostile message's
reason must be, by its id. It must never end before every message is confirmed.
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
    """What is named, its reason, its properties, its body."""
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
    # As only the dispatcher may speak, and not even as it does.
    yield UUID, "bad-header", {"type": KIND, "headers": {"lockgate-dispatch": "first"}}, fine


def main(url, queue, what, number="0"):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    reasons = {}
    for name, reason, properties, body in hostile() if what == "hostile" else good(int(number)):
        properties = pika.BasicProperties(message_id=name, delivery_mode=2, **properties)
        # Confirmed one by one; what no queue takes, or the broker refuses, is an exception.
        channel.basic_publish("", queue, body, properties, mandatory=True)
        if reason:
            reasons[name] = reason
    connection.close()
    print(json.dumps(reasons))


main(*sys.argv[1:])
