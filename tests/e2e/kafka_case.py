"""What tests of rouse with a Kafka broker have in common: see KafkaCase."""

from kafka import *
from test_events import EventsCase, receiver  # noqa: F401

#: Properties of a consumer that notices soon what became of the others of its group.
LIVELY = {
    "session.timeout.ms": int(scaled(2) * 1000),
    "heartbeat.interval.ms": 250,
    "topic.metadata.refresh.interval.ms": 500,
    "reconnect.backoff.max.ms": 250,
}


class KafkaCase(EventsCase):
    """Tests that share the program's broker; its log is shown when one fails."""

    def setUp(self):
        super().setUp()
        if broker().process.poll() is not None:  # a test before this one failed
            broker().start()

    def run(self, result=None):
        result = result if result is not None else self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        out = super().run(result)
        if running_broker() and len(result.failures) + len(result.errors) > before:
            running_broker().print_log()
        return out

    def config(self, triggers, functions=None, buses=None, **server):
        return super().config(triggers, functions, buses if buses is not None else {}, **server)

    def reads(self, *topics, properties=None, start="earliest", group=None, brokers=None, **keys):
        """A trigger that reads the topics; `keys` are those of the trigger. Its function is `sink` unless they say otherwise."""
        kafka = {"brokers": brokers or [broker().address], "topics": list(topics), "start": start}
        kafka["properties"] = {**LIVELY, **(properties or {})}
        if group:
            kafka["group"] = group
        return {"kafka": kafka, "function": "sink", **keys}

    def keeps(self, topic, properties=None):
        """A bus on that topic."""
        return {"store": "kafka", "brokers": [broker().address], "topic": topic, "properties": properties or {}}

    def bodies(self, name="got", **having):
        """What the function was sent, in the order of its answers."""
        return [one["body"] for one in self.got(name) if all(one.get(k) == v for k, v in having.items())]

    def wait_bodies(self, wanted, name="got", timeout=40):
        """Waits until each of them has come, and nothing else."""

        def all_there():
            found, missing = set(self.bodies(name)), set(wanted)
            assert found == missing, f"missing {sorted(missing - found)[:5]}, too many {sorted(found - missing)[:5]}"
            return True

        wait_for(all_there, timeout, f"{len(set(wanted))} records have come", interval=0.05)

    def wait_committed(self, group, topic, timeout=20):
        """Waits until the group has committed all that the topic holds."""
        ends = {one: span[1] for one, span in broker().ends(topic).items()}

        def all_committed():
            found = broker().committed(group, topic)
            assert all((found[one] or 0) == end for one, end in ends.items()), f"{found} of {ends}"
            return True

        wait_for(all_committed, timeout, f"{group} has committed all of {topic}", interval=0.1)

    def dead(self, rouse):
        return rouse.admin("GET", "/api/v1/dead-letters").json()["dead_letters"]
