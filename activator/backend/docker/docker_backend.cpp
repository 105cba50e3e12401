#include "activator/backend/docker/docker_backend.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "activator/backend/docker/docker_instance.hpp"
#include "activator/backend/docker/engine.hpp"
#include "activator/backend/docker/pulls.hpp"
#include "activator/backend/docker/removals.hpp"

namespace rouse::docker {

namespace asio = boost::asio;

struct docker_backend::impl final : instance_host, engine_listener, pull_listener {
  impl(asio::io_context& context, activator::backend_listener& to, docker_settings from)
      : io_(context),
        listener_(to),
        settings_(std::move(from)),
        random_(settings_.seed),
        docker_(context, settings_.socket, label_filter(settings_.owner, settings_.pool, false),
                label_filter(settings_.owner, settings_.pool, true), settings_.seed, *this),
        pulls_(docker_, *this),
        removals_(context, docker_) {}
  ~impl() {
    for (const auto& [name, id] : by_name_) settings_.in_use->erase(name);
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;

  /// A container that runs, with our labels, that no instance is known for.
  struct stray {
    container what;
    bool told = false;  ///< on_found was said
  };

  void begin(const activator::start_spec& spec);
  std::string* take_stray(const activator::run_spec& spec);
  void claim(const std::shared_ptr<docker_instance>& instance, const std::string& name);
  void sort_out();
  void tell_or_end();
  void note_name(const std::string& name, std::uint64_t id);
  void drop_name(const std::string& name);
  bool is_known(const std::string& name) const;
  std::shared_ptr<docker_instance> find(std::uint64_t id) const;
  std::vector<std::shared_ptr<docker_instance>> all() const;

  // engine_listener
  void on_listing() override;
  void on_synced(std::vector<container> found) override;
  void on_event(const event& what) override;
  void on_problem(const std::string& problem) override;
  // pull_listener
  void on_pull_progress(std::uint64_t id, std::string text) override;
  void on_pull_ended(std::uint64_t id, const std::string& word, const std::string& problem, bool away) override;
  // instance_host
  asio::io_context& io() override { return io_; }
  activator::backend_listener& listener() override { return listener_; }
  engine& docker() override { return docker_; }
  std::string body_for(const activator::start_spec& spec) const override {
    return create_body(spec, settings_.owner, settings_.pool, settings_.network, with_init_);
  }
  const std::string& network() const override { return settings_.network; }
  bool do_without_init() override;
  void pull(const std::string& image, std::uint64_t id) override { pulls_.want(image, id); }
  void remove(const std::string& name, std::function<void()> done) override { removals_.remove(name, std::move(done)); }
  void finished(std::uint64_t id) override;

  asio::io_context& io_;
  activator::backend_listener& listener_;
  const docker_settings settings_;
  std::minstd_rand random_;
  bool with_init_ = true;
  unsigned recoveries_ = 0;  ///< of the engine
  bool all_served_ = false;
  std::map<std::uint32_t, activator::run_spec> served_;
  std::map<std::string, stray> strays_;
  std::map<std::uint64_t, std::shared_ptr<docker_instance>> instances_;
  std::map<std::string, std::uint64_t> by_name_;  ///< of the containers of instances
  engine docker_;
  pulls pulls_;
  removals removals_;
  /// Held weakly by what is in the queue.
  std::shared_ptr<impl*> alive_ = std::make_shared<impl*>(this);
};

std::shared_ptr<docker_instance> docker_backend::impl::find(std::uint64_t id) const {
  const auto found = instances_.find(id);
  return found != instances_.end() ? found->second : nullptr;
}

std::vector<std::shared_ptr<docker_instance>> docker_backend::impl::all() const {
  std::vector<std::shared_ptr<docker_instance>> out;
  for (const auto& [id, instance] : instances_) out.push_back(instance);
  return out;
}

bool docker_backend::impl::is_known(const std::string& name) const {
  return settings_.in_use->contains(name) || removals_.has(name);
}

void docker_backend::impl::note_name(const std::string& name, std::uint64_t id) {
  by_name_.emplace(name, id);
  settings_.in_use->insert(name);
}

void docker_backend::impl::drop_name(const std::string& name) {
  if (by_name_.erase(name) > 0) settings_.in_use->erase(name);
}

void docker_backend::impl::begin(const activator::start_spec& spec) {
  const auto instance = std::make_shared<docker_instance>(
      *this, spec, container_name(spec.instance, static_cast<std::uint32_t>(random_())));
  instances_.emplace(spec.id, instance);
  note_name(instance->name(), spec.id);
  instance->begin();
  if (!spec.found.empty()) {
    if (strays_.contains(spec.found)) return claim(instance, spec.found);
    return instance->begin_in_vain("the container " + spec.found +
                                   " was to be taken over, and is not there any more or was taken before");
  }
  if (docker_.synced()) {
    if (const auto* name = take_stray(spec)) return claim(instance, *name);
    return instance->make();
  }
  if (!docker_.hopeless()) return;
  asio::post(io_, [weak = std::weak_ptr<docker_instance>(instance), problem = docker_.problem()] {
    if (const auto self = weak.lock()) self->on_hopeless(problem);
  });
}

/// The name of a container that runs for this revision and that nobody has claimed, or null.
std::string* docker_backend::impl::take_stray(const activator::run_spec& spec) {
  for (auto& [name, one] : strays_)
    if (runs(one.what.of, spec)) return &one.what.name;
  return nullptr;
}

void docker_backend::impl::claim(const std::shared_ptr<docker_instance>& instance, const std::string& name) {
  const container found = strays_.at(name).what;
  strays_.erase(name);
  drop_name(instance->name());
  note_name(found.name, instance->id());
  instance->adopt(found);
}

void docker_backend::impl::on_listing() {
  for (const auto& instance : all()) instance->note_listing();
}

void docker_backend::impl::on_synced(std::vector<container> found) {
  std::map<std::string, container> there;
  for (auto& one : found) {
    if (one.of.owner != settings_.owner || one.of.pool != settings_.pool) continue;
    there.emplace(one.name, std::move(one));
  }
  for (const auto& instance : all()) {
    const auto here = there.find(instance->name());
    if (instance->waits()) continue;
    instance->on_listed(here != there.end() ? &here->second : nullptr);
  }
  removals_.go_on();
  std::erase_if(strays_, [&](const auto& one) { return !there.contains(one.first); });
  for (auto& [name, one] : there) {
    if (is_known(name)) continue;
    if (one.state == container_state::running || one.state == container_state::paused) {
      strays_[name].what = std::move(one);
    } else if (one.state == container_state::created || one.state == container_state::exited) {
      // Whoever made it is no more; what has not run, or does not any more, is of no use to anybody.
      strays_.erase(name);
      removals_.remove(name, nullptr);
    }
  }
  sort_out();
}

/// What was found serves those that wait for a start; then the others are made, and the rest of what was found is told.
void docker_backend::impl::sort_out() {
  for (const auto& instance : all()) {
    if (!instance->waits()) continue;
    if (const auto* name = take_stray(instance->spec())) {
      claim(instance, *name);
    } else {
      instance->make();
    }
  }
  tell_or_end();
}

void docker_backend::impl::tell_or_end() {
  if (!docker_.synced()) return;
  std::vector<std::string> nobodys;
  std::vector<std::pair<std::uint32_t, std::string>> news;
  for (auto& [name, one] : strays_) {
    const auto served = std::find_if(served_.begin(), served_.end(),
                                     [&, &of = one.what.of](const auto& entry) { return runs(of, entry.second); });
    if (served == served_.end()) {
      if (all_served_) nobodys.push_back(name);
    } else if (!std::exchange(one.told, true)) {
      news.emplace_back(served->first, name);
    }
  }
  for (const auto& name : nobodys) {
    settings_.note("the container " + name + " is of a revision that is not served any more: it is ended");
    const bool paused = strays_.at(name).what.state == container_state::paused;
    strays_.erase(name);
    removals_.end(name, paused);
  }
  // Not from inside serve() or all_served().
  if (news.empty()) return;
  asio::post(io_, [weak = std::weak_ptr<impl*>(alive_), news = std::move(news)] {
    for (const auto& [key, name] : news) {
      const auto self = weak.lock();
      if (!self) return;
      if ((*self)->strays_.contains(name) && (*self)->served_.contains(key))
        (*self)->listener_.on_found((*self)->settings_.pool, key, name);
    }
  });
}

void docker_backend::impl::on_event(const event& what) {
  const auto known = by_name_.find(what.name);
  if (known != by_name_.end()) {
    if (const auto instance = find(known->second)) instance->on_event(what);
    return;
  }
  if (is_known(what.name)) return;
  if (what.action == "die" || what.action == "destroy") strays_.erase(what.name);
  // What a rouse before this one had asked for only happens now; or somebody started it by hand.
  if (what.action != "destroy") docker_.list_again();
}

void docker_backend::impl::on_problem(const std::string& problem) {
  if (problem.empty()) ++recoveries_;
  activator::backend_state state;
  state.problem = problem;
  state.recoveries = recoveries_;
  listener_.on_state(settings_.pool, std::move(state));
  if (!docker_.hopeless()) return;
  for (const auto& instance : all()) instance->on_hopeless(problem);
}

void docker_backend::impl::on_pull_progress(std::uint64_t id, std::string text) {
  if (instances_.contains(id)) listener_.on_progress(id, std::move(text));
}

void docker_backend::impl::on_pull_ended(std::uint64_t id, const std::string& word, const std::string& problem,
                                         bool away) {
  if (const auto instance = find(id)) instance->on_pulled(word, problem, away);
}

bool docker_backend::impl::do_without_init() {
  if (!std::exchange(with_init_, false)) return true;
  settings_.note(
      "the Docker Engine has no docker-init: functions are the first process of their container, where most programs "
      "ignore SIGTERM unless they handle it themselves");
  return true;
}

void docker_backend::impl::finished(std::uint64_t id) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  drop_name(found->second->name());
  instances_.erase(found);
}

docker_backend::docker_backend(asio::io_context& io, activator::backend_listener& listener, docker_settings settings)
    : impl_(std::make_unique<impl>(io, listener, std::move(settings))) {}

docker_backend::~docker_backend() = default;

void docker_backend::serve(const activator::run_spec& spec) {
  impl_->served_.insert_or_assign(spec.key, spec);
  impl_->tell_or_end();
}

void docker_backend::forget(std::uint32_t key) {
  impl_->served_.erase(key);
  impl_->tell_or_end();
}

void docker_backend::all_served() {
  impl_->all_served_ = true;
  impl_->tell_or_end();
}

void docker_backend::start(const activator::start_spec& spec) {
  impl_->begin(spec);
}

void docker_backend::stop(std::uint64_t id, std::chrono::milliseconds grace) {
  if (const auto instance = impl_->find(id)) instance->stop(grace);
}

void docker_backend::let_go(std::uint64_t id, std::chrono::milliseconds grace) {
  if (const auto instance = impl_->find(id)) instance->let_go(grace);
}

void docker_backend::freeze(std::uint64_t id) {
  if (const auto instance = impl_->find(id)) instance->freeze();
}

void docker_backend::thaw(std::uint64_t id) {
  if (const auto instance = impl_->find(id)) instance->thaw();
}

}  // namespace rouse::docker
