#pragma once
// The exchange with a scaler about one revision: one request at a time, asked again while something moves, and now and
// then while nothing does. Belongs to the backend, on the thread of its io_context.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "activator/backend/backend.hpp"
#include "activator/backend/http/client.hpp"
#include "activator/backend/http/readiness.hpp"
#include "activator/backend/webhook/ledger.hpp"
#include "activator/backend/webhook/protocol.hpp"
#include "activator/backend/webhook/webhook_backend.hpp"

namespace rouse::webhook {

/// What a link needs of its backend.
class link_host {
 public:
  virtual boost::asio::io_context& io() = 0;
  [[nodiscard]] virtual const webhook_settings& settings() const = 0;
  [[nodiscard]] virtual const std::string& key() const = 0;       ///< what requests are signed with
  [[nodiscard]] virtual const std::string& unusable() const = 0;  ///< why there is none; empty: there is
  virtual std::mt19937_64& random() = 0;
  virtual std::uint64_t next_sequence() = 0;
  virtual std::shared_ptr<backend_http::client> client_to(const backend_http::origin& where) = 0;
  /// Something for the listener: posted, in order.
  virtual void tell(std::uint32_t key, ledger::event news) = 0;
  virtual void tell_ready(std::uint64_t id, activator::ready_report report) = 0;
  /// A scaler that could not be asked can be again; on_change() follows.
  virtual void on_recovery() = 0;
  /// A link's problem or its end may have changed; called from handlers only.
  virtual void on_change() = 0;

 protected:
  ~link_host() = default;
};

class scaler_link {
 public:
  scaler_link(link_host& host, const activator::run_spec& spec);
  scaler_link(const scaler_link&) = delete;
  scaler_link& operator=(const scaler_link&) = delete;

  void configure(const activator::run_spec& spec) { spec_ = spec; }
  void start(const activator::start_spec& spec);
  void stop(std::uint64_t id, std::chrono::milliseconds grace);
  void let_go(std::uint64_t id);
  /// Nothing is wanted any more; it goes on until the scaler has heard it, and for ten minutes at most.
  void forget();
  [[nodiscard]] bool is_over() const;
  /// What is wrong, as a sentence; empty: nothing.
  [[nodiscard]] const std::string& problem() const noexcept { return books_.problem(); }

 private:
  using clock = std::chrono::steady_clock;

  void act();
  void soon();
  void send();
  void on_answer(backend_http::response answer, std::uint64_t round);
  void on_listing(const std::string& body, std::uint64_t round);
  void refuse(const std::string& problem);
  void fail(std::string problem, std::chrono::milliseconds at_least);
  void try_out(std::uint64_t id, const router::address& where);
  void on_tried(std::uint64_t id, const router::address& where, const backend_http::readiness_result& result);
  void expire();
  void watch_deadlines();
  void wait(std::chrono::milliseconds about);
  [[nodiscard]] std::chrono::milliseconds pace() const;
  [[nodiscard]] std::string who() const;

  link_host& host_;
  activator::run_spec spec_;
  const subject subject_;
  backend_http::url url_;
  std::string unusable_;  ///< why the URL cannot be used
  ledger books_;
  std::shared_ptr<backend_http::client> client_;
  backend_http::call call_;
  boost::asio::steady_timer next_;
  boost::asio::steady_timer deadlines_;
  std::map<std::uint64_t, std::unique_ptr<backend_http::readiness>> tries_;
  unsigned failures_ = 0;  ///< in a row
  bool backing_off_ = false;
  bool posted_ = false;
  std::string refusal_;                       ///< the last answer, where it was that
  std::optional<clock::time_point> watched_;  ///< what deadlines_ waits for
  clock::time_point over_at_ = clock::time_point::max();
  /// What is posted holds it weakly.
  std::shared_ptr<scaler_link*> alive_ = std::make_shared<scaler_link*>(this);
};

}  // namespace rouse::webhook
