#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "activator/backend/http/origin.hpp"
#include "activator/backend/kubernetes/access.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/json_stream.hpp"
#include "activator/backend/kubernetes/namespace_view.hpp"
#include "activator/backend/kubernetes/objects.hpp"

using namespace rouse::kubernetes;
using Catch::Contains;
using nlohmann::json;
using rouse::counted::phase;

namespace {

struct folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("rouse-kubernetes-" + std::to_string(::getpid()));
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return path / name;
  }
};

const std::string config = R"(
apiVersion: v1
kind: Config
current-context: home
contexts:
- name: home
  context: {cluster: one, user: me, namespace: functions}
- name: burst
  context: {cluster: two, user: robot}
- name: broken
  context: {cluster: three, user: me}
- name: plugged
  context: {cluster: one, user: plugin}
clusters:
- name: one
  cluster: {server: "https://10.0.0.1:6443", certificate-authority-data: aGVsbG8=, tls-server-name: kubernetes}
- name: two
  cluster: {server: "https://two.example/api", insecure-skip-tls-verify: true}
users:
- name: me
  user: {client-certificate: me.pem, client-key-data: a2V5}
- name: robot
  user: {tokenFile: token}
- name: plugin
  user: {exec: {command: aws}}
)";

json pod_object() {
  return json::parse(R"({"metadata":{"name":"echo-5d4-abc","resourceVersion":"7",
    "labels":{"app":"echo","pod-template-hash":"5d4"},
    "ownerReferences":[{"kind":"ReplicaSet","name":"echo-5d4","controller":true}]},
    "spec":{"nodeName":"n"},
    "status":{"phase":"Running","conditions":[{"type":"PodScheduled","status":"True"},{"type":"Ready","status":"True"}],
      "containerStatuses":[{"name":"app","ready":true,"restartCount":0,"state":{"running":{}}}]}})");
}

json slice_object(bool ready, const char* pod = "echo-5d4-abc") {
  json out = json::parse(R"({"metadata":{"name":"echo-x1"},"addressType":"IPv4",
    "endpoints":[{"addresses":["10.1.2.3"],"conditions":{},"targetRef":{"kind":"Pod","name":""}}],
    "ports":[{"name":"http","port":8080,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"}]})");
  out["endpoints"][0]["conditions"]["ready"] = ready;
  out["endpoints"][0]["targetRef"]["name"] = pod;
  return out;
}

pod of(const json& object) {
  auto out = read_pod(object);
  REQUIRE(out);
  return *out;
}

}  // namespace

TEST_CASE("kubeconfig: contexts, clusters, users") {
  const folder in;
  in.write("me.pem", "certificate");
  in.write("token", "secret\n");
  std::string problem;
  auto home = parse_kubeconfig(config, "", in.path, problem);
  REQUIRE(home);
  CHECK(home->server == "https://10.0.0.1:6443");
  CHECK(home->ca == "hello");
  CHECK(home->server_name == "kubernetes");
  CHECK(home->name_space == "functions");
  CHECK(home->certificate == "certificate");
  CHECK(home->key == "key");
  CHECK_FALSE(home->insecure);
  auto burst = parse_kubeconfig(config, "burst", in.path, problem);
  REQUIRE(burst);
  CHECK(burst->insecure);
  CHECK(read_token(*burst, problem) == "secret");
  in.write("token", "renewed");
  CHECK(read_token(*burst, problem) == "renewed");
  std::string prefix;
  const auto settings = client_settings_of(*burst, prefix, problem);
  REQUIRE(settings);
  CHECK(prefix == "/api");
  CHECK(settings->to.host == "two.example");
  CHECK_FALSE(settings->tls.verify);

  const auto refused = [&](const std::string& text, const char* context) {
    problem.clear();
    CHECK_FALSE(parse_kubeconfig(text, context, in.path, problem));
    return problem;
  };
  CHECK_THAT(refused(config, "nowhere"), Contains("no context \"nowhere\""));
  CHECK_THAT(refused(config, "broken"), Contains("no cluster \"three\""));
  CHECK_THAT(refused(config, "plugged"), Contains("exec") && Contains("not supported") && Contains("token"));
  CHECK_THAT(refused("a: [", ""), Contains("YAML"));
  CHECK_THAT(refused("[]", ""), Contains("not a kubeconfig"));
  CHECK_THAT(refused("{}", ""), Contains("current-context"));
  std::filesystem::remove(in.path / "me.pem");
  CHECK_THAT(refused(config, "home"), Contains("me.pem"));
}

TEST_CASE("which access is taken") {
  const folder in;
  std::map<std::string, std::string> set;
  const auto environment = [&](const char* name) { return set[name]; };
  access_settings settings;
  settings.service_account = in.path;
  std::string problem;
  CHECK_FALSE(find_access(settings, environment, problem));
  CHECK_THAT(problem, Contains("neither"));
  set["HOME"] = in.path;
  CHECK_FALSE(find_access(settings, environment, problem));
  CHECK_THAT(problem, Contains("cannot be read") && Contains(".kube/config"));
  std::filesystem::create_directories(in.path / ".kube");
  in.write("me.pem", "certificate");
  in.write(".kube/config", config);
  in.write(".kube/me.pem", "beside");
  CHECK(find_access(settings, environment, problem)->certificate == "beside");
  set["KUBECONFIG"] = in.write("mine", config);
  CHECK(find_access(settings, environment, problem)->certificate == "certificate");
  // In a pod, the service account comes first, unless the pool names a context.
  set["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  set["KUBERNETES_SERVICE_PORT"] = "6443";
  in.write("token", "mine");
  in.write("ca.crt", "ca");
  in.write("namespace", "here\n");
  const auto inside = find_access(settings, environment, problem);
  REQUIRE(inside);
  CHECK(inside->server == "https://[fd00::1]:6443");
  CHECK(inside->ca == "ca");
  CHECK(inside->name_space == "here");
  CHECK(read_token(*inside, problem) == "mine");
  settings.context = "home";
  CHECK(find_access(settings, environment, problem)->server == "https://10.0.0.1:6443");
  in.write("token", " \n");
  settings.context.clear();
  CHECK_FALSE(find_access(settings, environment, problem));
  CHECK_THAT(problem, Contains("no token"));
}

TEST_CASE("base64") {
  CHECK(decode_base64("aGVsbG8=") == "hello");
  CHECK(decode_base64("aGVs\nbG8=\n") == "hello");
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("/+8=") == "\xff\xef");
  CHECK_FALSE(decode_base64("a"));
  CHECK_FALSE(decode_base64("aGVs!"));
  CHECK_FALSE(decode_base64("aG=s"));
}

TEST_CASE("a list is cut into its objects, however it comes") {
  const std::string text =
      R"({"kind":"PodList","metadata":{"resourceVersion":"42","continue":"ab\"[]{}","items":[1]},"items":[)"
      R"({"a":"}\"]{","b":[{},[]]} , {"c":{}}, {}],"rest":{"items":[{"no":1}]}})";
  for (const std::size_t step : {1U, 3U, 7U, 1000U}) {
    std::vector<std::string> got;
    list_splitter of([&](std::string_view one) { got.emplace_back(one); });
    for (std::size_t at = 0; at < text.size(); at += step) REQUIRE(of.feed(std::string_view(text).substr(at, step)));
    CHECK(got == std::vector<std::string>{R"({"a":"}\"]{","b":[{},[]]})", R"({"c":{}})", "{}"});
    const auto end = parse_list_end(of.rest());
    CHECK(end.version == "42");
    CHECK(end.next == "ab\"[]{}");
    CHECK(json::parse(of.rest())["rest"]["items"].size() == 1);
  }
  list_splitter none([](std::string_view) { FAIL(); });
  CHECK(none.feed(R"({"metadata":{"resourceVersion":"1"},"items":[]})"));
  CHECK(parse_list_end(none.rest()).version == "1");
  list_splitter nil([](std::string_view) { FAIL(); });
  CHECK(nil.feed(R"({"metadata":{"resourceVersion":"1"},"items":null})"));
  CHECK(parse_list_end(nil.rest()).version == "1");
  list_splitter bad([](std::string_view) {});
  CHECK_FALSE(bad.feed("}"));
  list_splitter huge([](std::string_view) {});
  CHECK(huge.feed(R"({"items":[{"a":")"));
  CHECK_FALSE(huge.feed(std::string(list_splitter::most + 1, 'x')));
}

TEST_CASE("a watch is cut into lines, however it comes") {
  const std::string text = "{\"a\":1}\n\n{\"b\":2}\n{\"c\"";
  for (const std::size_t step : {1U, 5U, 1000U}) {
    std::vector<std::string> got;
    line_splitter of([&](std::string_view one) { got.emplace_back(one); });
    for (std::size_t at = 0; at < text.size(); at += step) REQUIRE(of.feed(std::string_view(text).substr(at, step)));
    CHECK(got == std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"});
    CHECK(of.feed(":3}\n"));
    CHECK(got.back() == "{\"c\":3}");
  }
}

TEST_CASE("what is big and never needed is left out") {
  const auto got = parse_object(R"({"metadata":{"name":"x","managedFields":[1,2],"annotations":{"a":"b"}},
    "spec":{"replicas":3,"template":{"spec":{}}},"status":{"containerStatuses":[{"name":"c"}]}})");
  CHECK(got["metadata"].size() == 2);
  CHECK(got["spec"] == json{{"replicas", 3}});
  CHECK(got["status"]["containerStatuses"][0]["name"] == "c");
  CHECK(parse_object("{\"a").is_null());
  CHECK_FALSE(read_pod(parse_object("[1]")));
  CHECK_FALSE(read_pod(parse_object(R"({"metadata":{"name":7,"ownerReferences":"x","labels":[]}})")));
}

TEST_CASE("whose a pod is") {
  CHECK(of(pod_object()).deployment == "echo");
  auto other = pod_object();
  SECTION("no label of a template") {
    other["metadata"]["labels"].erase("pod-template-hash");
  }
  SECTION("of another kind") {
    other["metadata"]["ownerReferences"][0]["kind"] = "Job";
  }
  SECTION("not its controller") {
    other["metadata"]["ownerReferences"][0]["controller"] = false;
  }
  SECTION("of a ReplicaSet of another name") {
    other["metadata"]["ownerReferences"][0]["name"] = "echo";
  }
  SECTION("of nobody") {
    other["metadata"].erase("ownerReferences");
  }
  CHECK_FALSE(read_pod(other));
}

TEST_CASE("how a pod fails") {
  auto object = pod_object();
  auto& status = object["status"];
  auto& container = status["containerStatuses"][0];
  CHECK(of(object).failure.empty());
  SECTION("images") {
    for (const char* reason : {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}) {
      container["state"] = {{"waiting", {{"reason", reason}, {"message", "no such image"}}}};
      CHECK(of(object).failure == "image");
      CHECK_THAT(of(object).detail, Contains(reason) && Contains("no such image") && Contains("app"));
    }
    status["initContainerStatuses"] = json::array({container});
    status["containerStatuses"][0]["state"] = {{"waiting", {{"reason", "PodInitializing"}}}};
    CHECK(of(object).failure == "image");
  }
  SECTION("creating is none") {
    container["state"] = {{"waiting", {{"reason", "ContainerCreating"}}}};
    CHECK(of(object).failure.empty());
    CHECK_THAT(of(object).detail, Contains("ContainerCreating"));
  }
  SECTION("crashes") {
    CHECK(of(object).ends == 0);
    container["state"] = {{"terminated", {{"exitCode", 3}, {"reason", "Error"}}}};
    CHECK(of(object).ends == 1);
    CHECK(of(object).failure.empty());
    CHECK(of(object).last_end == "container app ended with status 3");
    container["lastState"] = container["state"];
    container["state"] = {{"running", json::object()}};
    container["restartCount"] = 1;
    CHECK(of(object).ends == 1);
    container["state"] = {{"waiting", {{"reason", "CrashLoopBackOff"}}}};
    CHECK(of(object).ends == 2);
    CHECK(of(object).failure == "crash-loop");
    CHECK_THAT(of(object).detail, Contains("status 3"));
    container["lastState"]["terminated"] = {{"exitCode", 137}, {"reason", "OOMKilled"}};
    CHECK_THAT(of(object).detail, Contains("OOMKilled"));
  }
  SECTION("no node") {
    status["conditions"][0] = {{"type", "PodScheduled"},
                               {"status", "False"},
                               {"reason", "Unschedulable"},
                               {"message", "0/3 nodes are available: 3 Insufficient cpu."}};
    CHECK(of(object).failure == "no-capacity");
    CHECK_THAT(of(object).detail, Contains("Insufficient cpu"));
    status["conditions"][0]["reason"] = "SchedulerError";
    CHECK(of(object).failure.empty());
  }
  SECTION("ended") {
    status["phase"] = "Failed";
    status["reason"] = "OutOfmemory";
    CHECK(of(object).failure == "no-capacity");
    status["reason"] = "Evicted";
    status["message"] = "The node was low on resource: memory.";
    CHECK(of(object).failure == "evicted");
    CHECK_THAT(of(object).detail, Contains("low on resource"));
  }
  SECTION("it goes") {
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    CHECK(of(object).terminating);
  }
  SECTION("marked") {
    object["metadata"]["annotations"][deletion_cost] = "5";
    CHECK_FALSE(of(object).marked);
    object["metadata"]["annotations"][deletion_cost] = cost_of_a_victim;
    CHECK(of(object).marked);
  }
}

TEST_CASE("a Deployment") {
  auto object = json::parse(R"({"metadata":{"name":"echo","resourceVersion":"12"},"spec":{"replicas":0},
    "status":{"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate",
      "message":"pods \"x\" is forbidden: exceeded quota: q, requested: pods=1"}]}})");
  auto got = read_deployment(object);
  REQUIRE(got);
  CHECK(got->replicas == 0);
  CHECK(got->version == 12);
  CHECK(got->refused_for_room);
  object["status"]["conditions"][0]["message"] = "admission webhook denied the request";
  CHECK_FALSE(read_deployment(object)->refused_for_room);
  object["status"]["conditions"][0]["status"] = "False";
  CHECK(read_deployment(object)->refusal.empty());
  CHECK(parse_scale(R"({"kind":"Scale","metadata":{"resourceVersion":"9"},"spec":{}})")->replicas == 0);
  CHECK(parse_scale(R"({"kind":"Scale","metadata":{"resourceVersion":"9"},"spec":{"replicas":4}})")->version == 9);
  CHECK_FALSE(parse_scale(R"({"kind":"Status"})"));
  CHECK_FALSE(parse_scale("no json"));
}

TEST_CASE("where a pod can be reached, and when") {
  namespace_view view;
  auto one = of(pod_object());
  view.put(one);
  const auto look = [&](const port_rule& rule = {}) { return view.look(*view.find_pod(one.name), rule); };
  CHECK(look().is.now == phase::starting);
  CHECK_THAT(look().is.detail, Contains("Service"));
  CHECK(view.put(*read_slice(slice_object(false))) == namespace_view::names{one.name});
  CHECK(look().is.now == phase::starting);
  CHECK(view.put(*read_slice(slice_object(true))) == namespace_view::names{one.name});
  CHECK(view.put(*read_slice(slice_object(true))).empty());
  REQUIRE(look().is.now == phase::ready);
  CHECK(rouse::backend_http::to_string(*look().where) == "10.1.2.3:8080");
  CHECK(look({"http", 0}).where->port == 8080);
  CHECK(look({"", 9090}).where->port == 9090);
  CHECK_FALSE(look({"grpc", 0}).where);
  CHECK_THAT(look({"grpc", 0}).is.detail, Contains("grpc"));

  SECTION("several ports must be chosen from") {
    auto two = slice_object(true);
    two["ports"].push_back({{"name", "admin"}, {"port", 8081}});
    CHECK(view.put(*read_slice(two)).size() == 1);
    CHECK_THAT(look().is.detail, Contains("2 ports"));
    CHECK(look({"admin", 0}).where->port == 8081);
  }
  SECTION("the pod knows first that it is not ready, and that it goes") {
    one.unready = true;
    view.put(one);
    CHECK(look().is.now == phase::starting);
    one.terminating = true;
    view.put(one);
    CHECK(look().is.now == phase::leaving);
  }
  SECTION("a terminating endpoint gets nothing") {
    auto going = slice_object(true);
    going["endpoints"][0]["conditions"]["terminating"] = true;
    CHECK(view.put(*read_slice(going)).size() == 1);
    CHECK_FALSE(look().where);
  }
  SECTION("one that is ready in any slice is ready; IPv4 comes first") {
    auto six = slice_object(true);
    six["metadata"]["name"] = "echo-x2";
    six["addressType"] = "IPv6";
    six["endpoints"][0]["addresses"][0] = "fd00::5";
    CHECK(view.put(*read_slice(six)).size() == 1);
    CHECK_FALSE(look().where->v6);
    CHECK(view.remove_slice("echo-x1") == namespace_view::names{one.name});
    CHECK(look().where->v6);
    CHECK(view.remove_slice("echo-x2").size() == 1);
    CHECK_FALSE(look().where);
  }
  SECTION("what a new list does not have is gone") {
    view.begin_slices();
    CHECK(view.end_slices() == namespace_view::names{one.name});
    view.begin_pods();
    const auto gone = view.end_pods();
    REQUIRE(gone.size() == 1);
    CHECK(gone[0].first == one.name);
    CHECK(gone[0].second == "echo");
    CHECK_FALSE(view.find_pod(one.name));
  }
  SECTION("what fails is told unless it is ready all the same") {
    one.failure = "image";
    one.detail = "no such image";
    view.put(one);
    CHECK(look().is.now == phase::ready);
    CHECK(view.remove_slice("echo-x1").size() == 1);
    CHECK(look().is.now == phase::failed);
    CHECK(look().is.reason == "image");
    CHECK_THAT(look().is.detail, Contains(one.name));
  }
}

TEST_CASE("errors in words") {
  rouse::backend_http::response answer;
  answer.status = 403;
  answer.body = R"({"kind":"Status","message":"deployments.apps \"echo\" is forbidden"})";
  CHECK_THAT(refusal_in_words(answer, "patch deployments/scale", "functions"),
             Contains("may not patch deployments/scale in namespace functions") && Contains("rbac.yaml"));
  answer.status = 500;
  CHECK_THAT(refusal_in_words(answer, "list pods", "functions"), Contains("500") && Contains("is forbidden"));
  answer.status = 200;
  CHECK(refusal_in_words(answer, "list pods", "functions").empty());
  answer.error.what = rouse::backend_http::fault::unreachable;
  answer.error.problem = "connection refused";
  CHECK_THAT(refusal_in_words(answer, "list pods", "functions"), Contains("connection refused"));
  CHECK(percent_encoded("a b/ü") == "a%20b%2F%C3%BC");
  std::minstd_rand random(1);
  retry_delay delay;
  auto last = delay.next(random);
  CHECK((last >= std::chrono::milliseconds(50) && last <= std::chrono::milliseconds(100)));
  for (int i = 0; i < 15; ++i) {
    last = delay.next(random);
    CHECK(last <= std::chrono::seconds(1));
  }
  for (int i = 0; i < 20; ++i) last = delay.next(random);
  CHECK((last >= std::chrono::seconds(5) && last <= std::chrono::seconds(10)));
}
