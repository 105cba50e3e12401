#pragma once
// The way to one Docker Engine: which API it speaks, whether it answers, its event stream, and the list of what is ours
// there, anew after each break of that stream. Belongs to the thread of its io_context; may be destroyed at any time.

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "activator/backend/docker/container.hpp"
#include "activator/backend/http/client.hpp"

namespace rouse::docker {

class engine_listener {
 public:
  /// The engine was asked for a list: what is made from here on may not be in it.
  virtual void on_listing() = 0;
  /// All containers with our labels, whatever their state. From now on events tell what changes.
  virtual void on_synced(std::vector<container> all) = 0;
  virtual void on_event(const event& what) = 0;
  /// What is wrong with the engine, in a sentence; empty: nothing any more.
  virtual void on_problem(const std::string& problem) = 0;

 protected:
  ~engine_listener() = default;
};

class engine {
 public:
  using handler = std::function<void(backend_http::response)>;

  /// Begins to connect, and never stops trying: after 100 ms, doubling up to 10 s.
  engine(boost::asio::io_context& io, std::string socket, std::string filter, std::string event_filter,
         std::uint32_t seed, engine_listener& listener);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Events come, and the list has.
  [[nodiscard]] bool synced() const noexcept;
  /// What is wrong, if anything.
  [[nodiscard]] const std::string& problem() const noexcept;
  /// Waiting will not help, or has lasted long enough: the socket may not be used, or has never been there, or the
  /// engine has been away for activator::away_patience. on_problem() comes when it begins.
  [[nodiscard]] bool hopeless() const noexcept;

  /// A request that is answered at once, or one that may take its time; the first kind never waits for the second.
  /// `path` begins behind the version of the API. `done` as backend_http::client::send().
  [[nodiscard]] backend_http::call quick(std::string method, std::string path, handler done);
  [[nodiscard]] backend_http::call slow(std::string method, std::string path, std::string body,
                                        std::chrono::milliseconds timeout, handler done);
  [[nodiscard]] backend_http::call stream(std::string method, std::string path, std::chrono::milliseconds silence,
                                          backend_http::stream_handlers handlers);
  /// Somebody found that it does not answer: it is connected to anew.
  void suspect();
  /// There is something that nobody knows of: the list is asked for again, soon.
  void list_again();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

/// What went wrong with a request, in a sentence.
[[nodiscard]] std::string words_of(const backend_http::response& answer);
/// There is no answer, or one that says that the engine itself is not well: it is to be asked again later.
[[nodiscard]] bool is_away(const backend_http::response& answer);

}  // namespace rouse::docker
