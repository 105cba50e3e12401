"""Kafka while things are killed, moved, and wrong: nothing is lost, what comes twice is counted and explained, order by key holds,
and the rest of the daemon serves."""

from kafka_case import *

#: Within this time of its end a record that is done is committed, when nothing stands in the way (rouse: 0.5 s).
COMMITTED = scaled(1.5)


class Disturbed(KafkaCase):
    def check_repeats(self, spans, names=("got",), of="body"):
        """What came twice was finished so shortly before or within one of the spans (begin, end) that it cannot have been
        committed; says how many there were."""
        last, repeats = {}, 0
        for one in sorted((one for name in names for one in self.got(name)), key=lambda one: one["begun"]):
            what = one["body"] if of == "body" else one["headers"].get(of)
            if what in last:
                repeats += 1
                ended = last[what]
                explained = any(begin - COMMITTED <= ended <= end + COMMITTED and begin <= one["ended"] for begin, end in spans)
                self.assertTrue(explained, f"{what} came again at {one['begun']}, done at {ended}; disturbed: {spans}")
            last[what] = one["ended"]
        print(f"   {repeats} of {len(last)} came twice, of {len(spans)} disturbances", file=sys.stderr)

    def check_order(self, names=("got",)):
        """Of each key (KEY:NUMBER) the first deliveries are in order."""
        numbers, seen = {}, set()
        for one in sorted((one for name in names for one in self.got(name)), key=lambda one: one["begun"]):
            if one["body"] not in seen:
                seen.add(one["body"])
                key, _, number = one["body"].partition(":")
                numbers.setdefault(key, []).append(int(number))
        for key, found in numbers.items():
            self.assertEqual(found, sorted(found), f"in the order of the key {key}")

    @contextlib.contextmanager
    def callers(self, rouse, acknowledged, count=3):
        """Calls the bus `orders` all the while, each time with another event; adds the ids of those that were taken."""
        over = threading.Event()

        def call(index):
            while not over.is_set():
                with contextlib.suppress(OSError, ProtocolError), rouse.connect() as caller:
                    while not over.is_set():
                        id = f"{index}-{time.monotonic_ns()}"
                        head = {"ce-specversion": "1.0", "ce-id": id, "ce-type": "t", "ce-source": "/s"}
                        if caller.request("POST", "/bus/orders", head, "x" * 100).status == 202:
                            acknowledged.append(id)
                time.sleep(0.01)

        with ThreadPoolExecutor(max_workers=count) as pool:
            running = [pool.submit(call, index) for index in range(count)]
            try:
                yield
            finally:
                over.set()
        for one in running:
            one.result()


class Killed(Disturbed):
    ROUNDS = 7 if is_sanitized() else 20

    def test_the_daemon_in_a_stream_of_acknowledged_events(self):
        topic, acknowledged, kills = broker().create_topic(partitions=3), [], []
        trigger = {"bus": "orders", "start": "earliest", "function": "sink", "concurrency": 20}
        config = self.config({"all": trigger}, buses={"orders": self.keeps(topic, LIVELY)})
        for _ in range(self.ROUNDS):
            with Daemon(config, strict=False) as rouse:
                enough = len(acknowledged) + 25
                with self.callers(rouse, acknowledged):
                    wait_for(lambda: len(acknowledged) >= enough, 30, "events are taken")
                    rouse.kill()
                    kills.append((time.time(), time.time()))
            broker().expel("rouse-all")
        kept = [one.header("ce_id") for one in broker().records(topic)]
        self.assertEqual(set(acknowledged) - set(kept), set(), "all that was acknowledged is on the topic")
        self.assertEqual(len(kept), len(set(kept)), "and once")
        with Daemon(config):
            wait_for(lambda: set(kept) <= set(self.ids()), 60, "all that was acknowledged has arrived", interval=0.1)
            self.wait_committed("rouse-all", topic)
        self.check_repeats(kills, of="ce-id")

    def test_the_daemon_as_it_reads_a_topic(self):
        topic, kills, sent = broker().create_topic(partitions=4), [], []
        config = self.config({"all": self.reads(topic, order="key", concurrency=20)})
        for round in range(self.ROUNDS):
            more = [(f"k{i % 24}", f"k{i % 24}:{i}") for i in range(len(sent), len(sent) + 60)]
            broker().produce(topic, more)
            sent += more
            with Daemon(config, strict=False) as rouse:
                before = len(set(self.bodies()))
                known = broker().committed("rouse-all", topic)
                wait_for(lambda: len(set(self.bodies())) >= before + 25, 60, "records arrive", interval=0.02)
                if round % 2:  # once in two rounds it lives long enough to commit something
                    wait_for(lambda: broker().committed("rouse-all", topic) != known, 30, "it commits", interval=0.02)
                rouse.kill()
                kills.append((time.time(), time.time()))
            broker().expel("rouse-all")
        with Daemon(config):
            self.wait_bodies([body for _, body in sent], timeout=60)
            self.wait_committed("rouse-all", topic)
        self.check_repeats(kills)
        self.check_order()

    def test_the_broker(self):
        topic, other, acknowledged, spans = broker().create_topic(partitions=2), broker().create_topic(partitions=2), [], []
        triggers = {
            "all": {"bus": "orders", "start": "earliest", "function": "sink"},
            "other": {**self.reads(other, function="other", order="key")},
        }
        # A restart is over before the session of a member is, unless that was made short; then all that was done
        # meanwhile would come again.
        patient = {name: value for name, value in LIVELY.items() if "session" not in name and "heartbeat" not in name}
        triggers["other"]["kafka"]["properties"] = patient
        functions = {name: receiver(self.path, name) for name in ("sink", "other")}
        sent = [f"k{i % 5}:{i}" for i in range(300)]
        with Daemon(self.config(triggers, functions, {"orders": self.keeps(topic, patient)})) as rouse:
            with self.callers(rouse, acknowledged):
                for hard in (True, False):
                    enough = len(acknowledged) + 50
                    wait_for(lambda: len(acknowledged) >= enough, 60, "events are taken")
                    part = sent[:150] if hard else sent[150:]
                    broker().produce(other, [(body.partition(":")[0], body) for body in part])
                    began = time.time()
                    broker().restart(hard)
                    spans.append((began, time.time()))
                enough = len(acknowledged) + 50
                wait_for(lambda: len(acknowledged) >= enough, 60, "events are taken again")
            wait_for(lambda: set(acknowledged) <= set(self.ids("sink")), 60, "all that was acknowledged has arrived", interval=0.1)
            self.wait_bodies(sent, "other")
            self.wait_committed("rouse-all", topic)
            self.wait_committed("rouse-other", other)
        self.check_repeats(spans, ("sink",), "ce-id")
        self.check_repeats(spans, ("other",))
        self.check_order(("other",))


class Moved(Disturbed):
    def one_of(self, name, topic, **keys):
        """A daemon with a store and a function of its own, in the group that they share."""
        config = self.config({"all": self.reads(topic, order="key", group=topic, concurrency=10, **keys)}, {"sink": receiver(self.path, name)})
        config["server"]["data_dir"] = f"{self.path}/data-{name}"
        return Daemon(config, strict=False)

    def test_a_second_rouse_joins_and_leaves(self):
        topic, sent, spans = broker().create_topic(partitions=6), [], []
        over = threading.Event()

        def write():
            while not over.is_set():
                batch = [f"k{i % 30}:{i}" for i in range(len(sent), len(sent) + 15)]
                broker().produce(topic, [(body.partition(":")[0], body) for body in batch])
                sent.extend(batch)
                time.sleep(0.05)

        def more(name, count=40):
            enough = len(self.got(name)) + count
            wait_for(lambda: len(self.got(name)) >= enough, 60, f"{name} gets its share", interval=0.05)

        def members(count):
            wait_for(lambda: len(broker().members(topic) or "") == count, 60, f"the group has {count} members", interval=0.05)

        self.rules({"match": "", "status": 204, "sleep": 0.01}, name="first")
        self.rules({"match": "", "status": 204, "sleep": 0.01}, name="second")
        with ThreadPoolExecutor(max_workers=1) as pool, self.one_of("first", topic):
            writing = pool.submit(write)
            try:
                more("first")
                with self.one_of("second", topic) as second:
                    members(2)
                    more("second")
                    more("first")
                    second.stop()
                members(1)
                more("first")
                with self.one_of("second", topic) as second:
                    members(2)
                    more("second")
                    second.kill()
                    spans.append((time.time(), time.time()))
                members(1)
                more("first")
            finally:
                over.set()
            writing.result()
            wanted = set(sent)
            wait_for(lambda: wanted <= {*self.bodies("first"), *self.bodies("second")}, 60, "all have arrived", interval=0.1)
            self.wait_committed(topic, topic)
        self.check_repeats(spans, ("first", "second"))
        self.check_order(("first", "second"))

    def test_partitions_are_added(self):
        topic = broker().create_topic()
        with Daemon(self.config({"all": self.reads(topic, start="latest")})):
            wait_for(lambda: broker().committed("rouse-all", topic) == {0: 0}, 20)
            broker().produce(topic, ["old"])
            self.wait_bodies(["old"])
            broker().add_partitions(topic, 3)
            for partition in range(3):
                broker().produce(topic, [f"new {partition}"], partition=partition)
            self.wait_bodies(["old", "new 0", "new 1", "new 2"])
            self.wait_committed("rouse-all", topic)

    def test_a_reload_changes_and_removes_a_trigger(self):
        topic = broker().create_topic(partitions=2)
        with Daemon(self.config({"all": self.reads(topic), "still": self.reads(topic)})) as rouse:
            broker().produce(topic, ["1"])
            wait_for(lambda: self.bodies() == ["1", "1"], 20)
            [still] = broker().members("rouse-still")
            only = {"kafkaoffset": {"exact": "none"}}
            rouse.reload(self.config({"all": self.reads(topic, filter=only), "still": self.reads(topic)}))
            broker().produce(topic, ["2"])
            wait_for(lambda: self.bodies().count("2") == 1, 20)
            self.wait_committed("rouse-all", topic)
            rouse.reload(self.config({"still": self.reads(topic)}))
            wait_for(lambda: broker().members("rouse-all") == [], 20, "it has left the group")
            broker().produce(topic, ["3"])
            wait_for(lambda: self.bodies().count("3") == 1, 20)
            rouse.reload(self.config({"all": self.reads(topic), "still": self.reads(topic)}))
            wait_for(lambda: self.bodies().count("3") == 2, 20, "it goes on where it was")
            self.assertEqual(broker().members("rouse-still"), [still], "the other one has not moved")
        self.assertEqual((self.bodies().count("1"), self.bodies().count("2")), (2, 1))


class Slow(KafkaCase):
    #: A member that does not poll for so long is thrown out of its group.
    POLLS = {**LIVELY, "max.poll.interval.ms": LIVELY["session.timeout.ms"]}

    def test_a_function_that_cannot_start_costs_no_attempt_and_no_membership(self):
        topic = broker().create_topic(partitions=2)
        sent = [f"patient {i}" for i in range(20)]
        broker().produce(topic, sent)
        trigger = self.reads(topic, retry={"attempts": 1}, properties=self.POLLS)
        broken = {"sink": python_function("trouble.py", "exit")}
        with Daemon(self.config({"all": trigger}, broken)) as rouse:
            wait_for(lambda: "could not be started" in self.trigger(rouse, "all")["paused"] or "exited" in self.trigger(rouse, "all")["paused"])
            [member] = wait_for(lambda: broker().members("rouse-all"))
            began = time.monotonic()
            wait_for(lambda: time.monotonic() > began + 2.5 * self.POLLS["max.poll.interval.ms"] / 1000, 30, "several intervals")
            self.assertEqual(broker().members("rouse-all"), [member])
            rouse.reload(self.config({"all": trigger}))
            self.wait_bodies(sent)
            self.wait_committed("rouse-all", topic)
            self.assertEqual(broker().members("rouse-all"), [member])
            self.assertEqual(self.dead(rouse), [])
        self.assertEqual(len(self.got()), 20)

    def test_a_function_that_takes_long_costs_no_membership(self):
        topic, go = broker().create_topic(), self.path / "go"
        broker().produce(topic, [f"slow {i}" for i in range(5)])
        self.rules({"match": "slow", "wait": str(go)})
        with Daemon(self.config({"all": self.reads(topic, properties=self.POLLS)})):
            wait_for(lambda: len(json_lines(self.path / "got.jsonl.begun")) == 5, 20)
            [member] = wait_for(lambda: broker().members("rouse-all"))
            began = time.monotonic()
            wait_for(lambda: time.monotonic() > began + 2 * self.POLLS["max.poll.interval.ms"] / 1000, 30, "several intervals")
            self.assertEqual(broker().members("rouse-all"), [member])
            go.touch()
            self.wait_committed("rouse-all", topic)
        self.assertEqual(len(self.got()), 5)

    def test_one_record_holds_100000_and_is_named(self):
        topic = broker().create_topic()
        broker().produce(topic, ["holds", *["x"] * 110_000])
        self.rules({"match": "holds", "wait": str(self.path / "go")})
        trigger = self.reads(topic, filter={"any": [{"kafkaoffset": "0"}, {"kafkaoffset": "110000"}]})
        with Daemon(self.config({"all": trigger})) as rouse:
            rouse.wait_log(rf"{topic}.*\b0\b.*100,?000", 60)
            self.assertEqual(broker().committed("rouse-all", topic)[0], 0)
            (self.path / "go").touch()
            self.wait_bodies(["holds", "x"], timeout=60)
            self.wait_committed("rouse-all", topic)

    def test_lag_and_age(self):
        topic, go = broker().create_topic(), self.path / "go"
        self.rules({"match": "held", "wait": str(go)})
        with Daemon(self.config({"all": self.reads(topic, concurrency=2)})) as rouse:
            broker().produce(topic, [f"held {i}" for i in range(30)])
            wait_for(lambda: rouse.metric("rouse_event_lag", trigger="all", partition=f"{topic}/0") == 30, 20)
            wait_for(lambda: rouse.metric("rouse_event_oldest_seconds", trigger="all") > 0.5, 20)
            go.touch()
            self.wait_committed("rouse-all", topic)
            wait_for(lambda: rouse.metric("rouse_event_lag", trigger="all", partition=f"{topic}/0") == 0, 20)
            wait_for(lambda: rouse.metric("rouse_event_oldest_seconds", trigger="all") == 0, 20)


class Wrong(KafkaCase):
    def said(self, rouse, pattern, name="all"):
        """Waits until the admin interface says that of the trigger."""
        wait_for(lambda: re.search(pattern, json.dumps(self.trigger(rouse, name))), 30, f"/api/v1/triggers says {pattern}", interval=0.1)

    def serves(self, rouse):
        self.assertEqual(rouse.get("/function/http").status, 204)

    def functions(self):
        return {"sink": receiver(self.path), "http": receiver(self.path, "http")}

    def test_credentials(self):
        topic = broker().create_topic()
        broker().produce(topic, ["secret"])

        def config(password):
            sasl = {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": "PLAIN",
                "sasl.username": USER,
                "sasl.password": password,
                "message.timeout.ms": int(scaled(1) * 1000),
            }
            bus = {**self.keeps(topic, sasl), "brokers": [broker().sasl_address]}
            trigger = self.reads(topic, properties=sasl, brokers=[broker().sasl_address])
            return self.config({"all": trigger}, self.functions(), {"orders": bus})

        with Daemon(config("wrong")) as rouse:
            rouse.wait_log("(?i)authenticat", 30)
            self.said(rouse, "(?i)authenticat")
            self.serves(rouse)
            answer = self.send(rouse, "1")
            self.assertEqual(answer.status, 503)
            self.assertRegex(answer.problem()["detail"], "(?i)authenticat")
            rouse.reload(config(PASSWORD))
            wait_for(lambda: "secret" in self.bodies(), 30)
            self.assertEqual(self.send(rouse, "1").status, 202)
            self.wait_ids(["partition:0/offset:0", "1"])
            self.assertFalse([line for line in rouse.whole_log("sesame|wrong")], "no password in the log")

    def test_a_topic_that_is_not_there(self):
        topic = broker().new_name("absent")
        with Daemon(self.config({"all": self.reads(topic)}, self.functions())) as rouse:
            rouse.wait_log(f"(?i){topic}.*(unknown|not exist|no such)|(unknown|not exist|no such).*{topic}", 30)
            self.said(rouse, topic)
            self.serves(rouse)
            broker().create_topic(topic)
            broker().produce(topic, ["here"])
            self.wait_bodies(["here"], timeout=60)

    def test_a_broker_that_is_away_at_the_start(self):
        topic = broker().create_topic()
        broker().produce(topic, ["before"])
        hasty = {**LIVELY, "message.timeout.ms": int(scaled(1) * 1000)}
        triggers = {"all": self.reads(topic), "bus": {"bus": "orders", "function": "sink", "filter": {"type": "none"}}}
        broker().stop()
        with Daemon(self.config(triggers, self.functions(), {"orders": self.keeps(topic, hasty)})) as rouse:
            self.said(rouse, "(?i)broker|connect")
            self.serves(rouse)
            answer = self.send(rouse, "1")
            self.assertEqual(answer.status, 503)
            self.assertIsNotNone(answer.header("retry-after"))
            self.assertIn("nothing of it was kept", answer.problem()["detail"])
            broker().start()
            self.wait_bodies(["before"], timeout=60)
            wait_for(lambda: self.send(rouse, "2").status == 202, 30)
            wait_for(lambda: "2" in self.ids(), 30)

    def test_properties_that_rouse_does_not_take(self):
        for properties, words in (
            ({"acks": "1"}, ["`acks`", "rouse's to set"]),
            ({"no.such.thing": "1"}, ["`no.such.thing`"]),
            ({"session.timeout.ms": "soon"}, ["`session.timeout.ms`"]),
            ({"partition.assignment.strategy": "cooperative-sticky"}, ["cooperative"]),
        ):
            path = self.path / "bad.yaml"
            path.write_text(json.dumps(self.config({"all": self.reads("t", properties=properties, brokers=["localhost:1"])})))
            done = run_rouse("check", "-c", path)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            for word in words:
                self.assertIn(word, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
