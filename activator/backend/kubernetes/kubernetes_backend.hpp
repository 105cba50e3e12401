#pragma once
// The Kubernetes backend: a revision is an existing Deployment, instances are its pods. It sets the count through the
// /scale subresource and learns the rest from watches on pods, EndpointSlices and Deployments of one namespace, which
// it works under a Lease. Belongs to the thread of its io_context; borrows that and the listener, which outlive it.

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

#include "activator/backend/backend.hpp"

namespace rouse::kubernetes {

struct kubernetes_settings {
  std::string pool;
  std::string name_space;  ///< empty: the service account's or the context's own, else `default`
  std::string context;     ///< of the kubeconfig; empty: its current one
  std::string
      kubeconfig;  ///< a file; empty: in-cluster where there is a service account, else $KUBECONFIG, ~/.kube/config
  /// Who holds the Lease, besides the host's name: the same after a restart, so that a rouse which was killed goes on
  /// at once, and for all pools of one rouse; never the same in two that run at a time. Empty: a random one.
  std::string owner;
  /// Lines for the log that concern the pool, called on the backend's thread.
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

/// Reasons in its exit reports, beside no-capacity (a quota, a pod that cannot be scheduled): image, container,
/// crash-loop, exited, evicted, timeout, rejected (the API or the Deployment's controller does not want it), forbidden
/// (rouse may not), missing (there is no such Deployment), unavailable (the API server is away, or another rouse works
/// the namespace), unready, stopped, gone, port, kept.
///
/// The grace of stop() is not passed on: the pod's own terminationGracePeriodSeconds holds.
class kubernetes_backend final : public activator::backend {
 public:
  kubernetes_backend(boost::asio::io_context& io, activator::backend_listener& listener, kubernetes_settings settings);
  /// Leaves what runs alone. Gives the Lease back, for which it may block for a second.
  ~kubernetes_backend() override;

  [[nodiscard]] activator::backend_traits traits() const noexcept override { return {.may_be_standby = true}; }
  void serve(const activator::run_spec& spec) override;
  void forget(std::uint32_t key) override;
  void start(const activator::start_spec& spec) override;
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override;
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::kubernetes
