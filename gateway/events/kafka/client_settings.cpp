#include "gateway/events/kafka/client_settings.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace rouse::gateway::events {

namespace {

struct setting {
  std::string_view name;
  const char* value;
};

/// What no event may depend on somebody's choice for; the reason is told to whoever sets it.
struct reserved {
  std::string_view name;
  std::string_view why;
};
constexpr std::array<reserved, 17> reserved_settings{{
    {"bootstrap.servers", "it is `brokers`"},
    {"metadata.broker.list", "it is `brokers`"},
    {"group.id", "it is `group`"},
    {"group.instance.id", "librdkafka loses the membership of static members at a commit"},
    {"auto.offset.reset", "it is `start`"},
    {"enable.auto.commit", "rouse commits what was delivered, and nothing else"},
    {"enable.auto.offset.store", "rouse commits what was delivered, and nothing else"},
    {"auto.commit.enable", "rouse commits what was delivered, and nothing else"},
    {"enable.partition.eof", "rouse needs it as it is"},
    {"acks", "an event is accepted when all in-sync replicas have it"},
    {"request.required.acks", "an event is accepted when all in-sync replicas have it"},
    {"enable.idempotence", "rouse needs it as it is"},
    {"enable.gapless.guarantee", "rouse needs it as it is"},
    {"transactional.id", "rouse writes without transactions"},
    {"plugin.library.paths", "rouse loads no code by configuration"},
    {"builtin.features", "it says what librdkafka can do and cannot be set"},
    {"opaque", "it is no setting of text"},
}};

/// What rouse sets for each role unless the user's properties say otherwise.
constexpr std::array<setting, 5> common_defaults{{
    {"client.id", "rouse"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.max.ms", "2000"},
    {"topic.metadata.refresh.interval.ms", "30000"},
    {"log.connection.close", "false"},
}};
// What is prefetched is dropped by a pause, and counts as the daemon's memory: a little is enough.
constexpr std::array<setting, 5> consumer_defaults{{
    {"partition.assignment.strategy", "range,roundrobin"},
    {"session.timeout.ms", "30000"},
    {"queued.max.messages.kbytes", "4096"},
    {"fetch.wait.max.ms", "100"},
    {"isolation.level", "read_committed"},
}};
constexpr std::array<setting, 3> reader_defaults{{
    {"queued.max.messages.kbytes", "1024"},
    {"fetch.message.max.bytes", "131072"},
    {"isolation.level", "read_committed"},
}};
constexpr std::array<setting, 3> producer_defaults{{
    {"linger.ms", "2"},
    {"message.timeout.ms", "30000"},
    {"queue.buffering.max.kbytes", "65536"},
}};

constexpr std::array<setting, 4> reading{{
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},  // what ends with marks of transactions has no other end to see
    {"auto.offset.reset", "error"},
}};
constexpr std::array<setting, 2> writing{{{"acks", "all"}, {"enable.idempotence", "true"}}};

/// Empty, or what librdkafka says against it.
std::string set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> text{};
  const auto done = rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size());
  return done == RD_KAFKA_CONF_OK ? std::string() : std::string(text.data());
}

template <typename Settings>
std::string set_all(rd_kafka_conf_t* conf, const Settings& settings) {
  for (const auto& one : settings) {
    if (auto problem = set(conf, std::string(one.name), one.value); !problem.empty())
      return "this librdkafka does not take " + std::string(one.name) + "=" + one.value + ": " + problem;
  }
  return {};
}

std::string set_defaults(rd_kafka_conf_t* conf, kafka_role role) {
  if (auto problem = set_all(conf, common_defaults); !problem.empty()) return problem;
  switch (role) {
    case kafka_role::consumer:
      return set_all(conf, consumer_defaults);
    case kafka_role::reader:
      return set_all(conf, reader_defaults);
    case kafka_role::producer:
      break;
  }
  return set_all(conf, producer_defaults);
}

std::string set_users(rd_kafka_conf_t* conf, const config::kafka_cluster& cluster, kafka_role role) {
  for (const auto& [name, value] : cluster.properties) {
    const auto at = std::ranges::find(reserved_settings, name, &reserved::name);
    if (at != reserved_settings.end())
      return "property `" + name + "` is rouse's to set (" + std::string(at->why) + "): remove it";
    if (name == "partition.assignment.strategy" && value.find("cooperative") != std::string::npos)
      return "property `" + name +
             "`: rouse does not use cooperative assignment, with which librdkafka has lost "
             "partitions: use `range,roundrobin`";
    // librdkafka knows which settings are a consumer's and which a producer's, and only warns of those out of place.
    if (role == kafka_role::reader && name == "partition.assignment.strategy") continue;
    if (auto problem = set(conf, name, value); !problem.empty())
      return "property `" + name + "`: " + problem + "; see the CONFIGURATION page of librdkafka";
  }
  return {};
}

}  // namespace

void kafka_conf_deleter::operator()(rd_kafka_conf_s* conf) const noexcept {
  rd_kafka_conf_destroy(conf);
}

boost::system::result<kafka_conf, std::string> make_kafka_conf(const config::kafka_cluster& cluster, kafka_role role,
                                                               const std::string& group) {
  kafka_conf out(rd_kafka_conf_new());
  auto* const conf = out.get();
  if (auto problem = set_defaults(conf, role); !problem.empty()) return problem;
  if (auto problem = set_users(conf, cluster, role); !problem.empty()) return problem;
  auto problem = role == kafka_role::producer ? set_all(conf, writing) : set_all(conf, reading);
  if (!problem.empty()) return problem;
  if (role != kafka_role::producer) {
    if (problem = set(conf, "group.id", group); !problem.empty()) return "the group " + group + ": " + problem;
  }
  std::string brokers;
  for (const auto& one : cluster.brokers) brokers += (brokers.empty() ? "" : ",") + one;
  if (problem = set(conf, "bootstrap.servers", brokers); !problem.empty()) return "`brokers`: " + problem;
  return out;
}

std::string check_kafka(const config::kafka_cluster& cluster, kafka_role role) {
  const auto made = make_kafka_conf(cluster, role, "check");
  return made ? std::string() : made.error();
}

}  // namespace rouse::gateway::events
