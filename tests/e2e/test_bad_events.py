"""What is no valid CloudEvent, in each form that HTTP has for them: it is refused with the attribute and the rule, nothing of
it is kept, and the connection, where it can be, and the daemon go on."""

from harness import *
from test_events import EventsCase

GOOD = {"specversion": "1.0", "id": "bad", "type": "t", "source": "/s"}
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

OTHER_TYPES = "is {}; it must be a string"


def without(*names):
    return {name: value for name, value in GOOD.items() if name not in names}


# Each: what is changed in a valid event (None: the attribute is left out), and the words of the refusal. Bytes go out as they are.
BINARY = [
    ({"specversion": None}, "`specversion` is missing", "`1.0`"),
    ({"id": None}, "`id` is missing", "non-empty"),
    ({"type": None}, "`type` is missing"),
    ({"source": None}, "`source` is missing"),
    ({"id": ""}, "`id` is empty", "must be a non-empty string"),
    ({"type": ""}, "`type` is empty"),
    ({"source": ""}, "`source` is empty"),
    ({"subject": ""}, "`subject` is empty", "leave it out"),
    ({"specversion": ""}, "`specversion`", "`1.0`"),
    ({"specversion": "0.3"}, "`specversion` is `0.3`", "`1.0`"),
    ({"specversion": "1.0.2"}, "`specversion` is `1.0.2`"),
    ({"source": "a%20b"}, "`source`", "URI-reference"),
    ({"source": "http://[::1"}, "`source`", "URI-reference"),
    ({"dataschema": "/relative"}, "`dataschema`", "absolute URI"),
    ({"time": "yesterday"}, "`time`", "RFC 3339"),
    ({"time": "2026-02-30T00:00:00Z"}, "`time`", "RFC 3339"),
    ({"time": "2026-01-01%2000:00:00Z"}, "`time`", "RFC 3339"),
    ({"time": "2026-01-01T00:00:00"}, "`time`", "RFC 3339"),
    ({"id": "%00"}, "`id` holds the control character U+0000"),
    ({"id": "a%0Ab"}, "`id` holds the control character U+000A"),
    ({"subject": "%C2%85"}, "`subject` holds the control character U+0085"),
    ({"id": "%EF%BF%BF"}, "`id` holds U+FFFF", "not a character"),
    ({"id": b"\xff\xfe"}, "`id` is not valid UTF-8"),
    ({"id": "%ff"}, "`id` is not valid UTF-8 once decoded"),
    ({"id": "%ED%A0%80"}, "`id` is not valid UTF-8"),  # half of a surrogate pair
    ({"id": "100%"}, "`id` holds a `%`", "%25"),
    ({"id": "%zz"}, "`id` holds a `%`"),
    ({"id": '"open'}, "`id` begins with a quote"),
    ({"with-hyphen": "x"}, "`with-hyphen`", "no valid name"),
    ({"under_score": "x"}, "`under_score`", "no valid name"),
    ({"": "x"}, "no valid name"),
    ({"data": "x"}, "`data`", "name of the event's data"),
    ({"datacontenttype": "text/plain"}, "`datacontenttype`", "`Content-Type`"),
    ({"n" * 300: "x"}, "has a name of 300 characters"),
]

# The same as JSON: a value as it is to stand there.
JSON = [
    (without("specversion"), "`specversion` is missing"),
    (without("id"), "`id` is missing"),
    (without("type"), "`type` is missing"),
    (without("source"), "`source` is missing"),
    ({**GOOD, "id": None}, "`id` is missing"),  # null is absent
    ({**GOOD, "id": ""}, "`id` is empty"),
    ({**GOOD, "id": 7}, "`id` " + OTHER_TYPES.format("a number")),
    ({**GOOD, "source": True}, "`source` " + OTHER_TYPES.format("a boolean")),
    ({**GOOD, "type": ["t"]}, "`type` " + OTHER_TYPES.format("an array")),
    ({**GOOD, "subject": {"a": 1}}, "`subject` " + OTHER_TYPES.format("an object")),
    ({**GOOD, "time": 1767225600}, "`time` " + OTHER_TYPES.format("a number")),
    ({**GOOD, "specversion": 1.0}, "`specversion` " + OTHER_TYPES.format("a number")),
    ({**GOOD, "specversion": "2.0"}, "`specversion` is `2.0`"),
    ({**GOOD, "time": "2026-01-01T25:00:00Z"}, "`time`", "RFC 3339"),
    ({**GOOD, "source": "not a uri"}, "`source`", "URI-reference"),
    ({**GOOD, "dataschema": "no-uri"}, "`dataschema`", "absolute URI"),
    ({**GOOD, "datacontenttype": "json"}, "`datacontenttype`", "media type"),
    ({**GOOD, "id": "a\u0007b"}, "`id` holds the control character U+0007"),
    ({**GOOD, "id": "\ufdd0"}, "`id` holds U+FDD0"),
    ({**GOOD, "Upper": "x"}, "`Upper`", "no valid name"),
    ({**GOOD, "with-hyphen": "x"}, "`with-hyphen`", "no valid name"),
    ({**GOOD, "": "x"}, "no valid name"),
    ({**GOOD, "extension": [1]}, "`extension` is an array", "a string, a whole number or a boolean"),
    ({**GOOD, "number": 1.5}, "`number` is `1.5`", "must be whole"),
    ({**GOOD, "number": 2147483648}, "`number`", "2147483647"),
    ({**GOOD, "data": 1, "data_base64": "eA=="}, "`data` and `data_base64` are both there"),
    ({**GOOD, "data_base64": "eA"}, "`data_base64` is not valid base64"),
    ({**GOOD, "data_base64": 7}, "`data_base64` is a number"),
]

# Texts that are no JSON objects of this kind at all; the same words in both forms.
TEXTS = [
    (b"", "is not valid JSON at byte"),
    (b"{", "is not valid JSON at byte"),
    (b"not json", "is not valid JSON at byte 2"),
    (b"[" * 1000, "is nested deeper than"),
    (b'{"id": "\xff"}', "is not valid JSON at byte"),
    (b'{"id": "a\nb"}', "is not valid JSON at byte"),
    (b'{"id": "\\ud800"}', "is not valid JSON at byte"),
    (b'{"id": 01}', "is not valid JSON at byte"),
    (b'{"id": NaN}', "is not valid JSON at byte"),
    (b"{} {}", "is not valid JSON at byte"),
    (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
    (b"\x00", "is not valid JSON at byte 1"),
]


class BadEvents(EventsCase):
    def setUp(self):
        super().setUp()
        config = self.config({"all": {"bus": "orders", "start": "earliest", "function": "sink"}})
        self.rouse = Daemon(config)
        self.rouse.__enter__()
        self.addCleanup(self.rouse.__exit__, None, None, None)
        self.caller = None
        self.count = 0

    def refused(self, headers, body, status, words, keeps=True):
        """`headers`: pairs of text or bytes."""
        self.count += 1
        self.caller = self.caller or self.rouse.connect()
        lines = [b"POST /bus/orders HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body)]
        lines += [b"%b: %b" % tuple(part if isinstance(part, bytes) else part.encode() for part in one) for one in headers]
        self.caller.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = self.caller.read_response()
        with self.subTest(headers=headers, body=body[:200]):
            self.assertEqual(answer.status, status, answer)
            for word in words:
                self.assertIn(word, answer.problem()["detail"])
            if keeps:  # it came in one piece with its head
                self.assertTrue(answer.keep_alive, "what was wrong is the event, not the request")
        if not answer.keep_alive:
            self.caller.close()
            self.caller = None
        return answer

    def tearDown(self):
        """None of all that was kept; and what is valid still is."""
        if self.caller:
            self.caller.close()
        self.assertGreaterEqual(self.count, 25)
        self.assertEqual(self.send(self.rouse, "last").status, 202)
        self.wait_ids(["last"])
        wait_for(lambda: (now := self.trigger(self.rouse, "all"))["delivered"] == 1 and now["waiting"] + now["in_flight"] == 0)
        self.assertEqual(self.trigger(self.rouse, "all")["filtered"], 0)
        self.assertEqual(len(self.got()), 1)

    def test_binary(self):
        for changes, *words in BINARY:
            event = {**GOOD, **changes}
            headers = [(f"ce-{name}", value) for name, value in event.items() if value is not None]
            self.refused(headers, b"data", 400, words)
        twice = [(f"ce-{name}", value) for name, value in GOOD.items()]
        self.refused([*twice, ("CE-ID", "other")], b"", 400, ["`id` is there twice"])
        self.refused([*twice, ("Content-Type", "nothing")], b"x", 400, ["`datacontenttype`", "media type"])
        self.refused([*twice, ("Content-Type", "a/b"), ("Content-Type", "a/c")], b"x", 400, ["`datacontenttype` is there twice"])
        self.refused([("Content-Type", "application/json")], b"{}", 400, ["no CloudEvent", "ce-specversion"])
        self.refused(twice, b"x" * (1 << 20), 413, ["at most 1048576"], keeps=False)  # with its attributes it is larger
        # What is no header at all is the parser's, who reads no more of that connection.
        self.refused([*twice, ("ce-subject", b"a\x01b")], b"", 400, [], keeps=False)
        self.refused(twice, b"x" * (1 << 21), 413, ["1048576"], keeps=False)

    def test_structured(self):
        kind = [("Content-Type", STRUCTURED)]
        for event, *words in JSON:
            self.refused(kind, json.dumps(event, ensure_ascii=False).encode(), 400, words)
        for text, *words in TEXTS:
            self.refused(kind, text, 400, ["the event " + words[0], *words[1:]])
        for text in (b"[]", b'"text"', b"7", b"null"):
            self.refused(kind, text, 400, ["it must be a JSON object"])
        self.refused(kind, json.dumps(GOOD).replace('"id"', '"id": "x", "id"').encode(), 400, ["`id` is there twice"])
        self.refused(kind, json.dumps({**GOOD, "data": "x" * (1 << 20)}).encode(), 413, [], keeps=False)
        for type in ("application/cloudevents", "application/cloudevents+xml", "application/cloudevents+json; charset=latin1"):
            self.refused([("Content-Type", type)], json.dumps(GOOD).encode(), 415, ["is not supported", STRUCTURED])

    def test_batch(self):
        kind = [("Content-Type", BATCH)]
        for event, *words in JSON:
            batch = [{**GOOD, "id": "good"}, event, {**GOOD, "id": "after"}]
            self.refused(kind, json.dumps(batch, ensure_ascii=False).encode(), 400, ["event 1 of the batch", *words])
        for text, *words in TEXTS:
            self.refused(kind, text, 400, ["the batch " + words[0], *words[1:]])
        for text in (b"{}", b'"text"', b"7", b"null"):
            self.refused(kind, text, 400, ["array"])
        for other in (b"7", b"null", b"[]", b'"text"'):
            self.refused(kind, b"[" + json.dumps(GOOD).encode() + b"," + other + b"]", 400, ["event 1 of the batch", "JSON object"])
        self.refused(kind, json.dumps([GOOD, {**GOOD, "data": "x" * (1 << 20)}]).encode(), 413, [], keeps=False)
        for type in ("application/cloudevents-batch", "application/cloudevents-batch+xml"):
            self.refused([("Content-Type", type)], json.dumps([GOOD]).encode(), 415, ["is not supported", BATCH])


if __name__ == "__main__":
    unittest.main()
