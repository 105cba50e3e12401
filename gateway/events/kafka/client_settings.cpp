#include "gateway/events/kafka/client_settings.hpp"

#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
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
// What is prefetched counts as the daemon's memory. When its queue is full librdkafka 2.0.2 does not look again for up
// to a second, so the queue bounds the rate as well: 4 MiB gave 8,600 records of 1 KiB a second, 16 MiB 22,900.
constexpr std::array<setting, 5> consumer_defaults{{
    {"partition.assignment.strategy", "range,roundrobin"},
    {"session.timeout.ms", "30000"},
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.wait.max.ms", "100"},
    {"isolation.level", "read_committed"},
}};
constexpr std::array<setting, 3> reader_defaults{{
    {"queued.max.messages.kbytes", "1024"},
    {"fetch.message.max.bytes", "131072"},
    {"isolation.level", "read_committed"},
}};
// A caller is made to wait for 30 s at most. Keys go to the partitions that Java's clients choose, and the brokers
// alone decide what is too large.
constexpr std::array<setting, 6> producer_defaults{{
    {"linger.ms", "2"},
    {"message.timeout.ms", "25000"},
    {"topic.metadata.propagation.max.ms", "10000"},
    {"queue.buffering.max.kbytes", "65536"},
    {"message.max.bytes", "2000000"},
    {"partitioner", "murmur2_random"},
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

/// librdkafka says of a file that is not there only that something of OpenSSL's failed.
std::string check_file(const std::string& name, const std::string& value) {
  constexpr std::array<std::string_view, 6> files{"ssl.ca.location",       "ssl.certificate.location",
                                                  "ssl.key.location",      "ssl.crl.location",
                                                  "ssl.keystore.location", "ssl.engine.location"};
  if (std::ranges::find(files, name) == files.end() || (name == "ssl.ca.location" && value == "probe")) return {};
  if (::access(value.c_str(), R_OK) == 0) return {};
  return "property `" + name + "` names " + value + ", which cannot be read: " + std::strerror(errno);
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
    if (auto problem = check_file(name, value); !problem.empty()) return problem;
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

std::string try_kafka(const config::kafka_cluster& cluster, kafka_role role) {
  auto made = make_kafka_conf(cluster, role, "check");
  if (!made) return made.error();
  auto* const conf = made->get();
  // Without an address nothing is dialled.
  std::array<char, 512> text{};
  if (rd_kafka_conf_set(conf, "bootstrap.servers", "", text.data(), text.size()) != RD_KAFKA_CONF_OK)
    return text.data();
  rd_kafka_conf_set_log_cb(conf, nullptr);
  const auto type = role == kafka_role::producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
  auto* const client = rd_kafka_new(type, conf, text.data(), text.size());
  if (!client) return "the properties do not work: " + std::string(text.data());
  static_cast<void>(made->release());  // it is the client's
  rd_kafka_destroy(client);
  return {};
}

config::kafka_check kafka_checks() {
  return [](const config::kafka_cluster& cluster, bool writes, bool whole) {
    const auto check = whole ? try_kafka : check_kafka;
    auto problem = check(cluster, kafka_role::consumer);
    if (problem.empty() && writes) problem = check(cluster, kafka_role::producer);
    return problem;
  };
}

}  // namespace rouse::gateway::events
