#!/usr/bin/env python3
"""Consumes Millrace's stream of events into an SQLite table, each event once.

    pip install nats-py protobuf
    protoc -I protos/proto --include_imports --descriptor_set_out=millrace.desc \
        millrace/v1/event.proto          # or: cargo run -p millrace-stream --example descriptors
    python examples/consume.py --url nats://127.0.0.1:4222 --descriptors millrace.desc \
        --database payments.sqlite

The pattern is all that "each event once" needs:

1. The effect of an event and the cursor (the sequence of the last event processed) are committed in one
   transaction, in your own database.
2. After a start or a failure, consume from the cursor on. The server keeps no state for you, so nothing
   has to be acknowledged, and nothing can disagree with your cursor.
3. Skip events up to the cursor: a message may begin before it.
4. An event beyond cursor + 1 is a gap: stop. The stream has dropped what was not read.
"""

import argparse
import asyncio
import sqlite3
import sys

import nats
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from nats.errors import TimeoutError as NothingNew
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

SCHEMA_VERSION = 1


class Gap(Exception):
    """Events are missing before this message."""


def event_frame_class(path):
    """The class of millrace.v1.EventFrame, made of the descriptors in the file."""
    descriptors = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        descriptors.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("millrace.v1.EventFrame"))


def enum_name(message, field):
    """The name of an enum's value: SETTLED for PAYMENT_STATUS_SETTLED."""
    number = getattr(message, field)
    descriptor = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)  # of a later version
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix)


def amount(low, high):
    """Amounts have 128 bits, in minor units."""
    return high << 64 | low


class Payments:
    """The table of payments, and the cursor beside it."""

    def __init__(self, path):
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE IF NOT EXISTS payments (
                sequence INTEGER PRIMARY KEY, payment_id TEXT NOT NULL, status TEXT NOT NULL,
                reason TEXT NOT NULL, amount_minor TEXT NOT NULL, ledger INTEGER NOT NULL,
                reference TEXT NOT NULL);
            -- stream_sequence is a hint: where in the stream the cursor's event was.
            CREATE TABLE IF NOT EXISTS cursor (
                journal TEXT NOT NULL, sequence INTEGER NOT NULL, stream_sequence INTEGER NOT NULL);
            """
        )

    def cursor(self):
        query = "SELECT journal, sequence, stream_sequence FROM cursor"
        return self.database.execute(query).fetchone() or (None, 0, 0)

    def apply(self, frame, stream_sequence):
        """Applies what is new in the frame. Effect and cursor are committed together."""
        journal, last, _ = self.cursor()
        found = frame.journal_id.hex()
        if journal not in (None, found):
            sys.exit(f"the stream is of journal {found}, and this table of journal {journal}")
        if frame.first_sequence > last + 1:
            raise Gap(f"event {frame.first_sequence} came where {last + 1} was due")
        self.database.execute("BEGIN IMMEDIATE")
        for event in frame.events:
            if event.sequence > last:
                self.insert(event)
                last = event.sequence
        self.database.execute("DELETE FROM cursor")
        self.database.execute("INSERT INTO cursor VALUES (?, ?, ?)", (found, last, stream_sequence))
        self.database.execute("COMMIT")

    def insert(self, event):
        kind = event.WhichOneof("kind")
        if kind != "payment_decided":
            return  # hold_expired, account_changed, act_recorded, or of a later version
        payment, outcome = event.payment_decided.payment, event.payment_decided.outcome
        self.database.execute(
            "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event.sequence,
                payment.payment_id.hex(),
                enum_name(outcome, "status"),
                enum_name(outcome, "reject_reason") if outcome.reject_reason else "",
                str(amount(outcome.amount_minor, outcome.amount_minor_high)),
                payment.ledger,
                payment.context.reference,
            ),
        )


async def consume(args, payments, stream, start):
    """Consumes from a message of the stream on; 0 is the oldest one."""
    EventFrame = event_frame_class(args.descriptors)
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL,
        opt_start_seq=start or None,
        inactive_threshold=300,
    )
    consumer = await stream.pull_subscribe(args.subject, stream=args.stream, config=config)
    while True:
        try:
            messages = await consumer.fetch(16, timeout=args.wait)
        except NothingNew:
            if args.stop_at_end:
                return
            continue
        for message in messages:
            if int(message.header["Millrace-Schema"]) > SCHEMA_VERSION:
                sys.exit("the stream has a later schema: get the present event.proto")
            frame = EventFrame()
            frame.ParseFromString(message.data)
            payments.apply(frame, message.metadata.sequence.stream)


async def run(args):
    payments = Payments(args.database)
    client = await nats.connect(args.url, name="consume.py", connect_timeout=30)
    stream = client.jetstream()
    hint = payments.cursor()[2]
    try:
        await consume(args, payments, stream, hint and hint + 1)
    except Gap:
        # The hint is wrong: the server lost messages, which were published again as others.
        try:
            await consume(args, payments, stream, 0)
        except Gap as gap:
            sys.exit(f"a gap: {gap}; the stream has dropped what was not read")
    await client.close()
    journal, last, _ = payments.cursor()
    print(f"{last} events of journal {journal}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="nats://127.0.0.1:4222")
    parser.add_argument("--descriptors", required=True, help="file with a FileDescriptorSet")
    parser.add_argument("--database", required=True, help="SQLite file")
    parser.add_argument("--stream", default="MILLRACE_EVENTS")
    parser.add_argument("--subject", default="events.v1")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds to wait for more")
    parser.add_argument("--stop-at-end", action="store_true", help="end when there is no more")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
