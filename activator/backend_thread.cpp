#include "activator/backend_thread.hpp"

#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace rouse::activator {

namespace asio = boost::asio;

namespace {

/// A connection on its way to the other thread, where it may not arrive.
class travelling_socket {
 public:
  explicit travelling_socket(int fd) noexcept : fd_(fd) {}
  travelling_socket(travelling_socket&& from) noexcept : fd_(from.release()) {}
  travelling_socket& operator=(travelling_socket&&) = delete;
  ~travelling_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Lives on the backends' thread; what it hears goes to the control thread.
class relay final : public backend_listener {
 public:
  relay(asio::io_context& control, backend_listener& to, std::weak_ptr<const char> alive)
      : control_(control), to_(to), alive_(std::move(alive)) {}

  void on_ready(std::uint64_t id, ready_report report) override {
    tell([id, where = report.where, probe = travelling_socket(report.probe_socket)](backend_listener& to) mutable {
      to.on_ready(id, ready_report{where, probe.release()});
    });
  }
  void on_exit(std::uint64_t id, exit_report report) override {
    tell([id, report = std::move(report)](backend_listener& to) mutable { to.on_exit(id, std::move(report)); });
  }
  void on_output(std::uint64_t id, std::string line) override {
    tell([id, line = std::move(line)](backend_listener& to) mutable { to.on_output(id, std::move(line)); });
  }
  void on_progress(std::uint64_t id, std::string text) override {
    tell([id, text = std::move(text)](backend_listener& to) mutable { to.on_progress(id, std::move(text)); });
  }
  void on_leaving(std::uint64_t id, std::string detail) override {
    tell([id, detail = std::move(detail)](backend_listener& to) mutable { to.on_leaving(id, std::move(detail)); });
  }
  void on_found(const std::string& pool, std::uint32_t key, std::string name) override {
    tell(
        [pool, key, name = std::move(name)](backend_listener& to) mutable { to.on_found(pool, key, std::move(name)); });
  }
  void on_standing(const std::string& pool, std::uint32_t key, unsigned count) override {
    tell([pool, key, count](backend_listener& to) { to.on_standing(pool, key, count); });
  }
  void on_state(const std::string& pool, backend_state state) override {
    tell([pool, state = std::move(state)](backend_listener& to) mutable { to.on_state(pool, std::move(state)); });
  }

 private:
  template <class Report>
  void tell(Report report) {
    asio::post(control_, [&to = to_, alive = alive_, report = std::move(report)]() mutable {
      if (!alive.expired()) report(to);
    });
  }

  asio::io_context& control_;
  backend_listener& to_;
  std::weak_ptr<const char> alive_;  ///< expires on the control thread
};

/// What belongs to the backends' thread.
struct far_side {
  far_side(asio::io_context& control, backend_listener& to, std::weak_ptr<const char> alive)
      : heard(control, to, std::move(alive)) {}
  relay heard;
  std::unique_ptr<backend> with;
};

/// Stands for it on the control thread.
class near_side final : public backend {
 public:
  near_side(asio::io_context& control, asio::io_context& there, backend_listener& listener, backend_traits traits,
            backend_thread::maker make)
      : there_(there), traits_(traits), far_(std::make_shared<far_side>(control, listener, alive_)) {
    asio::post(there_, [&there, far = far_, make = std::move(make)] { far->with = make(there, far->heard); });
  }
  near_side(const near_side&) = delete;
  near_side& operator=(const near_side&) = delete;
  ~near_side() override {
    asio::post(there_, [far = std::move(far_)] { far->with.reset(); });
  }

  void serve(const run_spec& spec) override {
    ask([spec](backend& with) { with.serve(spec); });
  }
  void forget(std::uint32_t key) override {
    ask([key](backend& with) { with.forget(key); });
  }
  void all_served() override {
    ask([](backend& with) { with.all_served(); });
  }
  void start(const start_spec& spec) override {
    ask([spec](backend& with) { with.start(spec); });
  }
  void stop(std::uint64_t id, std::chrono::milliseconds grace) override {
    ask([id, grace](backend& with) { with.stop(id, grace); });
  }
  void let_go(std::uint64_t id, std::chrono::milliseconds grace) override {
    ask([id, grace](backend& with) { with.let_go(id, grace); });
  }
  [[nodiscard]] backend_traits traits() const noexcept override { return traits_; }
  void freeze(std::uint64_t id) override {
    ask([id](backend& with) { with.freeze(id); });
  }
  void thaw(std::uint64_t id) override {
    ask([id](backend& with) { with.thaw(id); });
  }

 private:
  template <class Request>
  void ask(Request request) {
    asio::post(there_, [far = far_, request = std::move(request)] { request(*far->with); });
  }

  asio::io_context& there_;
  const backend_traits traits_;
  const std::shared_ptr<const char> alive_ = std::make_shared<const char>();
  std::shared_ptr<far_side> far_;
};

}  // namespace

struct backend_thread::impl {
  explicit impl(asio::io_context& of) : control(of) {}
  asio::io_context& control;
  asio::io_context context{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::thread thread;
};

backend_thread::backend_thread(asio::io_context& control) : impl_(std::make_unique<impl>(control)) {}

backend_thread::~backend_thread() {
  if (!impl_->thread.joinable()) return;
  // Behind the destruction of all that was made.
  asio::post(impl_->context, [this] { impl_->context.stop(); });
  impl_->thread.join();
}

std::shared_ptr<backend> backend_thread::make(backend_listener& listener, backend_traits traits, maker with) {
  if (!impl_->thread.joinable()) {
    impl_->work.emplace(impl_->context.get_executor());
    impl_->thread = std::thread([this] { impl_->context.run(); });
  }
  return std::make_shared<near_side>(impl_->control, impl_->context, listener, traits, std::move(with));
}

}  // namespace rouse::activator
