#pragma once
// What is known of a namespace from its watches: the pods of Deployments, where they can be reached, the Deployments.
// Pure. Each put or removal answers with the pods or Deployments of which something is new.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "activator/backend/counted/counted.hpp"
#include "activator/backend/kubernetes/objects.hpp"

namespace rouse::kubernetes {

/// Which port of a pod is the function's.
struct port_rule {
  std::string name;          ///< as the Service calls it
  std::uint16_t number = 0;  ///< both empty: the only one that there is
};

/// A pod as one function sees it.
struct pod_look {
  counted::sight is;
  std::optional<router::address> where;  ///< of one that is ready
};

class namespace_view {
 public:
  using names = std::vector<std::string>;

  // Lists: between begin and end everything that there is is put; what was not is gone.
  void begin_pods() { ++pod_round_; }
  void begin_slices() { ++slice_round_; }
  void begin_deployments() { ++deployment_round_; }
  /// Those that are gone, with the Deployments that they were of.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> end_pods();
  [[nodiscard]] names end_slices();
  [[nodiscard]] names end_deployments();

  void put(pod one);
  void remove_pod(const std::string& name) { pods_.erase(name); }
  [[nodiscard]] names put(slice one);
  [[nodiscard]] names remove_slice(const std::string& name);
  void put(deployment one);
  void remove_deployment(const std::string& name) { deployments_.erase(name); }

  [[nodiscard]] const pod* find_pod(const std::string& name) const;
  [[nodiscard]] const deployment* find_deployment(const std::string& name) const;
  void each_pod(const std::function<void(const pod&)>& with) const;
  /// How the pod stands with a function that listens on the port of `rule`.
  [[nodiscard]] pod_look look(const pod& one, const port_rule& rule) const;

 private:
  struct kept_pod {
    pod is;
    std::uint32_t round = 0;
  };
  struct kept_slice {
    std::vector<endpoint> endpoints;
    std::vector<slice_port> ports;
    std::uint32_t round = 0;
  };
  struct kept_deployment {
    deployment is;
    std::uint32_t round = 0;
  };
  void unlink(const std::string& slice_name, const kept_slice& of);

  std::unordered_map<std::string, kept_pod> pods_;
  std::unordered_map<std::string, kept_slice> slices_;
  std::unordered_map<std::string, std::vector<std::string>> slices_of_;  ///< by pod
  std::unordered_map<std::string, kept_deployment> deployments_;
  std::uint32_t pod_round_ = 0, slice_round_ = 0, deployment_round_ = 0;
};

}  // namespace rouse::kubernetes
