"""A small client of the Kubernetes API for tests: HTTPS and JSON, nothing else."""

import http.client
import json
import ssl
import threading
from urllib.parse import urlencode

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(AssertionError):
    """What the API server refused: `status` (HTTP), `reason` (NotFound, ...), and its own words."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {body.get('reason', '')}: {body.get('message', body)}")
        self.status, self.reason, self.body = status, body.get("reason", ""), body


class _Connection(http.client.HTTPSConnection):
    def __del__(self):
        self.close()


class Api:
    """One identity at one server. Every thread has a connection of its own. An OSError says that the server is away."""

    def __init__(self, port, ca, token=None, certificate=None, timeout=30):
        self.port, self.token, self.timeout = port, token, timeout
        self.tls = ssl.create_default_context(cafile=str(ca))
        if certificate:
            self.tls.load_cert_chain(*map(str, certificate))
        self._local = threading.local()

    def _connect(self, timeout):
        return _Connection("127.0.0.1", self.port, timeout=timeout, context=self.tls)

    def _headers(self, body, content_type):
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = content_type
        return headers

    def request(self, method, path, body=None, content_type="application/json", **query):
        """The JSON of the answer; ApiError for what is refused."""
        target = path + ("?" + urlencode(query) if query else "")
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        kept = getattr(self._local, "connection", None)
        while True:
            connection = kept or self._connect(self.timeout)
            try:
                connection.request(method, target, data, self._headers(body, content_type))
                response = connection.getresponse()
                text = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                if kept is None or not isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                    raise error if isinstance(error, OSError) else ConnectionError(repr(error)) from None
                kept = None  # the one that was kept had been closed meanwhile
        self._local.connection = connection
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode(errors="replace")}
        if response.status >= 400:
            raise ApiError(f"{method} {path}", response.status, answer)
        return answer

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def find(self, path):
        """The same; None where there is no such thing."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def post(self, path, body, **query):
        return self.request("POST", path, body, **query)

    def put(self, path, body, **query):
        return self.request("PUT", path, body, **query)

    def patch(self, path, body, content_type=MERGE, **query):
        return self.request("PATCH", path, body, content_type, **query)

    def delete(self, path, grace=None, uid=None):
        """True, or false when it is not there (any more)."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", path, options)
            return True
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return False

    def watch(self, path, version, **query):
        """Yields (type, object) from the resourceVersion on, until the server ends it. close() of the generator ends it, too."""
        connection = self._connect(None)
        try:
            target = path + "?" + urlencode({"watch": 1, "resourceVersion": version, "allowWatchBookmarks": "true", **query})
            connection.request("GET", target, headers=self._headers(None, None))
            response = connection.getresponse()
            if response.status != 200:
                raise ApiError(f"watch {path}", response.status, json.loads(response.read()))
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(repr(error)) from None
        finally:
            connection.close()
