#include "activator/backend/kubernetes/kubernetes_backend.hpp"

#include <unistd.h>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <unordered_map>
#include <utility>

#include "activator/backend/kubernetes/access.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/deployment_control.hpp"
#include "activator/backend/kubernetes/lease_keeper.hpp"
#include "activator/backend/kubernetes/namespace_view.hpp"
#include "activator/backend/kubernetes/resource_watch.hpp"

namespace rouse::kubernetes {

namespace {

std::string host_name() {
  std::array<char, 256> text{};
  return ::gethostname(text.data(), text.size() - 1) == 0 ? text.data() : "rouse";
}

/// Problems of a single Deployment are kept by its name after this.
const std::string of_one = "~";

std::string identity_of(const kubernetes_settings& settings) {
  std::string owner = settings.owner;
  if (owner.empty()) {
    std::random_device random;
    for (int i = 0; i < 4; ++i) owner += std::to_string(random());
  }
  return host_name() + "_" + owner;
}

}  // namespace

struct kubernetes_backend::impl {
  impl(boost::asio::io_context& context, activator::backend_listener& to, kubernetes_settings from)
      : io(context),
        settings(std::move(from)),
        listener(to),
        around{.io = io,
               .listener = to,
               .pool = settings.pool,
               .view = view,
               .random = random,
               .reach = [this] { return with.get(); },
               .may_write = [this] { return lease && lease->holds(); },
               .note = settings.note,
               .ended = [this](std::uint64_t id) { whose.erase(id); },
               .trouble = [this](const std::string& of, const std::string& what) { trouble(of_one + of, what); }},
        retry(io) {
    boost::asio::post(io, [this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) reach_out();
    });
  }
  ~impl() {
    if (lease) lease->release();
  }

  // --- reaching the API
  // -----------------------------------------------------------------------------------------------

  void reach_out() {
    std::string problem;
    access_settings how;
    how.context = settings.context;
    how.kubeconfig = settings.kubeconfig;
    const auto found = find_access(
        how,
        [](const char* name) {
          const char* value = std::getenv(name);
          return value ? std::string(value) : std::string();
        },
        problem);
    if (found) {
      std::string name_space = settings.name_space;
      if (name_space.empty()) name_space = found->name_space;
      if (name_space.empty()) name_space = "default";
      with = api::make(io, *found, name_space, problem);
    }
    if (!with) {
      trouble("access", problem);
      retry.expires_after(delay.next(random));
      retry.async_wait([this, alive = std::weak_ptr<int>(alive_)](const boost::system::error_code& failed) {
        if (!failed && !alive.expired()) reach_out();
      });
      return;
    }
    trouble("access", {});
    begin();
  }

  void begin() {
    lease_keeper::handlers on;
    on.on_change = [this] { lease_changed(); };
    on.on_problem = [this](const std::string& what) { watch_trouble("lease", what); };
    lease = std::make_unique<lease_keeper>(io, *with, identity_of(settings), std::move(on));
    pods = watch("v1", "pods", {}, pod_handlers());
    slices = watch("discovery.k8s.io/v1", "endpointslices", "kubernetes.io/service-name", slice_handlers());
    deployments = watch("apps/v1", "deployments", {}, deployment_handlers());
    lease->start();
  }

  std::unique_ptr<resource_watch> watch(const char* group, const char* resource, const char* selector,
                                        watch_handlers on) {
    watch_settings what;
    what.group = group;
    what.resource = resource;
    if (selector) what.selector = selector;
    on.on_problem = [this, source = std::string(resource)](const std::string& why) { watch_trouble(source, why); };
    auto made = std::make_unique<resource_watch>(io, *with, std::move(what), std::move(on));
    made->start();
    return made;
  }

  // --- what the watches tell
  // ------------------------------------------------------------------------------------------

  watch_handlers pod_handlers() {
    watch_handlers on;
    on.on_list = [this] { view.begin_pods(); };
    on.on_object = [this](const nlohmann::json& object) {
      auto one = read_pod(object);
      if (!one) return;
      const std::string name = one->name, deployment = one->deployment;
      view.put(std::move(*one));
      look_at(name, deployment);
    };
    on.on_deleted = [this](const std::string& name) { pod_gone(name); };
    on.on_listed = [this] {
      for (const auto& [name, deployment] : view.end_pods()) look_at(name, deployment);
      has_pods = true;
      begin_all();
    };
    return on;
  }
  watch_handlers slice_handlers() {
    watch_handlers on;
    on.on_list = [this] { view.begin_slices(); };
    on.on_object = [this](const nlohmann::json& object) {
      if (auto one = read_slice(object)) look_at_all(view.put(std::move(*one)));
    };
    on.on_deleted = [this](const std::string& name) { look_at_all(view.remove_slice(name)); };
    on.on_listed = [this] {
      look_at_all(view.end_slices());
      has_slices = true;
      begin_all();
    };
    return on;
  }
  watch_handlers deployment_handlers() {
    watch_handlers on;
    on.on_list = [this] { view.begin_deployments(); };
    on.on_object = [this](const nlohmann::json& object) {
      auto one = read_deployment(object);
      if (!one) return;
      const std::string name = one->name;
      view.put(std::move(*one));
      deployment_changed(name);
    };
    on.on_deleted = [this](const std::string& name) {
      view.remove_deployment(name);
      deployment_changed(name);
    };
    on.on_listed = [this] {
      for (const auto& name : view.end_deployments()) deployment_changed(name);
      has_deployments = true;
      begin_all();
    };
    return on;
  }

  void look_at(const std::string& pod_name, const std::string& deployment) {
    if (!begun) return;
    if (const auto at = controls.find(deployment); at != controls.end()) at->second->look_at(pod_name);
  }
  void look_at_all(const namespace_view::names& pod_names) {
    for (const auto& name : pod_names)
      if (const pod* is = view.find_pod(name)) look_at(name, is->deployment);
  }
  void pod_gone(const std::string& name) {
    const pod* is = view.find_pod(name);
    if (!is) return;
    const std::string deployment = is->deployment;
    view.remove_pod(name);
    look_at(name, deployment);
  }
  void deployment_changed(const std::string& name) {
    if (!begun) return;
    if (const auto at = controls.find(name); at != controls.end()) at->second->look_at_deployment();
  }

  /// Nothing is concluded before it is known what there is, and whose it is.
  void begin_all() {
    if (!has_pods || !has_slices || !has_deployments || !lease || !lease->holds()) return;
    if (std::exchange(begun, true)) return;
    view.each_pod([this](const pod& one) { look_at(one.name, one.deployment); });
    for (const auto& [name, one] : controls) one->begin();
  }

  // --- whose it is
  // ----------------------------------------------------------------------------------------------------

  void lease_changed() {
    const bool others = lease->is_others();
    if (others != state.standby) {
      settings.note(others ? "another rouse works namespace " + with->name_space() + ": " + lease->holder()
                           : "the Lease of namespace " + with->name_space() + " is free");
    }
    // Who cannot reach the API is no standby: what is ready goes on being used.
    state.standby = others;
    tell();
    begin_all();
    if (lease->holds())
      for (const auto& [name, one] : controls) one->go_on();
  }

  // --- what is wrong
  // --------------------------------------------------------------------------------------------------

  void watch_trouble(const std::string& source, const std::string& what) {
    trouble(source, what);
    if (!what.empty()) return;
    // One gets through: so will the others.
    for (auto* one : {pods.get(), slices.get(), deployments.get()})
      if (one) one->hurry();
    if (lease) lease->hurry();
    for (const auto& [name, one] : controls) one->go_on();
  }

  void trouble(const std::string& source, const std::string& what) {
    if (what.empty()) {
      problems.erase(source);
    } else {
      problems[source] = what;
    }
    tell();
  }

  void tell() {
    state.problem = problems.empty() ? std::string() : problems.begin()->second;
    // What is wrong with one Deployment keeps no other from starting.
    const std::string away_before = std::exchange(away, {});
    for (const auto& [source, what] : problems)
      if (away.empty() && !source.starts_with(of_one)) away = what;
    if (state.standby) away = "another rouse (" + lease->holder() + ") works namespace " + with->name_space();
    if (away.empty() && !away_before.empty()) ++state.recoveries;
    if (away.empty() || away_before.empty()) away_since = std::chrono::steady_clock::now();
    for (const auto& [name, one] : controls) one->set_problem(away, away_since);
    // Whose it is comes first: whoever asks would take silence for a yes.
    const bool asking = !lease || (!lease->holds() && !lease->is_others());
    if (!told && asking && !problems.contains("lease") && !problems.contains("access")) return;
    if (state == told) return;
    told = state;
    boost::asio::post(io, [this, state = state, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) listener.on_state(settings.pool, state);
    });
  }

  // --- Deployments
  // ----------------------------------------------------------------------------------------------------

  deployment_control& control_of(const std::string& name) {
    auto& one = controls[name];
    if (one) return *one;
    one = std::make_unique<deployment_control>(around, name);
    one->set_problem(away, away_since);
    return *one;
  }

  void serve(const activator::run_spec& spec) {
    auto& one = control_of(spec.deployment);
    names[spec.key] = spec.deployment;
    one.serve(spec);
    if (!begun || one.has_begun()) return;
    view.each_pod([&](const pod& is) {
      if (is.deployment == spec.deployment) one.look_at(is.name);
    });
    one.begin();
  }

  void forget(std::uint32_t key) {
    const auto name = names.find(key);
    if (name == names.end()) return;
    if (const auto at = controls.find(name->second); at != controls.end()) at->second->forget(key);
    names.erase(name);
    for (auto at = controls.begin(); at != controls.end();) {
      if (!at->second->is_done()) {
        ++at;
        continue;
      }
      const std::string gone = at->first;
      at = controls.erase(at);
      problems.erase(of_one + gone);
    }
    tell();
  }

  boost::asio::io_context& io;
  const kubernetes_settings settings;
  activator::backend_listener& listener;
  std::minstd_rand random{std::random_device{}()};
  namespace_view view;
  surroundings around;
  retry_delay delay;
  boost::asio::steady_timer retry;
  std::map<std::string, std::string> problems;  ///< by what they are of
  activator::backend_state state;
  std::optional<activator::backend_state> told;
  std::string away;  ///< why nothing moves for any Deployment; empty: it does
  std::chrono::steady_clock::time_point away_since;
  std::unique_ptr<api> with;
  std::unique_ptr<lease_keeper> lease;
  std::unique_ptr<resource_watch> pods, slices, deployments;
  std::unordered_map<std::string, std::unique_ptr<deployment_control>> controls;
  std::unordered_map<std::uint32_t, std::string> names;  ///< of the Deployment, by key
  std::unordered_map<std::uint64_t, deployment_control*> whose;
  bool has_pods = false, has_slices = false, has_deployments = false;
  bool begun = false;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

kubernetes_backend::kubernetes_backend(boost::asio::io_context& io, activator::backend_listener& listener,
                                       kubernetes_settings settings)
    : impl_(std::make_unique<impl>(io, listener, std::move(settings))) {}

kubernetes_backend::~kubernetes_backend() = default;

void kubernetes_backend::serve(const activator::run_spec& spec) {
  impl_->serve(spec);
}

void kubernetes_backend::forget(std::uint32_t key) {
  impl_->forget(key);
}

void kubernetes_backend::start(const activator::start_spec& spec) {
  if (const auto at = impl_->names.find(spec.key); at == impl_->names.end() || at->second != spec.deployment)
    impl_->serve(spec);
  auto& one = impl_->control_of(spec.deployment);
  impl_->whose[spec.id] = &one;
  one.start(spec);
}

void kubernetes_backend::stop(std::uint64_t id, std::chrono::milliseconds /*grace*/) {
  if (const auto at = impl_->whose.find(id); at != impl_->whose.end()) at->second->stop(id);
}

void kubernetes_backend::let_go(std::uint64_t id, std::chrono::milliseconds /*grace*/) {
  if (const auto at = impl_->whose.find(id); at != impl_->whose.end()) at->second->let_go(id);
}

}  // namespace rouse::kubernetes
