"""Buses on Kafka, and what is around them: what 202 and 503 mean, how a bus moves, reloads, numbers, and the end."""

from kafka_case import *


class Buses(KafkaCase):
    def test_what_comes_right_after_the_start_is_delivered(self):
        topic = broker().create_topic(partitions=3)
        broker().produce(topic, ["from before"] * 9)
        trigger = {"all": {"bus": "orders", "function": "sink"}}  # start: latest
        with Daemon(self.config(trigger, buses={"orders": self.keeps(topic)})) as rouse:
            ids = [str(one) for one in range(20)]
            for one in ids:  # the group has no members yet
                self.assertEqual(self.send(rouse, one).status, 202)
            self.wait_ids(ids)
            self.assertEqual(len(self.got()), 20)

    def test_what_waits_in_the_store_is_delivered_after_the_move(self):
        topic = broker().create_topic()
        self.rules({"match": "", "status": 500})
        trigger = {"all": {"bus": "orders", "function": "sink", "retry": {"delay": "100ms", "max_delay": "200ms", "attempts": 1000}}}
        with Daemon(self.config(trigger, buses={"orders": {}})) as rouse:
            for one in ("1", "2", "3"):
                self.assertEqual(self.send(rouse, one).status, 202)
            wait_for(lambda: self.got(), 20)
            rouse.reload(self.config(trigger, buses={"orders": self.keeps(topic)}))
            self.assertEqual(self.send(rouse, "4").status, 202)
            self.assertEqual(self.trigger(rouse, "all")["source"], "bus orders")
            self.rules()
            wait_for(lambda: sorted(set(self.ids(status=204))) == ["1", "2", "3", "4"], 30)
        self.assertEqual([one.header("ce_id") for one in broker().records(topic)], ["4"])

    def test_numbers(self):
        topic = broker().create_topic(partitions=2)
        self.rules({"match": "", "status": 500})
        trigger = {"all": {"bus": "orders", "function": "sink", "start": "earliest", "retry": {"delay": "100ms", "max_delay": "1s"}}}
        with Daemon(self.config(trigger, buses={"orders": self.keeps(topic, LIVELY)})) as rouse:
            for one in range(6):
                self.assertEqual(self.send(rouse, str(one), partitionkey=f"k{one}").status, 202)

            def lag(partition):
                return rouse.metrics().get(f'rouse_event_lag{{trigger="all",partition="{topic}/{partition}"}}')

            wait_for(lambda: (lag(0) or 0) + (lag(1) or 0) == 6, 30)
            self.assertIsNotNone(lag(0))
            self.assertIsNotNone(lag(1))
            shown = self.trigger(rouse, "all")
            self.assertEqual((shown["source"], shown["problem"]), ("bus orders", ""))
            self.assertEqual(sorted(shown["partitions"]), [f"{topic}/0", f"{topic}/1"])
            wait_for(lambda: rouse.metric("rouse_event_oldest_seconds", trigger="all") > 0.5, 20)
            self.rules()
            wait_for(lambda: lag(0) == lag(1) == 0, 30)


class Away(KafkaCase):
    def test_a_cluster_that_does_not_answer_is_503_and_the_rest_serves(self):
        nowhere = f"127.0.0.1:{free_port()}"
        properties = {"message.timeout.ms": 1000, "reconnect.backoff.max.ms": 200}
        buses = {"orders": {"store": "kafka", "brokers": [nowhere], "properties": properties}, "near": {}}
        triggers = {"all": {"bus": "orders", "function": "sink"}, "near": {"bus": "near", "function": "sink"}}
        with Daemon(self.config(triggers, buses=buses)) as rouse:
            self.assertEqual(self.send(rouse, "n", bus="near").status, 202)
            self.wait_ids(["n"])
            answer = self.send(rouse, "1")
            self.assertEqual(answer.status, 503)
            self.assertEqual(answer.problem()["type"].rpartition("/")[2], "storage-failed")
            self.assertIn("no broker can be reached", answer.problem()["detail"])
            self.assertIn("it is known that nothing of it was kept", answer.problem()["detail"])
            self.assertTrue(answer.header("Retry-After"))
            rouse.wait_log("no event can be written for now", 20)
            wait_for(lambda: self.trigger(rouse, "all")["problem"], 30)
            # What hangs does not hold up the end.
            with rouse.connect() as caller:
                headers = {"ce-specversion": "1.0", "ce-id": "2", "ce-type": "t", "ce-source": "/s"}
                caller.send_request("POST", "/bus/orders", headers, b"")
                begun = time.monotonic()
                rouse.stop()
                self.assertLess(time.monotonic() - begun, scaled(25))

    def test_where_the_cluster_is_stays_inside_when_errors_are_not_to_be_exposed(self):
        nowhere = f"127.0.0.1:{free_port()}"
        buses = {"orders": {"store": "kafka", "brokers": [nowhere], "properties": {"message.timeout.ms": 1000}}}
        with Daemon(self.config({}, buses=buses, expose_errors=False)) as rouse:
            answer = self.send(rouse, "1")
            self.assertEqual(answer.status, 503)
            self.assertIn("it is known that nothing of it was kept", answer.problem()["detail"])
            self.assertNotIn("broker", answer.problem()["detail"])
            self.assertNotIn(nowhere, answer.problem()["detail"])

    def test_a_topic_that_is_not_there(self):
        topic = broker().new_name("nowhere")
        properties = {"topic.metadata.propagation.max.ms": 300}
        with Daemon(self.config({}, buses={"orders": self.keeps(topic, properties)})) as rouse:
            answer = self.send(rouse, "1")
            self.assertEqual(answer.status, 503)
            self.assertIn(f"there is no topic {topic}", answer.problem()["detail"])
            broker().create_topic(topic)
            wait_for(lambda: self.send(rouse, "2").status == 202, 30)


class Reloads(KafkaCase):
    def test_properties_that_do_not_work_are_refused_and_what_is_in_force_stays(self):
        topic = broker().create_topic()
        trigger = {"all": {"bus": "orders", "function": "sink", "start": "earliest"}}
        with Daemon(self.config(trigger, buses={"orders": self.keeps(topic)})) as rouse:
            self.assertEqual(self.send(rouse, "1").status, 202)
            rouse.write_config(self.config(trigger, buses={"orders": self.keeps(topic, {"ssl.ca.location": "/no/such.pem"})}))
            done = rouse.command("reload")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("/no/such.pem", done.stdout + done.stderr)
            self.assertEqual(self.send(rouse, "2").status, 202)
            self.wait_ids(["1", "2"])

    def test_dead_letters_of_a_bus_and_their_way_back(self):
        topic = broker().create_topic()
        self.rules({"match": "bad", "status": 422})
        trigger = {"all": {"bus": "orders", "function": "sink", "start": "earliest"}, "other": {"bus": "orders", "function": "sink"}}
        with Daemon(self.config(trigger, buses={"orders": self.keeps(topic)})) as rouse:
            self.assertEqual(self.send(rouse, "1", body="bad").status, 202)
            wait_for(lambda: len(self.dead(rouse)) == 2, 30)
            [of_all] = [one for one in self.dead(rouse) if one["owner"] == "all"]
            self.assertEqual(of_all["kind"], "external")
            shown = json.loads(rouse.must("dead-letters", "show", str(of_all["id"])))
            self.assertEqual((shown["record"], shown["event"]["id"]), (f"{topic}/0/0", "1"))
            self.rules()
            rouse.must("dead-letters", "redrive", "all")
            wait_for(lambda: self.ids(status=204) == ["1"], 20)
            self.assertEqual([one["owner"] for one in self.dead(rouse)], ["other"])
            # A letter that fails again is one again.
            self.rules({"match": "bad", "status": 422})
            rouse.must("dead-letters", "redrive", "other")
            wait_for(lambda: [one["owner"] for one in self.dead(rouse)] == ["other"] and self.dead(rouse)[0]["kind"] == "event", 20)
            self.rules()
            rouse.must("dead-letters", "redrive", "other")
            wait_for(lambda: self.dead(rouse) == [] and self.ids(status=204) == ["1", "1"], 20)


if __name__ == "__main__":
    unittest.main()
