#pragma once
// Kubernetes objects as values, with the few fields that matter here. Parsing never throws: what is not as it should be
// is left out.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "router/address.hpp"

namespace rouse::kubernetes {

inline constexpr const char* deletion_cost = "controller.kubernetes.io/pod-deletion-cost";
/// What a pod gets that is to go: others have none, which counts as 0.
inline constexpr const char* cost_of_a_victim = "-1000";

/// A pod of a Deployment.
struct pod {
  std::string name;
  std::string deployment;
  bool terminating = false;
  bool unready = false;    ///< its own condition says so, whatever an EndpointSlice still says
  bool marked = false;     ///< it has the deletion cost of a victim
  std::uint32_t ends = 0;  ///< how often its containers have ended
  std::string last_end;    ///< "container app ended with status 3", where one has
  std::string failure;     ///< the word for exit_report::reason; empty: none
  std::string detail;      ///< the failure in a sentence, else what it waits for
};

struct endpoint {
  std::string pod;
  router::address where;  ///< without a port
  bool ready = false;
  bool terminating = false;
  friend bool operator==(const endpoint& a, const endpoint& b) {
    return a.pod == b.pod && a.where.bytes == b.where.bytes && a.where.v6 == b.where.v6 && a.ready == b.ready &&
           a.terminating == b.terminating;
  }
};

struct slice_port {
  std::string name;
  std::uint16_t number = 0;
};

struct slice {
  std::string name;
  std::vector<endpoint> endpoints;  ///< those that are pods, with an IP address
  std::vector<slice_port> ports;    ///< those of TCP
};

struct deployment {
  std::string name;
  unsigned replicas = 0;
  std::uint64_t version = 0;      ///< resourceVersion, where it is a number
  std::string refusal;            ///< why the controller cannot make pods; empty: it can
  bool refused_for_room = false;  ///< by a quota
};

/// What a list says of itself.
struct list_end {
  std::string version;
  std::string next;  ///< the `continue` of the next page; empty: none
};

enum class change : std::uint8_t { added, modified, deleted, bookmark, error };

/// Parses one object's text without what is big and never needed (managedFields, templates, containers). A null value
/// when it is no JSON.
[[nodiscard]] nlohmann::json parse_object(std::string_view text);
[[nodiscard]] list_end parse_list_end(std::string_view text);

[[nodiscard]] std::string name_of(const nlohmann::json& object);
[[nodiscard]] std::string version_of(const nlohmann::json& object);
/// Nothing for pods that are no Deployment's: whose controller is not a ReplicaSet called DEPLOYMENT-HASH, HASH being
/// the pod's label pod-template-hash.
[[nodiscard]] std::optional<pod> read_pod(const nlohmann::json& object);
[[nodiscard]] std::optional<slice> read_slice(const nlohmann::json& object);
[[nodiscard]] std::optional<deployment> read_deployment(const nlohmann::json& object);
/// Of a watch's line; nothing when it is none.
[[nodiscard]] std::optional<change> read_change(const nlohmann::json& line);

struct scale {
  unsigned replicas = 0;
  std::uint64_t version = 0;
};
/// Of the answer to a PATCH of /scale.
[[nodiscard]] std::optional<scale> parse_scale(std::string_view text);
/// `message` of a Status; empty when it is none.
[[nodiscard]] std::string parse_status_message(std::string_view text);

}  // namespace rouse::kubernetes
