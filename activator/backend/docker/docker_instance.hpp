#pragma once
// The life of one instance of the Docker backend: one container, from start() (or from being found) to the exit report.
// Belongs to the backend's thread; owned by the backend, and by what is in the context's queue.

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "activator/backend/backend.hpp"
#include "activator/backend/docker/container.hpp"
#include "activator/backend/docker/engine.hpp"
#include "activator/backend/docker/output.hpp"
#include "activator/backend/http/readiness.hpp"

namespace rouse::docker {

/// What an instance needs of its backend.
class instance_host {
 public:
  virtual boost::asio::io_context& io() = 0;
  virtual activator::backend_listener& listener() = 0;
  virtual engine& docker() = 0;
  /// The body of a create.
  [[nodiscard]] virtual std::string body_for(const activator::start_spec& spec) const = 0;
  [[nodiscard]] virtual const std::string& network() const = 0;
  /// The engine has no small first process to offer: containers are made without from now on. True when that is news.
  virtual bool do_without_init() = 0;
  /// Gets the image; the instance hears on_pulled().
  virtual void pull(const std::string& image, std::uint64_t id) = 0;
  /// Removes the container, running or not, and goes on trying, over the end of the instance and the absence of the
  /// engine. `done` when there is nothing of it any more; it is not called after that instance's end.
  virtual void remove(const std::string& name, std::function<void()> done) = 0;
  /// The instance has said its last word.
  virtual void finished(std::uint64_t id) = 0;

 protected:
  ~instance_host() = default;
};

class docker_instance : public std::enable_shared_from_this<docker_instance> {
 public:
  docker_instance(instance_host& host, activator::start_spec spec, std::string name);
  docker_instance(const docker_instance&) = delete;
  docker_instance& operator=(const docker_instance&) = delete;

  [[nodiscard]] std::uint64_t id() const noexcept { return spec_.id; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const activator::start_spec& spec() const noexcept { return spec_; }
  /// Nothing was asked of the engine for it yet.
  [[nodiscard]] bool waits() const noexcept { return at_ == phase::waiting && !asked_; }
  /// The list that is being asked for must have its container.
  void note_listing() noexcept { listed_ = at_ > phase::creating; }

  /// Its start_timeout runs from here; what goes wrong is reported later.
  void begin();
  /// There is no such thing to take over.
  void begin_in_vain(std::string why);
  /// The engine is there: it makes a container.
  void make();
  /// The engine is there: it takes this one over, under its name.
  void adopt(const container& found);
  void stop(std::chrono::milliseconds grace);
  void let_go(std::chrono::milliseconds grace);
  void freeze();
  void thaw();

  /// `word` is empty when the image is there now; else that of a failure. `away`: there was no engine to get it.
  void on_pulled(std::string word, const std::string& problem, bool away);
  void on_event(const event& what);
  /// What the list says of it, after the engine was away; null: it has no such container.
  void on_listed(const container* found);
  /// There is no engine to wait for: what has not begun, or was cut short by that, cannot be started.
  void on_hopeless(const std::string& problem);

 private:
  using clock = std::chrono::steady_clock;
  enum class phase {
    waiting,   ///< for the engine
    pulling,   ///< for the image
    creating,  ///< the container is being made
    starting,  ///< and started
    checking,  ///< it runs
    ready,     ///< and answers
    ending,    ///< it was told to end, or is being removed by force
    dead,      ///< it does not run any more
    done,      ///< reported
  };

  // How it comes to run (docker_instance.cpp).
  void on_made(const backend_http::response& answer);
  void run();
  void on_running(const backend_http::response& answer);
  void look();
  void on_look(const backend_http::response& answer);
  void check();
  void on_checked(backend_http::readiness_result result);
  void on_start_timeout();
  void wait_for_engine(const backend_http::response& answer);
  void fail(std::string word, std::string detail);
  void start_clock();
  void set_deadline(clock::time_point when, void (docker_instance::*what)());
  void later(void (docker_instance::*what)());

  // Frozen or not (docker_instance_end.cpp).
  void go_on_freezing();
  void on_frozen(bool frozen, const backend_http::response& answer);

  // How it ends (docker_instance_end.cpp).
  void go_on_ending();
  void ask_to_end();
  void end_by_force();
  void on_died();
  void look_back();
  void on_look_back(const backend_http::response& answer);
  void clear_away();
  void on_cleared();
  void on_removed_by_others();
  void give_up();
  void report();
  [[nodiscard]] std::string exit_detail() const;

  instance_host& host_;
  const activator::start_spec spec_;
  std::string name_;
  phase at_ = phase::waiting;
  boost::asio::steady_timer deadline_;  ///< start_timeout, then a stop's grace
  boost::asio::steady_timer retry_;     ///< of freezing
  backend_http::call call_;             ///< the request that the next step waits for
  backend_http::call freezing_;
  backend_http::call signal_;
  std::unique_ptr<backend_http::readiness> readiness_;
  std::shared_ptr<output> output_;
  clock::time_point begun_;
  clock::time_point kill_at_ = clock::time_point::max();
  container_details last_;
  router::address where_;
  std::string waited_for_;  ///< what the engine said when it was last asked in vain
  std::string verdict_;     ///< the word for an end of the backend's own making
  std::string detail_;
  bool made_ = false;  ///< there is a container, or may be
  bool listed_ = false;
  bool pulled_ = false;
  bool found_ = false;  ///< it was not made by this rouse
  bool was_ready_ = false;
  bool asked_ = false;
  bool signalled_ = false;
  bool forced_ = false;
  bool gone_ = false;  ///< somebody else removed it
  bool clearing_ = false;
  bool want_frozen_ = false;
  bool frozen_ = false;
};

}  // namespace rouse::docker
