"""A real Apache Kafka for tests: one broker in KRaft mode, on ports of its own, and what a test does with it.

    topic = broker().create_topic(partitions=2)                 # the first call of broker() starts it
    broker().produce(topic, ["one", ("key", "two")])
    print(broker().records(topic))

What tests with it have in common is in kafka_case.py.

The jars are those of kafka/pom.xml, which `./dev test` fetches into ${XDG_CACHE_HOME:-~/.cache}/rouse. Without them, or without
Java or Debian's python3-confluent-kafka, a test fails; none is skipped. When a test fails, the end of the broker's log is shown.
"""

import base64
import itertools
import struct
import uuid

from harness import *

try:
    import confluent_kafka
except ImportError:  # another python3 than Debian's own; the same version can use its modules all the same
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import confluent_kafka
    except ImportError as error:
        sys.exit(f"no confluent_kafka for {sys.executable} ({error}): install python3-confluent-kafka, run with /usr/bin/python3")
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

_POM = HERE / "kafka" / "pom.xml"
_VERSION = re.search(r"<kafka\.version>(.*)</kafka\.version>", _POM.read_text())[1]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rouse" / f"kafka-{_VERSION}" / "libs"

#: Who may speak at the SASL listener.
USER, PASSWORD = "rouse", "open sesame"

_JVM = ("-Xms384m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true")
_LOG4J = """
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{HH:mm:ss,SSS} %p %c{1}: %m%n
log4j.logger.org.apache.kafka.clients=WARN
log4j.logger.kafka.server.KafkaConfig=WARN
log4j.logger.org.apache.kafka.common.config=WARN
"""
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location={folder}/server.pem
connection.failed.authentication.delay.ms=50
log.dirs={folder}/logs
log.segment.bytes=16777216
log.index.size.max.bytes=1048576
log.cleaner.enable=false
log.retention.hours=-1
auto.create.topics.enable=false
delete.topic.enable=true
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.segment.bytes=16777216
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=250
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
"""


class Record:
    """What a topic holds: where, and what. `key` and `value` are bytes or None, `headers` is a list of (text, bytes)."""

    def __init__(self, message):
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.headers = message.key(), message.value(), message.headers() or []

    def header(self, name):
        """The only value of that name, as text; None when there is none."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} is there {len(found)} times: {self.headers}"
        return found[0].decode() if found else None

    def __repr__(self):
        return f"<{self.topic}/{self.partition}/{self.offset} {self.key!r}: {self.value!r} {self.headers}>"


class Broker:
    """One broker that is its own controller. It keeps its ports and its files over kill() and start()."""

    def __init__(self):
        if not any(_CACHE.glob("kafka-clients-*.jar")):
            raise AssertionError(f"there are no jars of Apache Kafka in {_CACHE}: `./dev test` fetches them")
        if not shutil.which("java"):
            raise AssertionError("there is no `java`: `./dev test` installs one (openjdk-17-jre-headless)")
        self.folder = tempfile.TemporaryDirectory(prefix="rouse-kafka-")
        self.path = Path(self.folder.name)
        ports = {name: free_port() for name in ("plain", "sasl", "tls", "controller")}
        self.address, self.sasl_address, self.tls_address = (f"127.0.0.1:{ports[name]}" for name in ("plain", "sasl", "tls"))
        self.ca = self.path / "ca.pem"
        text = _PROPERTIES.format(folder=self.path, user=USER, password=PASSWORD, **ports)
        (self.path / "server.properties").write_text(text)
        (self.path / "log4j.properties").write_text(_LOG4J)
        self.process = None
        self._admin = self._producer = None
        self._names = itertools.count(1)

    # life

    def _java(self, *args):
        log4j = f"-Dlog4j.configuration=file:{self.path}/log4j.properties"
        return ["setpriv", "--pdeathsig", "KILL", "java", *_JVM, log4j, "-cp", f"{_CACHE}/*", *map(str, args)]

    def format(self):
        """Makes its empty files, once."""
        name = "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]  # one that begins with - is an option
        command = self._java("kafka.tools.StorageTool", "format", "-t", name, "-c", self.path / "server.properties")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=scaled(60))
        if done.returncode != 0:
            raise AssertionError(f"the files of the broker could not be made: {done.stdout}{done.stderr}")

    def _certify(self):
        """A key for the TLS listener, and a certificate that it signed itself (`ca`)."""
        key = self.path / "key.pem"
        names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, "-keyout", key, "-out", self.ca]
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"no certificate for the broker: {done.stderr}")
        (self.path / "server.pem").write_text(key.read_text() + self.ca.read_text())

    def start(self, ready=True):
        """Starts it, with the files that it has; returns when it serves unless `ready` is false (wait_until_ready())."""
        if not (self.path / "logs").exists():
            self._certify()
            self.format()
        with open(self.path / "log", "ab") as log:
            command = self._java("kafka.Kafka", self.path / "server.properties")
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.path)
        if ready:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, timeout=60):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with status {self.process.returncode}")
            with contextlib.suppress(KafkaException):
                return self.admin.list_topics(timeout=scaled(1)).brokers
            return None

        wait_for(ready, timeout, "the broker serves", interval=0.05)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As an operator would: SIGTERM; it moves what it leads away, as far as one broker can, and closes its files."""
        self.process.terminate()
        try:
            self.process.wait(scaled(30))
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self, hard=True):
        """kill -9 (or SIGTERM), and start again."""
        self.kill() if hard else self.stop()
        self.start()

    def close(self):
        """Its end, with all that it kept."""
        if self.process and self.process.poll() is None:
            self.kill()
        self.folder.cleanup()

    def print_log(self):
        lines = (self.path / "log").read_text(errors="replace").splitlines() if (self.path / "log").exists() else []
        print(f"--- log of the broker at {self.address} ---", *lines[-60:], "--- end of the log ---", sep="\n", file=sys.stderr)

    # topics

    @property
    def admin(self):
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        return self._admin

    def new_name(self, prefix="topic"):
        """A name that no topic of this broker has had."""
        return f"{prefix}-{next(self._names)}"

    def create_topic(self, name=None, partitions=1, **config):
        """Makes a topic, of a new name unless one is given; returns its name once it can be written to."""
        name = name or self.new_name()
        topic = NewTopic(name, partitions, 1, config={key.replace("_", "."): str(value) for key, value in config.items()})
        self.admin.create_topics([topic], request_timeout=scaled(20))[name].result()
        self._wait_partitions(name, partitions)
        return name

    def add_partitions(self, topic, total):
        self.admin.create_partitions([NewPartitions(topic, total)], request_timeout=scaled(20))[topic].result()
        self._wait_partitions(topic, total)
        self._producer = None  # it would not know of them for some minutes

    def delete_topic(self, topic):
        self.admin.delete_topics([topic], request_timeout=scaled(20))[topic].result()

    def _wait_partitions(self, topic, count):
        def led():
            found = self.admin.list_topics(topic, timeout=scaled(5)).topics[topic].partitions.values()
            return len(found) == count and all(one.leader == 1 for one in found)

        wait_for(led, 20, f"{topic} has {count} partitions with a leader")

    # records

    def produce(self, topic, records, partition=None):
        """Appends them, acknowledged: each one a value, or (key, value), or (key, value, headers). Text is UTF-8; headers
        are a dict or a list of pairs. Returns their (partition, offset), in order."""
        if self._producer is None:
            self._producer = Producer({"bootstrap.servers": self.address, "linger.ms": 5, "enable.idempotence": True, "log_level": 0})
        placed = {}

        def done(index, error, message):
            placed[index] = error or (message.partition(), message.offset())

        for index, record in enumerate(records):
            key, value, headers = (*record, [])[:3] if isinstance(record, tuple) else (None, record, [])
            more = {} if partition is None else {"partition": partition}
            pairs = list(headers.items() if isinstance(headers, dict) else headers)
            while True:
                try:
                    report = lambda error, message, index=index: done(index, error, message)  # noqa: E731
                    self._producer.produce(topic, value, key, headers=pairs, on_delivery=report, **more)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        left = self._producer.flush(scaled(30))
        out = [placed.get(index) for index in range(len(placed))]
        if left or any(isinstance(one, KafkaError) or one is None for one in out):
            raise AssertionError(f"{left} records were not written; {[one for one in out if isinstance(one, KafkaError)][:3]}")
        return out

    def ends(self, topic):
        """{partition: (first offset, the one after the last)}."""
        with self.consumer() as reader:
            partitions = self.admin.list_topics(topic, timeout=scaled(10)).topics[topic].partitions
            return {one: reader.get_watermark_offsets(TopicPartition(topic, one), timeout=scaled(10)) for one in partitions}

    def records(self, topic):
        """All that the topic holds now, by partition and offset."""
        ends = {one: span for one, span in self.ends(topic).items() if span[0] < span[1]}
        out = []
        with self.consumer(**{"enable.partition.eof": True}) as reader:
            reader.assign([TopicPartition(topic, one, span[0]) for one, span in ends.items()])
            deadline = time.monotonic() + scaled(30)
            while ends:
                for message in reader.consume(1000, 0.2):
                    if message.error() is None:
                        out.append(Record(message))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ends.pop(message.partition(), None)
                if time.monotonic() > deadline:
                    raise AssertionError(f"the end of {topic} was not read: {len(out)} records, still {ends}")
        return sorted(out, key=lambda one: (one.partition, one.offset))

    @contextlib.contextmanager
    def consumer(self, group="look", **more):
        reader = Consumer({"bootstrap.servers": self.address, "group.id": group, "enable.auto.commit": False, "log_level": 0, **more})
        try:
            yield reader
        finally:
            reader.close()

    # groups

    def committed(self, group, topic):
        """{partition: committed offset}; None for one without."""
        partitions = self.admin.list_topics(topic, timeout=scaled(10)).topics[topic].partitions
        with self.consumer(group) as reader:
            found = reader.committed([TopicPartition(topic, one) for one in partitions], timeout=scaled(10))
        return {one.partition: one.offset if one.offset >= 0 else None for one in found}

    def commit(self, group, topic, offsets):
        """Sets what a group without members has committed: {partition: offset}."""
        with self.consumer(group) as reader:
            reader.commit(offsets=[TopicPartition(topic, one, at) for one, at in offsets.items()], asynchronous=False)

    def members(self, group):
        """The ids of the members that the group has now. None while it is being balanced."""
        found = self.admin.list_groups(group, timeout=scaled(10))
        if not found or found[0].state in ("Dead", "Empty"):
            return []
        return sorted(one.id for one in found[0].members) if found[0].state == "Stable" else None

    def expel(self, group):
        """Has all members leave that the group knows, whatever state it is in: what their session's end does, later, to those
        that were killed."""
        for found in self.admin.list_groups(group, timeout=scaled(10)):
            for member in found.members:
                self._ask(_LEAVE_GROUP, 0, _text(group) + _text(member.id))

    # what the Python client has no call for

    def _ask(self, what, version, body):
        """One request of the Kafka protocol, and what stands in the response after its head."""
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port)), scaled(10)) as peer:
            request = struct.pack(">hhi", what, version, 1) + _text("look") + body
            peer.sendall(struct.pack(">i", len(request)) + request)
            reply = peer.makefile("rb")
            (size,) = struct.unpack(">i", reply.read(4))
            return reply.read(size)[4:]

    def delete_records(self, topic, partition, before):
        """Does what retention does: the partition begins with offset `before` from now on."""
        place = struct.pack(">i", 1) + _text(topic) + struct.pack(">iiqi", 1, partition, before, 10000)
        self._ask(_DELETE_RECORDS, 0, place)
        wait_for(lambda: self.ends(topic)[partition][0] == before, 20, f"{topic}/{partition} begins at {before}")

    def metadata(self, group, topic, partition):
        """The text that was committed with the group's offset; "" when there is none."""
        place = struct.pack(">i", 1) + _text(topic) + struct.pack(">ii", 1, partition)
        reply = self._ask(_OFFSET_FETCH, 1, _text(group) + place)
        at = 4 + 2 + len(topic.encode()) + 4 + 4 + 8
        (size,) = struct.unpack_from(">h", reply, at)
        return reply[at + 2 : at + 2 + max(size, 0)].decode()


_LEAVE_GROUP, _DELETE_RECORDS, _OFFSET_FETCH = 13, 21, 9


def _text(text):
    return struct.pack(">h", len(text.encode())) + text.encode()


_broker = None


def broker():
    """The broker of this program; the first call starts it."""
    global _broker
    if _broker is None:
        started = Broker()
        try:
            started.start()
        except BaseException:
            started.print_log()
            started.close()
            raise
        _broker = started
    return _broker


def running_broker():
    """The same if there is one, else None."""
    return _broker


def tearDownModule():  # noqa: N802  (a name that unittest knows; `import *` brings it)
    """Ends the broker when the program's last test has run."""
    global _broker
    if _broker is not None:
        _broker.close()
        _broker = None
