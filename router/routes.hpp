#pragma once
// Which function a request is for. Pure and immutable: built from a snapshot, read by every worker. Knows the built-in
// URLs (/function/NAME[@REV][/rest] and others, before all routes) and the `routes` of the config; first match wins.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace rouse::router {

/// What of a request decides its way. Views into the request's head.
struct request_view {
  std::string_view method;
  std::string_view host;    ///< the Host field without port, any case; empty when absent (HTTP/1.0)
  std::string_view target;  ///< origin-form as sent: path and query; `*` for OPTIONS *
  /// Sets the value of a field by lower-case name; false when the request has none. Called only for routes with
  /// `headers`. Several fields of one name count as one value joined by ", ".
  const void* fields = nullptr;
  bool (*field)(const void* fields, std::string_view name, std::string& value) = nullptr;
};

/// What a URL asks for. All but `function` are built-in URLs.
enum class route_kind : std::uint8_t {
  function,        ///< a route, or /function/NAME[@REV][/rest]
  async_function,  ///< /async-function/NAME[@REV][/rest]
  bus,             ///< /bus/NAME
  invocation,      ///< /invocations/ID[/response]
};

enum class route_error : std::uint8_t {
  none,
  no_route,     ///< nothing matches, or the function is not exposed by that URL
  no_revision,  ///< NAME@REV names a revision that does not exist
  bad_target,   ///< a path that normalise() (normalise.hpp) refuses: a broken escape, above the root, %00, ...
};

struct route_match {
  /// `revision` of a request that names none: traffic decides.
  static constexpr std::uint32_t not_named = UINT32_MAX;

  route_error error = route_error::none;
  std::uint32_t function = 0;          ///< index into snapshot.functions (buses); set for none and no_revision
  std::uint32_t revision = not_named;  ///< of NAME@REV: index into that function's revisions
  /// The target to forward: a view into request_view::target where the function receives what the caller sent,
  /// otherwise into the scratch string given to match() (or of a literal). Empty unless error is none. Of an
  /// invocation: `ID` or `ID/response`.
  std::string_view target;
  route_kind kind = route_kind::function;
};

/// Host: compared in any case and without a trailing dot; `*.example.com` is any name below it, never example.com
/// itself. Path: normalised (normalise.hpp) on both sides; `/thumb/*` is `/thumb/` and everything below, not `/thumb`.
/// Methods and header values: compared exactly, so `GET` does not stand for `HEAD`.
class route_table {
 public:
  /// Borrows `snapshot`, which must live at least as long. Throws std::invalid_argument for what could never work: a
  /// path that is not one, a function that does not exist, a rewrite without a path or without a leading slash.
  explicit route_table(const config::snapshot& snapshot);
  ~route_table();
  route_table(const route_table&) = delete;
  route_table& operator=(const route_table&) = delete;

  /// Any thread; `scratch` is the caller's, overwritten at need, and best reused from request to request.
  /// Costs no allocation for requests that need no rewriting, and at most 0.5 us more with 10,000 routes than with ten.
  [[nodiscard]] route_match match(const request_view& request, std::string& scratch) const;

 private:
  struct index;
  std::unique_ptr<const index> index_;
};

}  // namespace rouse::router
