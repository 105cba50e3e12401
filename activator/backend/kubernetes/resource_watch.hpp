#pragma once
// Keeps up with all objects of one kind in a namespace: a list by pages, then a watch from where it ended, for as long
// as it goes. A watch that ends is resumed where it was; 410 Gone, in either form, is answered with a new list;
// everything else that fails is tried again with growing delays. Nothing is listed because of the time of day. Belongs
// to the thread of its io_context.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <string>

#include "activator/backend/http/client.hpp"
#include "activator/backend/kubernetes/api.hpp"
#include "activator/backend/kubernetes/json_stream.hpp"
#include "activator/backend/kubernetes/objects.hpp"

namespace rouse::kubernetes {

struct watch_handlers {
  std::function<void()> on_list;                         ///< what is not told between here and on_listed is gone
  std::function<void(const nlohmann::json&)> on_object;  ///< is there, or has changed
  std::function<void()> on_listed;
  std::function<void(const std::string& name)> on_deleted;
  /// What is wrong, in a sentence; empty: nothing any more.
  std::function<void(const std::string&)> on_problem;
};

struct watch_settings {
  std::string group;                  ///< "apps/v1"; "v1" for the core
  std::string resource;               ///< "deployments"
  std::string selector;               ///< of labels; empty: none
  unsigned page = 100;                ///< objects; small enough that none keeps the thread for long
  std::chrono::seconds lasts{300};    ///< the server is asked to end a watch after this, and up to half as much again
  std::chrono::seconds silence{150};  ///< then the connection is given up: bookmarks come every minute or so
};

class resource_watch {
 public:
  resource_watch(boost::asio::io_context& io, api& with, watch_settings settings, watch_handlers handlers);
  resource_watch(const resource_watch&) = delete;
  resource_watch& operator=(const resource_watch&) = delete;

  /// Begins. The handlers are called from handlers of the context, never from here.
  void start() { list_from_start(); }
  /// What is waited for after a failure is tried now.
  void hurry();

 private:
  void list_from_start();
  void list_page();
  void listed(const backend_http::failure& end);
  void watch();
  void line(std::string_view text);
  void ended(const backend_http::failure& end);
  void look_at_error(const nlohmann::json& status);
  void fail(const std::string& why, void (resource_watch::*then)());
  void again(std::chrono::milliseconds pause, void (resource_watch::*then)());
  [[nodiscard]] std::string query(const std::string& rest) const;
  [[nodiscard]] backend_http::response as_response() const;

  api& with_;
  const watch_settings settings_;
  const watch_handlers handlers_;
  std::minstd_rand random_{std::random_device{}()};
  boost::asio::steady_timer timer_;
  backend_http::call call_;
  list_splitter objects_;
  line_splitter lines_;
  retry_delay delay_;
  void (resource_watch::*then_)() = nullptr;  ///< what the timer is for
  std::string version_;                       ///< where the watch stands
  std::string next_page_;
  std::string error_body_;
  std::chrono::steady_clock::time_point begun_;
  int status_ = 0;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);  ///< gone when this is: for a timer that has fired
  bool bad_ = false;                                             ///< what came cannot be read
  bool list_next_ = false;
  bool troubled_ = false;  ///< on_problem was told of one
};

}  // namespace rouse::kubernetes
