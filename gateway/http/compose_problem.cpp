// The errors that rouse makes itself, and small text that goes with status and date. Not on the warm path.

#include <nlohmann/json.hpp>

#include "gateway/http/chars.hpp"
#include "gateway/http/compose.hpp"

namespace rouse::gateway::http {
namespace {

constexpr std::string_view problem_type = "application/problem+json";

/// "park-timeout" -> "Park timeout": the title belongs to the type and never changes (RFC 9457, 3.1.3).
std::string title_of(std::string_view type) {
  std::string title(type);
  for (char& c : title) {
    if (c == '-') c = ' ';
  }
  if (!title.empty() && title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

std::string body_of(const problem_reply& problem) {
  nlohmann::ordered_json body;
  const bool named = !problem.type.empty();
  body["type"] = named ? std::string(problem.type) : "about:blank";
  body["title"] = named ? title_of(problem.type) : std::string(status_text(problem.status));
  body["status"] = problem.status;
  body["detail"] = std::string(problem.detail);
  if (!problem.function.empty()) body["function"] = std::string(problem.function);
  if (!problem.request_id.empty()) body["request_id"] = std::string(problem.request_id);
  // Output of a failed process may be anything: what is not UTF-8 becomes U+FFFD.
  std::string text = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text += '\n';
  return text;
}

void add(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty() || !detail::all(value, detail::value_char)) return;
  out.append(name).append(value).append("\r\n");
}

}  // namespace

void compose_problem(std::string& out, const problem_reply& problem) {
  const std::string body = problem.instead ? problem.instead->body : body_of(problem);
  const auto status = problem.instead ? problem.instead->status : problem.status;
  const bool bodiless = status == 204 || status == 304;
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(status_text(status)).append("\r\n");
  const std::string_view type = problem.instead ? std::string_view(problem.instead->content_type) : problem_type;
  if (!bodiless) add(out, "Content-Type: ", type);
  out.append("Cache-Control: no-store\r\n");
  if (!bodiless) add(out, "Content-Length: ", std::to_string(body.size()));
  add(out, "X-Request-Id: ", problem.request_id);
  if (problem.retry_after && !problem.instead) add(out, "Retry-After: ", std::to_string(*problem.retry_after));
  add(out, "Date: ", problem.date);
  if (!problem.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (problem.caller_version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  if (!problem.head_only && !bodiless) out.append(body);
}

void compose_local(std::string& out, const local_reply& reply) {
  const bool bodiless = reply.status == 204 || reply.status == 304;
  out.append("HTTP/1.1 ").append(std::to_string(reply.status)).append(" ").append(status_text(reply.status));
  out.append("\r\n");
  if (reply.fields) {
    for (const auto& [name, value] : *reply.fields) add(out, name + ": ", value);
  }
  if (!bodiless) add(out, "Content-Length: ", std::to_string(reply.body.size()));
  add(out, "X-Request-Id: ", reply.request_id);
  if (!reply.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (reply.caller_version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  if (!reply.head_only && !bodiless) out.append(reply.body);
}

std::string_view status_text(unsigned status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

void write_date(std::string& out, std::chrono::system_clock::time_point now) {
  static constexpr char days[] = "SunMonTueWedThuFriSat";
  static constexpr char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{std::chrono::floor<std::chrono::seconds>(now) - day};
  const auto two = [&out](long value) {
    out += static_cast<char>('0' + value / 10 % 10);
    out += static_cast<char>('0' + value % 10);
  };
  out.assign(days + 3 * std::chrono::weekday{day}.c_encoding(), 3);
  out += ", ";
  two(static_cast<long>(unsigned{date.day()}));
  out += ' ';
  out.append(months + 3 * (unsigned{date.month()} - 1), 3);
  out += ' ';
  two(int{date.year()} / 100);
  two(int{date.year()} % 100);
  out += ' ';
  two(time.hours().count());
  out += ':';
  two(time.minutes().count());
  out += ':';
  two(time.seconds().count());
  out += " GMT";
}

}  // namespace rouse::gateway::http
