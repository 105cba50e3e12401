#pragma once
// What people do to a running daemon: reload, scale, shift traffic, restart, cordon, drain. Parses and writes files on
// the admin thread and changes things on the control thread. Owned by the daemon; lives as long as both threads.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "activator/activator.hpp"
#include "gateway/admin/actions.hpp"
#include "gateway/net.hpp"
#include "gateway/settings_store.hpp"

namespace rouse::gateway {

class operations final : public actions {
 public:
  struct surroundings {
    asio::io_context& admin;
    asio::io_context& control;
    activator::activator& functions;
    spdlog::logger& log;
    std::string config_path;
    std::shared_ptr<const config::snapshot> first;  ///< what the daemon began with
    std::function<bool()> draining;                 ///< control thread
    std::function<void()> drain;                    ///< control thread
    /// What events need of a configuration, before and after it is in force; an error in words. Admin thread.
    std::function<std::string(const config::snapshot&)> prepare_events;
    std::function<std::string(const config::snapshot&)> apply_events;
    actions_on_events* events = nullptr;
  };
  operations(surroundings around, settings_store store);

  // Admin thread; `then` is called there later.
  void scale(std::string function, std::optional<unsigned> min, std::optional<unsigned> max, done then) override;
  void traffic(std::string function, std::map<std::string, std::uint32_t> weights, done then) override;
  void restart(std::string function, done then) override;
  void cordon(std::string pool, bool cordoned, done then) override;
  void reload(done then) override;
  void drain(done then) override;
  void events(done then) override { around_.events->numbers(std::move(then)); }
  void dead_letters(dead_letter_question which, done then) override {
    around_.events->dead_letters(std::move(which), std::move(then));
  }
  void redrive(dead_letter_question which, done then) override {
    around_.events->redrive(std::move(which), std::move(then));
  }
  void purge(dead_letter_question which, done then) override {
    around_.events->purge(std::move(which), std::move(then));
  }

  /// Reloads, with the outcome in the log. Any thread.
  void reload_and_log();
  /// Writes down what holds of what an earlier daemon kept: a changed file may have ended some of it. Any thread.
  void keep_what_holds();
  /// Looks once a second whether a file of the configuration has changed. Before the admin context runs.
  void watch(std::vector<std::string> sources);
  void stop_watching();  ///< admin thread

 private:
  struct stamp;
  template <typename Work>
  void on_control(Work work, done then);
  template <typename Work>
  void on_function(std::string name, Work work, done then);
  void keep(action_result result, done then);
  void log(const action_result& result);
  void apply(std::shared_ptr<const config::snapshot> next, std::shared_ptr<const router::route_table> routes,
             done then);
  [[nodiscard]] std::string needs_restart(const config::server& now) const;
  void look();
  [[nodiscard]] std::vector<std::string> stamps() const;

  surroundings around_;
  settings_store store_;
  timer poll_;
  std::vector<std::string> sources_;  ///< of the configuration; admin thread
  std::vector<std::string> seen_;     ///< what their stamps were at the last look
  std::vector<std::string> loaded_;   ///< and at the last reload
};

}  // namespace rouse::gateway
