#include "activator/backend/http/response_reader.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/none.hpp>

#include <algorithm>
#include <cctype>
#include <optional>

namespace rouse::backend_http {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::uint32_t most_head = 64 * 1024;

class parser final : public http::basic_parser<false> {
 public:
  explicit parser(bool no_body) {
    header_limit(most_head);
    body_limit(boost::none);
    eager(true);
    skip(no_body);
  }
  int status = 0;
  header_list headers;
  std::string body;

 private:
  using view = boost::beast::string_view;
  void on_request_impl(http::verb, view, view, int, error_code&) override {}
  void on_response_impl(int code, view, int, error_code&) override { status = code; }
  void on_field_impl(http::field, view name, view value, error_code&) override {
    headers.emplace_back(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  void on_header_impl(error_code& error) override {
    // Beast reads any other coding as a body that ends with the connection.
    if (!chunked() && !find_header(headers, "transfer-encoding").empty()) error = http::error::bad_transfer_encoding;
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(view bytes, error_code&) override {
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view bytes, error_code&) override {
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}
};

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool begins_as_http(std::string_view bytes) {
  constexpr std::string_view start = "HTTP/1.";
  return bytes.substr(0, start.size()) == start.substr(0, bytes.size());
}

}  // namespace

std::string_view find_header(const header_list& in, std::string_view name) {
  for (const auto& [key, value] : in)
    if (same_name(key, name)) return value;
  return {};
}

struct response_reader::impl {
  explicit impl(bool without_body) : no_body(without_body) { parse.emplace(no_body); }
  const bool no_body;
  std::optional<parser> parse;
  bool at_start = true;  ///< nothing of this message was parsed yet
  std::string pending;   ///< bytes that the parser wants to see again, together with more
  bool surplus = false;
  std::string problem;
};

response_reader::response_reader(bool no_body) : impl_(std::make_unique<impl>(no_body)) {}
response_reader::~response_reader() = default;

bool response_reader::push(std::string_view bytes) {
  impl& my = *impl_;
  if (!my.problem.empty()) return false;
  std::string joined;
  if (!my.pending.empty()) {
    joined = std::move(my.pending);
    my.pending.clear();
    joined.append(bytes);
    bytes = joined;
  }
  while (!bytes.empty()) {
    if (is_done()) {
      my.surplus = true;
      return true;
    }
    if (my.parse->is_done()) {  // it was an interim one
      my.parse.emplace(my.no_body);
      my.at_start = true;
    }
    // Beast waits for a whole head first, which something else may never send.
    if (my.at_start && !begins_as_http(bytes)) {
      my.problem = "answered something that is not HTTP/1.1";
      return false;
    }
    error_code error;
    const std::size_t used = my.parse->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(used);
    my.at_start = my.at_start && used == 0;
    if (error == http::error::need_more) {
      my.pending = bytes;
      return true;
    }
    if (error) {
      my.problem = "answered something that is not HTTP/1.1: " + error.message();
      return false;
    }
    if (my.parse->is_done() && my.parse->status == 101) {
      my.problem = "switched protocols, which nobody asked for";
      return false;
    }
    if (used == 0 && !my.parse->is_done()) {
      my.pending = bytes;
      return true;
    }
  }
  return true;
}

bool response_reader::push_end() {
  impl& my = *impl_;
  if (!my.problem.empty()) return false;
  if (is_done()) return true;
  error_code error;
  if (has_head() && my.pending.empty()) {
    my.parse->put_eof(error);
    if (!error) return true;
  }
  my.problem =
      has_head() ? "closed the connection in the middle of its answer" : "closed the connection without an answer";
  return false;
}

bool response_reader::has_head() const noexcept {
  return impl_->parse->is_header_done() && impl_->parse->status / 100 != 1;
}
bool response_reader::is_done() const noexcept {
  return impl_->parse->is_done() && impl_->parse->status / 100 != 1;
}
int response_reader::status() const noexcept {
  return has_head() ? impl_->parse->status : 0;
}
header_list& response_reader::headers() noexcept {
  return impl_->parse->headers;
}
std::string& response_reader::body() noexcept {
  return impl_->parse->body;
}
bool response_reader::keep_alive() const noexcept {
  return impl_->parse->keep_alive();
}
bool response_reader::surplus() const noexcept {
  return impl_->surplus;
}
const std::string& response_reader::problem() const noexcept {
  return impl_->problem;
}

}  // namespace rouse::backend_http
