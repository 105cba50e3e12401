#pragma once
// How a client of librdkafka is set up: the cluster's brokers and the user's `properties`, and over them what rouse
// depends on and therefore sets itself. Pure but for librdkafka's own checks; any thread.

#include <memory>
#include <string>

#include <boost/system/result.hpp>

#include "config/config.hpp"
#include "config/load.hpp"

struct rd_kafka_conf_s;

namespace rouse::gateway::events {

/// What a client is for.
enum class kafka_role {
  consumer,  ///< a member of a group
  reader,    ///< reads at offsets of its own choice, in no group
  producer,
};

struct kafka_conf_deleter {
  void operator()(rd_kafka_conf_s* conf) const noexcept;
};
using kafka_conf = std::unique_ptr<rd_kafka_conf_s, kafka_conf_deleter>;

/// A configuration for rd_kafka_new(), or what is wrong with the user's properties, in words that name the property and
/// the mend. `group` is for the roles that read.
[[nodiscard]] boost::system::result<kafka_conf, std::string> make_kafka_conf(const config::kafka_cluster& cluster,
                                                                             kafka_role role, const std::string& group);

/// What is wrong with the properties for this role; empty: nothing. Opens no connection.
[[nodiscard]] std::string check_kafka(const config::kafka_cluster& cluster, kafka_role role);

/// The same for all properties together, with the files that they name: makes a client that knows no broker, and ends
/// it. Some milliseconds, and threads meanwhile.
[[nodiscard]] std::string try_kafka(const config::kafka_cluster& cluster, kafka_role role);

/// Both, for the loader of the configuration.
[[nodiscard]] config::kafka_check kafka_checks();

}  // namespace rouse::gateway::events
