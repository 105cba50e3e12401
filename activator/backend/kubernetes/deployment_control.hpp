#pragma once
// One Deployment: which pod is which instance, how many it should have, and saying so to the API. What is decided is in
// counted::instances; here is what it takes to carry it out. Belongs to the backend's thread.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "activator/backend/backend.hpp"
#include "activator/backend/counted/counted.hpp"
#include "activator/backend/http/client.hpp"
#include "activator/backend/http/readiness.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/namespace_view.hpp"

namespace rouse::kubernetes {

/// What all Deployments of a backend share; outlives them.
struct surroundings {
  boost::asio::io_context& io;
  activator::backend_listener& listener;
  const std::string& pool;
  const namespace_view& view;
  std::minstd_rand& random;
  std::function<api*()> reach;      ///< null until it is known how to
  std::function<bool()> may_write;  ///< the Lease is held
  std::function<void(const std::string&)> note;
  std::function<void(std::uint64_t id)> ended;
  /// What is wrong with writing; empty: nothing.
  std::function<void(const std::string& deployment, const std::string& problem)> trouble;
};

class deployment_control {
 public:
  deployment_control(surroundings& around, std::string name);
  deployment_control(const deployment_control&) = delete;
  deployment_control& operator=(const deployment_control&) = delete;

  // What the activator tells. Reports come from a handler of the context, never from here.
  void serve(const activator::run_spec& spec);
  void forget(std::uint32_t key);
  void start(const activator::start_spec& spec);
  void stop(std::uint64_t id);
  void let_go(std::uint64_t id);

  // What the watches tell. Nothing but set_problem() before begin().
  /// The first lists are complete; pods were told by look_at() before.
  void begin();
  [[nodiscard]] bool has_begun() const noexcept { return of_.known(); }
  void look_at(const std::string& pod_name);
  void look_at_deployment();
  void set_problem(const std::string& why, std::chrono::steady_clock::time_point since);
  /// It may be written again.
  void go_on();

  /// Nobody needs it any more.
  [[nodiscard]] bool is_done() const { return specs_.empty() && of_.idle() && !writing_; }

 private:
  struct member {
    std::uint32_t key = 0;
    std::chrono::steady_clock::time_point began, deadline;
  };

  void schedule();
  void flush();
  void report(const counted::event& one);
  void probe(std::uint64_t id, const std::string& pod_name);
  void probed(std::uint64_t id, const router::address& where, const backend_http::readiness_result& result);
  void advance();
  void unmark();
  void patch_cost(const std::string& pod_name, bool mark, std::function<void(const backend_http::response&)> then);
  void mark_and_write(const std::vector<std::string>& victims);
  void write(unsigned count);
  void wrote(const backend_http::response& answer);
  void try_again(const backend_http::response& answer, const std::string& doing);
  void arm();
  [[nodiscard]] const activator::run_spec* spec_of(std::uint32_t key) const;
  [[nodiscard]] port_rule rule() const;
  [[nodiscard]] bool is_missing() const { return around_.view.find_deployment(name_) == nullptr; }
  [[nodiscard]] std::string missing_in_words() const;

  surroundings& around_;
  const std::string name_;
  const std::string path_;  ///< below deployments/
  counted::instances of_;
  std::vector<activator::run_spec> specs_;  ///< of the keys served, the latest last
  std::map<std::uint64_t, member> ids_;
  std::map<std::uint64_t, std::unique_ptr<backend_http::readiness>> probes_;
  std::unordered_map<std::string, std::uint32_t> ends_;  ///< of its pods' containers
  std::set<std::string> marked_, unmarking_;             ///< beyond what the watch has shown
  std::map<std::string, backend_http::call> calls_;
  retry_delay delay_;
  boost::asio::steady_timer timer_, retry_;
  std::uint64_t version_ = 0;                                   ///< of the Deployment when it was last written
  std::optional<std::chrono::steady_clock::time_point> armed_;  ///< what timer_ waits for
  unsigned asked_ = 0;                                          ///< the count that was last sent
  unsigned marks_left_ = 0;
  bool marks_failed_ = false;
  bool scheduled_ = false;
  bool writing_ = false;
  bool retrying_ = false;
  bool noted_others_ = false;
  bool troubled_ = false;
  /// Gone when this is: for what was posted, and timers that have fired.
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace rouse::kubernetes
