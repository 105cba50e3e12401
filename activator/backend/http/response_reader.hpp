#pragma once
// One HTTP/1.1 response, from bytes to its parts: Beast's parser behind a door, so that only one file pays for its
// templates. No I/O; one object per response.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rouse::backend_http {

using header_list = std::vector<std::pair<std::string, std::string>>;

/// The first field of that name, whatever its case; empty when there is none.
[[nodiscard]] std::string_view find_header(const header_list& in, std::string_view name);

class response_reader {
 public:
  /// `no_body`: the answer to HEAD, which has none whatever its head says.
  explicit response_reader(bool no_body = false);
  ~response_reader();
  response_reader(const response_reader&) = delete;
  response_reader& operator=(const response_reader&) = delete;

  /// Takes bytes as they were read. False when they are not HTTP: problem() says what is wrong with them. What comes
  /// after the response's end is kept in surplus(). Interim responses (1xx) are skipped.
  bool push(std::string_view bytes);
  /// The connection was closed by the other side. False when the response is not whole.
  bool push_end();

  [[nodiscard]] bool has_head() const noexcept;
  [[nodiscard]] bool is_done() const noexcept;
  [[nodiscard]] int status() const noexcept;  ///< 0 until there is a head
  [[nodiscard]] header_list& headers() noexcept;
  /// What has come of the body and was not taken yet. The caller may clear it or move it away.
  [[nodiscard]] std::string& body() noexcept;
  /// Whether another request may follow on the same connection.
  [[nodiscard]] bool keep_alive() const noexcept;
  [[nodiscard]] bool surplus() const noexcept;
  [[nodiscard]] const std::string& problem() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace rouse::backend_http
