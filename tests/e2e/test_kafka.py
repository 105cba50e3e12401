"""Kafka as a source of triggers, as a bus, and for dead letters, against a real broker: what arrives, in which form and order,
what is committed and when, and what is said when something is wrong. test_kafka_faults.py kills and moves things meanwhile."""

from kafka_case import *


class Records(KafkaCase):
    def test_a_topic_wakes_a_function_from_zero_and_all_records_arrive(self):
        topic, other = broker().create_topic(partitions=3), broker().create_topic()
        sent = [f"record {i}" for i in range(500)]
        broker().produce(topic, sent)
        with Daemon(self.config({"all": self.reads(topic, other)})) as rouse:
            self.wait_bodies(sent)
            broker().produce(other, ["one more"])
            self.wait_bodies([*sent, "one more"])
            self.assertEqual(len(self.got()), 501, "none of them twice")
            for one in (topic, other):
                self.wait_committed("rouse-all", one)
            wait_for(lambda: rouse.metric("rouse_event_lag", trigger="all") == 0)
            self.assertEqual(rouse.metric("rouse_events_total", trigger="all", outcome="delivered"), 501)

    def test_a_new_group_begins_with_what_comes_from_now_on(self):
        topic = broker().create_topic(partitions=2)
        broker().produce(topic, ["before"] * 10)
        config = self.config({"all": self.reads(topic, start="latest", group="late")})
        with Daemon(config):
            wait_for(lambda: None not in broker().committed("late", topic).values(), 20, "where it begins is committed")
            broker().produce(topic, ["after"])
            self.wait_bodies(["after"])
        broker().produce(topic, ["while it was away"])
        with Daemon(config):
            self.wait_bodies(["after", "while it was away"])
        self.assertEqual(len(self.got()), 2)

    def test_what_is_no_event_is_wrapped(self):
        topic = broker().create_topic()
        headers = [("content-type", "text/plain"), ("trace", "a"), ("trace", "b")]
        broker().produce(topic, [("grün", "text", headers), (b"\xff\x00", b"\x00\xfe"), ("gone", None), "no key"])
        with Daemon(self.config({"all": self.reads(topic, concurrency=1)})):
            wait_for(lambda: len(self.got()) == 4, 20)
        text, bytes, gone, plain = self.got()
        for offset, one in enumerate(self.got()):
            head = one["headers"]
            self.assertEqual((head["ce-type"], head["ce-source"]), ("dev.rouse.kafka.record", f"/kafka/{topic}"))
            self.assertEqual(head["ce-id"], f"partition:0/offset:{offset}")
            self.assertEqual((head["ce-kafkatopic"], head["ce-kafkapartition"], head["ce-kafkaoffset"]), (topic, "0", str(offset)))
            self.assertIn("ce-time", head)
        self.assertEqual((text["body"], text["headers"]["content-type"]), ("text", "text/plain"))
        self.assertEqual(text["headers"]["ce-kafkakey"], "gr%C3%BCn")
        said = text["headers"]["ce-kafkaheaders"]
        self.assertIn("trace", said)
        self.assertEqual(bytes["body"].encode("latin-1"), b"\x00\xfe")
        self.assertEqual(bytes["headers"]["ce-kafkakeybase64"], "/wA=")
        self.assertEqual(bytes["headers"]["content-type"], "application/octet-stream")
        self.assertEqual((gone["body"], gone["headers"]["ce-kafkakey"]), ("", "gone"))
        self.assertNotIn("ce-kafkakey", plain["headers"])

    def test_events_come_as_they_are_and_malformed_ones_are_dead_letters(self):
        topic = broker().create_topic()
        good = {"ce_specversion": "1.0", "ce_id": "b1", "ce_type": "paid", "ce_source": "/shop", "ce_subject": "grün"}
        kind = {"content-type": "application/cloudevents+json; charset=utf-8"}
        structured = {"specversion": "1.0", "id": "s1", "type": "paid", "source": "/shop", "data": {"a": [1]}}
        bad = [
            (None, "no id", {**good, "ce_id": ""}),
            (None, "no type", {name: value for name, value in good.items() if name != "ce_type"}),
            (None, "time", {**good, "ce_time": "yesterday"}),
            (None, "not UTF-8", {**good, "ce_subject": b"\xff"}),
            (None, "{", kind),
            (None, json.dumps({**structured, "source": ""}), kind),
        ]
        batch = (None, "[]", {"content-type": "application/cloudevents-batch+json"})
        broker().produce(topic, [*bad, batch, ("key", '{"n":1}', {**good, "content-type": "application/json"})])
        broker().produce(topic, [(None, json.dumps(structured), kind)])
        with Daemon(self.config({"all": self.reads(topic)})) as rouse:
            self.wait_ids(["b1", "s1"])
            dead = wait_for(lambda: found if len(found := self.dead(rouse)) == 7 else None, 20, "seven dead letters")
            by_id = {one["headers"]["ce-id"]: one for one in self.got()}
            head = by_id["b1"]["headers"]
            self.assertEqual((head["ce-type"], head["ce-subject"], head["content-type"]), ("paid", "gr%C3%BCn", "application/json"))
            self.assertEqual(json.loads(by_id["s1"]["body"]), {"a": [1]})
            reasons = " ".join(one["reason"] for one in dead)
            for word in ("`id`", "`type`", "`time`", "UTF-8", "JSON", "`source`"):
                self.assertIn(word, reasons)
            self.wait_committed("rouse-all", topic)

    def test_filter_and_a_reply_to_a_topic(self):
        topic, answers = broker().create_topic(), broker().create_topic()
        event = {"ce-specversion": "1.0", "ce-id": "answer", "ce-type": "done", "ce-source": "/sink", "ce-partitionkey": "k7"}
        self.rules({"match": "", "status": 200, "headers": {**event, "content-type": "text/plain"}, "body": "thanks"})
        trigger = self.reads(topic, filter={"type": "wanted"}, reply={"bus": "answers"})
        head = {"ce_specversion": "1.0", "ce_source": "/s"}
        broker().produce(topic, [(None, None, {**head, "ce_id": one, "ce_type": one}) for one in ("wanted", "other")])
        with Daemon(self.config({"all": trigger}, buses={"answers": self.keeps(answers)})) as rouse:
            [reply] = wait_for(lambda: broker().records(answers), 20)
            self.wait_committed("rouse-all", topic)
            wait_for(lambda: (self.trigger(rouse, "all")["delivered"], self.trigger(rouse, "all")["filtered"]) == (1, 1))
        self.assertEqual((reply.key, reply.value), (b"k7", b"thanks"))
        self.assertEqual((reply.header("ce_id"), reply.header("ce_type"), reply.header("content-type")), ("answer", "done", "text/plain"))

    def test_records_of_a_transaction_that_was_given_up_are_none(self):
        topic = broker().create_topic()
        writer = Producer({"bootstrap.servers": broker().address, "transactional.id": topic, "log_level": 0})
        writer.init_transactions(scaled(20))
        for word, end in (("kept", writer.commit_transaction), ("dropped", writer.abort_transaction)) * 2:
            writer.begin_transaction()
            writer.produce(topic, word)
            writer.flush(scaled(20))  # the cluster has it, or there would be nothing to give up
            end(scaled(20))
        broker().produce(topic, ["last"])
        with Daemon(self.config({"all": self.reads(topic)})) as rouse:
            wait_for(lambda: sorted(self.bodies()) == ["kept", "kept", "last"], 20)
            self.wait_committed("rouse-all", topic)
            wait_for(lambda: rouse.metric("rouse_event_lag", trigger="all") == 0)

    def test_over_tls(self):
        topic = broker().create_topic()
        tls = {"security.protocol": "ssl", "ssl.ca.location": str(broker().ca)}
        bus = {**self.keeps(topic, tls), "brokers": [broker().tls_address]}
        trigger = {"bus": "orders", "start": "earliest", "function": "sink"}
        with Daemon(self.config({"all": trigger}, buses={"orders": bus})) as rouse:
            self.assertEqual(self.send(rouse, "1").status, 202)
            self.wait_ids(["1"])


class Commits(KafkaCase):
    def test_only_up_to_the_gap_and_a_restart_repeats_nothing_beyond_it(self):
        topic = broker().create_topic()
        sent = [f"record {i}" for i in range(10)]
        broker().produce(topic, sent)
        others = [one for one in sent if one != "record 3"]
        self.rules({"match": "record 3", "wait": f"{self.path}/never"})
        config = self.config({"all": self.reads(topic)}, drain_timeout="500ms")
        with Daemon(config, strict=False) as rouse:
            self.wait_bodies(others)
            wait_for(lambda: broker().committed("rouse-all", topic)[0] == 3, 20, "committed up to the gap")
            self.assertGreater(rouse.metric("rouse_event_lag", trigger="all"), 0)
            rouse.stop()
        self.assertEqual(broker().committed("rouse-all", topic), {0: 3})
        self.assertNotEqual(broker().metadata("rouse-all", topic, 0), "")
        self.rules()
        with Daemon(config):
            self.wait_bodies(sent)
            self.wait_committed("rouse-all", topic)
        self.assertEqual(sorted(self.bodies(status=204)), sorted(sent), "each of them once")

    def test_attempts_are_kept_over_a_restart(self):
        topic = broker().create_topic()
        broker().produce(topic, ["poison", "fine"])
        self.rules({"match": "poison", "status": 500})
        config = self.config({"all": self.reads(topic, retry={"attempts": 4, "delay": "300ms", "max_delay": "300ms"})})
        with Daemon(config):
            wait_for(lambda: self.bodies().count("poison") >= 2, 20)
        with Daemon(config) as rouse:
            [dead] = wait_for(lambda: self.dead(rouse), 20)
            self.wait_committed("rouse-all", topic)
        self.assertEqual(dead["attempts"], 4)
        self.assertLessEqual(self.bodies().count("poison"), 5, "what was tried before counts; one may be repeated")
        self.assertEqual(self.bodies().count("fine"), 1)

    def test_metadata_of_another_program_is_nothing_to_it(self):
        topic = broker().create_topic()
        broker().produce(topic, ["0", "1", "2"])
        with broker().consumer("shared") as other:
            other.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        with Daemon(self.config({"all": self.reads(topic, group="shared")})):
            self.wait_bodies(["1", "2"])

    def test_records_that_retention_dropped_are_told(self):
        topic = broker().create_topic()
        broker().produce(topic, [str(i) for i in range(10)])
        broker().commit("rouse-all", topic, {0: 2})
        broker().delete_records(topic, 0, 6)
        with Daemon(self.config({"all": self.reads(topic)})) as rouse:
            self.wait_bodies(["6", "7", "8", "9"])
            rouse.wait_log(rf"{topic}.*\b2\b.*\b[56]\b")


class Order(KafkaCase):
    def spans(self, **having):
        return [(one["begun"], one["ended"], one["body"]) for one in self.got() if all(one.get(k) == v for k, v in having.items())]

    def test_by_partition_one_at_a_time(self):
        topic = broker().create_topic(partitions=2)
        for partition in (0, 1):
            broker().produce(topic, [f"{partition}:{i}" for i in range(20)], partition=partition)
        self.rules({"match": "", "status": 204, "sleep": 0.02})
        with Daemon(self.config({"all": self.reads(topic, order="partition")})):
            wait_for(lambda: len(self.got()) == 40, 30)
        spans = {one: [span for span in self.spans() if span[2].startswith(f"{one}:")] for one in (0, 1)}
        for partition, mine in spans.items():
            self.assertEqual([body for _, _, body in mine], [f"{partition}:{i}" for i in range(20)])
            for before, after in zip(mine, mine[1:]):
                self.assertLessEqual(before[1], after[0] + 0.005, "the one before has ended")
        self.assertTrue(
            any(begun < end and ended > begin for begun, ended, _ in spans[0] for begin, end, _ in spans[1]),
            "one partition does not wait for the other",
        )

    def test_a_poisoned_key_waits_and_the_others_flow(self):
        topic = broker().create_topic(partitions=2)
        broker().produce(topic, [(key, f"{key}{i}") for i in range(10) for key in "abcd"])
        self.rules({"match": '"body": "a0"', "status": 500, "body": "no way"})
        trigger = self.reads(topic, order="key", retry={"attempts": 5, "delay": "200ms", "max_delay": "200ms"})
        with Daemon(self.config({"all": trigger})) as rouse:
            [dead] = wait_for(lambda: self.dead(rouse), 30)
            self.wait_bodies([f"{key}{i}" for i in range(10) for key in "abcd"])
            self.wait_committed("rouse-all", topic)
        self.assertEqual((dead["attempts"], dead["status"]), (5, 500))
        for key in "abcd":
            done = [body for body in self.bodies(status=204) if body.startswith(key)]
            self.assertEqual(done, [f"{key}{i}" for i in range(key == "a", 10)], "in the order of their key")
        ended = {body: end for _, end, body in self.spans()}
        begun = {body: begin for begin, _, body in self.spans(status=204)}
        self.assertLess(max(ended[f"{key}9"] for key in "bcd"), begun["a1"], "others do not wait for it")


class DeadLetters(KafkaCase):
    def test_to_a_topic(self):
        topic, graves = broker().create_topic(), broker().create_topic()
        self.rules({"match": "bad", "status": 422, "body": "never"})
        broker().produce(topic, [("k", "bad"), ("k", "good")])
        with Daemon(self.config({"all": self.reads(topic, dead_letter={"topic": graves})})) as rouse:
            [grave] = wait_for(lambda: broker().records(graves), 20)
            self.wait_committed("rouse-all", topic)
            self.assertEqual(self.dead(rouse), [])
        self.assertEqual(grave.value, b"bad")
        self.assertEqual(grave.header("ce_id"), "partition:0/offset:0")
        self.assertEqual((grave.header("ce_deadlettertrigger"), grave.header("ce_deadletterstatus")), ("all", "422"))
        self.assertIn("never", grave.header("ce_deadletterreason"))

    def test_a_dead_letter_that_cannot_be_written_stays_and_is_tried_again(self):
        topic, graves = broker().create_topic(), broker().new_name("graves")
        self.rules({"match": "", "status": 422, "times": 1}, {"match": "", "status": 400})
        broker().produce(topic, ["bad"])
        trigger = self.reads(topic, dead_letter={"topic": graves}, retry={"delay": "100ms", "max_delay": "500ms"})
        trigger["kafka"]["properties"]["message.timeout.ms"] = 1000
        with Daemon(self.config({"all": trigger})) as rouse:
            rouse.wait_log(graves, 20)
            self.assertEqual(broker().committed("rouse-all", topic)[0] or 0, 0)
            broker().create_topic(graves)
            wait_for(lambda: broker().records(graves), 30)
            self.wait_committed("rouse-all", topic)

    def test_redriven_from_the_store(self):
        topic = broker().create_topic()
        self.rules({"match": "bad", "status": 422, "body": "never"})
        broker().produce(topic, [("k", "bad"), ("k", "good")])
        with Daemon(self.config({"all": self.reads(topic)})) as rouse:
            [dead] = wait_for(lambda: self.dead(rouse), 20)
            self.assertEqual((dead["status"], dead["attempts"]), (422, 1))
            self.assertIn("bad", rouse.must("dead-letters", "show", str(dead["id"])))
            self.wait_committed("rouse-all", topic)
            self.rules()
            rouse.must("dead-letters", "redrive", "all")
            wait_for(lambda: self.bodies(status=204).count("bad") == 1, 20)
            wait_for(lambda: self.dead(rouse) == [])
        self.assertEqual(broker().ends(topic), {0: (0, 2)}, "nothing was appended")
        [again] = [one for one in self.got() if one["body"] == "bad" and one["status"] == 204]
        self.assertEqual(again["headers"]["ce-id"], "partition:0/offset:0")


class Buses(KafkaCase):
    def test_each_form_of_event_and_a_trigger_in_a_group_of_its_own(self):
        topic = broker().create_topic(partitions=2)
        triggers = {name: {"bus": "orders", "start": "earliest", "function": name} for name in ("one", "two")}
        functions = {name: receiver(self.path, name) for name in triggers}
        with Daemon(self.config(triggers, functions, {"orders": self.keeps(topic)})) as rouse, rouse.connect() as caller:
            self.assertEqual(self.send(rouse, "b1", body="plain", partitionkey="k1", subject="s").status, 202)
            self.assertEqual(self.send(rouse, "b2", subject="s2").status, 202)
            kind = {"Content-Type": "application/cloudevents-batch+json"}
            batch = [{"specversion": "1.0", "id": one, "type": "t", "source": "/s", "data": {"n": 1}} for one in ("c1", "c2")]
            self.assertEqual(caller.request("POST", "/bus/orders", kind, json.dumps(batch)).status, 202)
            answer = caller.request("POST", "/bus/orders", kind, json.dumps([*batch, {**batch[0], "id": ""}]))
            self.assertEqual(answer.status, 400)
            self.assertIn("`id`", answer.problem()["detail"])
            for name in triggers:
                self.wait_ids(["b1", "b2", "c1", "c2"], name)
                self.wait_committed(f"rouse-{name}", topic)
        found = {one.header("ce_id"): one for one in broker().records(topic)}
        self.assertEqual(sorted(found), ["b1", "b2", "c1", "c2"], "half a batch is none")
        self.assertEqual((found["b1"].key, found["b1"].value, found["b2"].key), (b"k1", b"plain", b"s2"))
        self.assertIsNone(found["b2"].value)
        self.assertEqual((found["c1"].key, json.loads(found["c1"].value)), (None, {"n": 1}))
        self.assertEqual(found["c1"].header("content-type"), "application/json")

    def test_moving_a_bus_from_embedded_to_kafka_is_one_changed_line(self):
        topic = broker().create_topic()
        trigger = {"all": {"bus": "orders", "function": "sink", "order": "key"}}
        with Daemon(self.config(trigger, buses={"orders": {"store": "embedded"}})) as rouse:
            self.assertEqual(self.send(rouse, "1").status, 202)
            self.wait_ids(["1"])
            rouse.reload(self.config(trigger, buses={"orders": self.keeps(topic)}))
            wait_for(lambda: broker().committed("rouse-all", topic)[0] == 0, 20, "the trigger reads there")
            self.assertEqual(self.send(rouse, "2", partitionkey="k").status, 202)
            self.wait_ids(["1", "2"])
            rouse.reload(self.config(trigger, buses={"orders": {"store": "embedded"}}))
            self.assertEqual(self.send(rouse, "3").status, 202)
            self.wait_ids(["1", "2", "3"])
        self.assertEqual([one.header("ce_id") for one in broker().records(topic)], ["2"])

    def test_the_example(self):
        text = (ROOT / "config" / "examples" / "kafka.yaml").read_text()
        text = text.replace("127.0.0.1:8080", "{listen}").replace("127.0.0.1:9080", "{admin}")
        text = text.replace("directory: functions", f"directory: {ROOT}/config/examples/functions")
        for name in ("orders", "clicks", "clicks-dead"):
            broker().create_topic(name)
        broker().produce("clicks", [("key", "a click")])
        with Daemon(text, env={"KAFKA": broker().address}) as rouse:
            for trigger in ("large-orders", "billed"):  # they begin with what comes from now on
                wait_for(lambda trigger=trigger: broker().committed(f"rouse-{trigger}", "orders")[0] == 0, 20)
            order = {"type": "com.shop.order.placed", "source": "/shop", "size": "xl", "partitionkey": "c1"}
            self.assertEqual(self.send(rouse, "1", body='{"amount": 120}', **order).status, 202)
            self.assertEqual(self.send(rouse, "2", body="{}", **order).status, 202)
            wait_for(lambda: all(word in rouse.must("logs", "note") for word in ("a click", "bill-1")), 30)
            self.assertEqual(wait_for(lambda: self.dead(rouse), 20)[0]["status"], 422)


if __name__ == "__main__":
    unittest.main()
